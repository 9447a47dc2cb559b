// Keeps a list where its reader is: at the end it stays at the end, further up nothing jumps when something is put before.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

const AT_END_PX = 40;

// `last` changes when something is added behind, `first` when something is put before.
export function useFollowing(list, last, first, isLoading) {
  const [isAtEnd, setIsAtEnd] = useState(true);
  const following = useRef(true);
  const before = useRef({ first: null, height: 0 });

  const toEnd = () => {
    following.current = true;
    setIsAtEnd(true);
    list.current.scrollTop = list.current.scrollHeight;
  };

  useEffect(() => {
    const element = list.current;
    const look = () => {
      following.current = isNearEnd(element);
      setIsAtEnd(following.current);
    };
    element.addEventListener('scroll', look, { passive: true });
    // The composer grows, a window changes its size: the end stays in sight.
    const resizing = new ResizeObserver(() => following.current && (element.scrollTop = element.scrollHeight));
    resizing.observe(element);
    return () => {
      element.removeEventListener('scroll', look);
      resizing.disconnect();
    };
  }, []);

  useLayoutEffect(() => {
    const element = list.current;
    if (following.current) element.scrollTop = element.scrollHeight;
    else if (before.current.first !== first && before.current.first !== null && !anchors()) {
      element.scrollTop += element.scrollHeight - before.current.height;
    }
    before.current = { first, height: element.scrollHeight };
  }, [...last, first, isLoading]);

  // The browser reports a scroll only with the next frame, so the position is measured too.
  const isAtEndNow = () => following.current && isNearEnd(list.current);
  return { isAtEnd, isAtEndNow, toEnd };
}

function isNearEnd({ scrollHeight, scrollTop, clientHeight }) {
  return scrollHeight - scrollTop - clientHeight < AT_END_PX;
}

// Most browsers do it by themselves, and better: they know the heights of what they have not yet drawn.
function anchors() {
  return CSS.supports('overflow-anchor', 'auto');
}
