// The composer of messages, tickets and comments. It stores the draft at every change.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClient } from './client-context.js';
import { problemText, useFocusAtFirst } from './parts.jsx';
import { Templates } from './templates.jsx';
import { PrioritySelect, AssigneeSelect } from './ticket-fields.jsx';

const words = texts.composer;

export function Composer({ kind, parentId, label }) {
  const client = useClient();
  const draftKey = `${kind}:${parentId}`;
  const [text, setText] = useState(() => client.drafts.get(draftKey));
  const [ticket, setTicket] = useState(null);
  const [problem, setProblem] = useState(null);
  const [isDraftStored, setIsDraftStored] = useState(true);
  const area = useRef();
  useGrowing(area, text);
  // Not on touch screens: the on-screen keyboard would cover the messages.
  useEffect(() => {
    if (kind === 'message' && matchMedia('(hover: hover)').matches) area.current.focus();
  }, []);

  useEffect(() => client.drafts.onAppend(draftKey, (text, { ticket, title = '' }) => {
    setText(text);
    if (ticket) setTicket({ title, priority: ticket.priority, assigneeId: ticket.assigneeId });
    area.current.focus();
  }), [client, draftKey]);

  const write = (text) => {
    setText(text);
    setProblem(null);
    setIsDraftStored(client.drafts.set(draftKey, text));
  };
  const send = () => {
    // The value of the element, not of the state: a fast typist is ahead of the last rendering.
    const content = area.current.value.trim();
    if (!content) return area.current.focus();
    try {
      client.write(kind, inputOf(kind, parentId, content, ticket));
    } catch (problem) {
      setProblem(problem);
      return area.current.focus();
    }
    write('');
    setTicket(null);
    return area.current.focus();
  };
  const insert = (more) => {
    write(text ? `${text.trimEnd()}\n${more}` : more);
    area.current.focus();
  };
  const onKeyDown = (event) => {
    // While `isComposing` is set, Enter confirms the candidate of an input method, for example in Chinese or Japanese.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) send();
    else if (event.key === 'ArrowUp' && !text) document.querySelector('.message-list .message:last-of-type')?.focus();
    else return;
    event.preventDefault();
  };

  return (
    <form class="composer" onSubmit={(event) => (event.preventDefault(), send())}>
      {ticket && <TicketRow ticket={ticket} channelId={parentId} onChange={setTicket} />}
      <textarea ref={area} rows={1} value={text} aria-label={label} placeholder={label} title={words.hint}
        onInput={(event) => write(event.currentTarget.value)} onKeyDown={onKeyDown} />
      {problem && <p class="problem" role="alert">{problemText(problem)}</p>}
      {!isDraftStored && !problem && <p class="hint" role="status">{words.draftNotKept}</p>}
      <div class="composer-bar">
        <Templates text={text} onInsert={insert} />
        {kind === 'message' && (
          <button type="button" class="icon-button" aria-pressed={ticket !== null} aria-label={words.ticket} title={words.ticket}
            onClick={() => setTicket(ticket ? null : { title: '', priority: 'MEDIUM', assigneeId: null })}>
            <Icon name="ticket" />
          </button>
        )}
        <span class="composer-hint">{words.hint}</span>
        <button class="button-primary composer-send" aria-label={words.send} disabled={!text.trim()}><span>{words.send}</span><Icon name="send" size={18} /></button>
      </div>
    </form>
  );
}

export function focusComposer() {
  document.querySelector('.composer textarea')?.focus();
}

function TicketRow({ ticket, channelId, onChange }) {
  const change = (part) => onChange({ ...ticket, ...part });
  const title = useFocusAtFirst();
  return (
    <div class="ticket-row">
      <input ref={title} class="ticket-title" value={ticket.title} maxLength={200} aria-label={words.title} placeholder={words.title}
        onInput={(event) => change({ title: event.currentTarget.value })} />
      <PrioritySelect value={ticket.priority} onChange={(priority) => change({ priority })} />
      <AssigneeSelect value={ticket.assigneeId} channelId={channelId} onChange={(assigneeId) => change({ assigneeId })} />
      <button type="button" class="icon-button" aria-label={words.notTicket} onClick={() => onChange(null)}><Icon name="close" size={18} /></button>
    </div>
  );
}

function inputOf(kind, parentId, content, ticket) {
  if (kind === 'comment') return { messageId: parentId, content };
  if (!ticket) return { channelId: parentId, content };
  const { title, priority, assigneeId } = ticket;
  return { channelId: parentId, content, ticket: { priority, assigneeId }, ...(title.trim() && { title: title.trim() }) };
}

function useGrowing(area, text) {
  useLayoutEffect(() => {
    const { style } = area.current;
    style.height = 'auto';
    style.height = `${area.current.scrollHeight}px`;
  }, [text]);
}
