// Scroll position of a list. At the end the list follows new items. Further up, items that are inserted before the
// visible ones do not move them.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

const AT_END_PX = 40;

// `last` is an array of values that change when items are appended. `first` changes when items are inserted at the
// start.
export function useScrollPosition(list, last, first, isLoading) {
  const [isAtEnd, setIsAtEnd] = useState(true);
  const isFollowing = useRef(true);
  const before = useRef({ first: null, height: 0 });

  const scrollToEnd = () => {
    isFollowing.current = true;
    setIsAtEnd(true);
    list.current.scrollTop = list.current.scrollHeight;
  };

  useEffect(() => {
    const element = list.current;
    const update = () => {
      isFollowing.current = isNearEnd(element);
      setIsAtEnd(isFollowing.current);
    };
    element.addEventListener('scroll', update, { passive: true });
    // A growing composer or a smaller window shrinks the list: keep its end visible.
    const resizing = new ResizeObserver(() => isFollowing.current && (element.scrollTop = element.scrollHeight));
    resizing.observe(element);
    return () => {
      element.removeEventListener('scroll', update);
      resizing.disconnect();
    };
  }, []);

  useLayoutEffect(() => {
    const element = list.current;
    if (isFollowing.current) element.scrollTop = element.scrollHeight;
    else if (before.current.first !== first && before.current.first !== null && !hasScrollAnchoring()) {
      element.scrollTop += element.scrollHeight - before.current.height;
    }
    before.current = { first, height: element.scrollHeight };
  }, [...last, first, isLoading]);

  // The browser fires `scroll` only in the next frame, so the position is measured, too.
  const isAtEndNow = () => isFollowing.current && isNearEnd(list.current);
  return { isAtEnd, isAtEndNow, scrollToEnd };
}

function isNearEnd({ scrollHeight, scrollTop, clientHeight }) {
  return scrollHeight - scrollTop - clientHeight < AT_END_PX;
}

// Whether the browser keeps the scroll position itself. It does so more exactly, because it knows the heights of
// elements that are not rendered yet.
function hasScrollAnchoring() {
  return CSS.supports('overflow-anchor', 'auto');
}
