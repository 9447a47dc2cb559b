// The small things that pages are made of.

/** @import { ComponentChildren } from 'preact' */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { beginningOf, piecesOf, shownName } from '../data/text.js';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';

const HUES = 8;

// Initials on a colour that a person keeps. They are a picture rather than a text: whoever reads aloud reads the name.
export function Avatar({ user, size = 'medium' }) {
  const name = user?.displayName ?? '?';
  const initials = name.split(/\s+/).slice(0, 2).map((word) => [...word][0]?.toUpperCase() ?? '').join('');
  return (
    <span class="avatar" data-size={size} data-hue={Number(user?.id ?? 0) % HUES} data-initials={initials} title={name} aria-hidden="true" />
  );
}

export function StatusChip({ status }) {
  return <span class="chip status" data-status={status}>{texts.ticket.statuses[status]}</span>;
}

export function PriorityChip({ priority }) {
  return <span class="chip priority" data-priority={priority}>{texts.ticket.priorities[priority]}</span>;
}

export function Badge({ number }) {
  if (!number) return null;
  return (
    <span class="badge">
      <span aria-hidden="true">{number > 99 ? '99+' : number}</span>
      <span class="unseen">{texts.nav.unread(number)}</span>
    </span>
  );
}

/** @param {{ title: string, children?: ComponentChildren }} props */
export function Empty({ title, children }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

// A modal dialog; the browser keeps the focus inside and gives it back.
export function Dialog({ title, onClose, children }) {
  const dialog = useRef();
  useLayoutEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element.showModal();
    return () => {
      // Before it leaves the page, or the focus would be lost with it.
      element.close();
      setTimeout(() => focusAgain(before));
    };
  }, []);
  const onClick = (event) => event.target === dialog.current && onClose();
  return (
    <dialog ref={dialog} class="dialog" aria-label={title} onCancel={onClose} onClick={onClick}>
      <div class="dialog-body">
        <header class="dialog-head">
          <h2>{title}</h2>
          <button type="button" class="icon-button" aria-label={texts.dialog.close} onClick={onClose}><Icon name="close" /></button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

// Chromium gives a field its focus back, but when the dialog is taken from the page, what is typed goes nowhere.
function focusAgain(element) {
  if (document.activeElement !== element) return;
  element.blur();
  element.focus();
}

// A button that opens a small list above or below itself. Arrow keys go through it.
export function Menu({ label, button, place = 'below', children }) {
  const details = useRef();
  useEffect(() => {
    const close = (event) => details.current?.open && !details.current.contains(event.target) && (details.current.open = false);
    document.addEventListener('pointerdown', close);
    return () => document.removeEventListener('pointerdown', close);
  }, []);
  const close = () => {
    details.current.open = false;
    details.current.querySelector('summary').focus();
  };
  const onKeyDown = (event) => {
    if (event.key === 'Escape' && details.current.open) {
      event.stopPropagation();
      close();
    }
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || event.target.matches('input')) return;
    event.preventDefault();
    details.current.open = true;
    const items = [...details.current.querySelectorAll('a, button, summary, input')].filter((item) => item.offsetParent);
    items.at((items.indexOf(event.target) + by) % items.length)?.focus();
  };
  return (
    <details ref={details} class="menu" data-place={place} onKeyDown={onKeyDown}>
      <summary class="icon-button" aria-label={label} title={label}>{button}</summary>
      <div class="menu-list">{typeof children === 'function' ? children(close) : children}</div>
    </details>
  );
}

/** @param {{ label: string, hint?: ComponentChildren, children: ComponentChildren }} props */
export function Field({ label, hint, children }) {
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      {children}
      {hint && <span class="field-hint">{hint}</span>}
    </label>
  );
}

// For what appears because somebody asked for it; `autofocus` works only while a page loads, and in dialogs.
export function useFocusAtFirst() {
  const element = useRef();
  useEffect(() => element.current?.focus(), []);
  return element;
}

export function problemText(problem) {
  return texts.problems[problem.code] ?? problem.message;
}

// A name or title that somebody chose. Whatever its script and direction, the text around it stays as it is.
export function Name({ children }) {
  return <bdi>{shownName(children)}</bdi>;
}

// A text longer than a screen is folded: its beginning is shown, and all of it on demand.
export function Folded({ text }) {
  const [isOpen, setIsOpen] = useState(false);
  const short = useMemo(() => beginningOf(text), [text]);
  if (short === text) return <p class="message-text"><Text>{text}</Text></p>;
  return (
    <>
      <p class="message-text" data-folded={!isOpen}><Text>{isOpen ? text : short}</Text></p>
      <button type="button" class="small quiet unfold" aria-expanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
        {isOpen ? texts.message.fold : texts.message.unfold(text.split('\n').length)}
      </button>
    </>
  );
}

// Addresses in a text become links, and who is mentioned stands out; everything else stays the text that it is.
export function Text({ children }) {
  return piecesOf(children).map(({ kind, text }, index) => {
    if (kind === 'text') return text;
    if (kind === 'mention') return <span key={index} class="mention">{text}</span>;
    return <a key={index} href={text} target="_blank" rel="noopener noreferrer">{text}</a>;
  });
}
