// Announces changes to screen readers through an ARIA live region.

import { useEffect, useState } from 'preact/hooks';

/** @type {(text: string) => void} */
let speak = () => {};

export function announce(text) {
  speak(text);
}

export function Announcer() {
  const [text, setText] = useState('');
  useEffect(() => {
    speak = setText;
    return () => (speak = () => {});
  }, []);
  return <p class="visually-hidden" role="status" aria-live="polite">{text}</p>;
}
