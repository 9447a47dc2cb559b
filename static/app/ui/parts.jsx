// Small components that several pages use: avatars, chips, dialogs, menus, form fields and texts.

/** @import { ComponentChildren } from 'preact' */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { beginningOf, piecesOf, shownName } from '../data/text.js';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';

const HUES = 8;

// The initials of a user on a colour that depends on the user's id. Hidden from screen readers, because the name is
// always beside it or in its title.
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
      <span class="visually-hidden">{texts.nav.unread(number)}</span>
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

// A modal dialog. The browser keeps the focus inside it, and restores the focus when the dialog closes.
export function Dialog({ title, onClose, children }) {
  const dialog = useRef();
  useLayoutEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element.showModal();
    return () => {
      // Close it before its element is removed: otherwise the browser does not restore the focus.
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

// Works around a fault of Chromium. It restores the focus of an input after the removal of a dialog, but the input gets
// no key events until it is focused again.
function focusAgain(element) {
  if (document.activeElement !== element) return;
  element.blur();
  element.focus();
}

// A button that opens a list above or below itself. The arrow keys move the focus through the list.
export function Menu({ label, button, placement = 'below', children }) {
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
    <details ref={details} class="menu" data-place={placement} onKeyDown={onKeyDown}>
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

// A ref whose element takes the focus when it is mounted. The attribute `autofocus` works only in dialogs and while a
// page loads.
export function useFocusAtFirst() {
  const element = useRef();
  useEffect(() => element.current?.focus(), []);
  return element;
}

export function problemText(problem) {
  return texts.problems[problem.code] ?? problem.message;
}

// A name or title that a user wrote. The <bdi> element keeps its text direction from reordering the text around it.
export function Name({ children }) {
  return <bdi>{shownName(children)}</bdi>;
}

// A text that is folded if it is long: the beginning is shown, with a button that shows all of it.
export function Folded({ text }) {
  const [isOpen, setIsOpen] = useState(false);
  const short = useMemo(() => beginningOf(text), [text]);
  if (short === text) return <p class="message-text"><Text>{text}</Text></p>;
  return (
    <>
      <p class="message-text" data-folded={!isOpen}><Text>{isOpen ? text : short}</Text></p>
      <button type="button" class="button-small button-quiet folded-toggle" aria-expanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
        {isOpen ? texts.message.fold : texts.message.unfold(text.split('\n').length)}
      </button>
    </>
  );
}

// A text of a user: URLs become links, and mentions are highlighted.
export function Text({ children }) {
  return piecesOf(children).map(({ kind, text }, index) => {
    if (kind === 'text') return text;
    if (kind === 'mention') return <span key={index} class="mention">{text}</span>;
    return <a key={index} href={text} target="_blank" rel="noopener noreferrer">{text}</a>;
  });
}
