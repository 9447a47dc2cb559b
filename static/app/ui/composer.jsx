// Where one writes: a message (or ticket) in a channel, or a comment. The draft is kept as it is typed.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClient } from './live.js';
import { problemText, useFocusAtFirst } from './parts.jsx';
import { Templates } from './templates.jsx';
import { PrioritySelect, AssigneeSelect } from './ticket-fields.jsx';

const words = texts.composer;

export function Composer({ kind, placeId, label }) {
  const client = useClient();
  const place = `${kind}:${placeId}`;
  const [text, setText] = useState(() => client.drafts.at(place));
  const [ticket, setTicket] = useState(null);
  const [problem, setProblem] = useState(null);
  const [isDraftKept, setIsDraftKept] = useState(true);
  const area = useRef();
  useGrowing(area, text);
  // Not on a phone, whose keyboard would cover what one came to read.
  useEffect(() => {
    if (kind === 'message' && matchMedia('(hover: hover)').matches) area.current.focus();
  }, []);

  useEffect(() => client.drafts.onTakeBack(place, (text, { ticket, title = '' }) => {
    setText(text);
    if (ticket) setTicket({ title, priority: ticket.priority, assigneeId: ticket.assigneeId });
    area.current.focus();
  }), [client, place]);

  const write = (text) => {
    setText(text);
    setProblem(null);
    setIsDraftKept(client.drafts.keep(place, text));
  };
  const send = () => {
    // What is in the field, not what was last drawn: fast fingers are ahead of that.
    const content = area.current.value.trim();
    if (!content) return area.current.focus();
    try {
      client.write(kind, inputOf(kind, placeId, content, ticket));
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
    // Not the Enter that ends a word in Chinese or Japanese.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) send();
    else if (event.key === 'ArrowUp' && !text) document.querySelector('.list .message:last-of-type, .list .block:last-of-type .message:last-of-type')?.focus();
    else return;
    event.preventDefault();
  };

  return (
    <form class="composer" onSubmit={(event) => (event.preventDefault(), send())}>
      {ticket && <TicketRow ticket={ticket} channelId={placeId} onChange={setTicket} />}
      <textarea ref={area} rows={1} value={text} aria-label={label} placeholder={label} title={words.hint}
        onInput={(event) => write(event.currentTarget.value)} onKeyDown={onKeyDown} />
      {problem && <p class="problem" role="alert">{problemText(problem)}</p>}
      {!isDraftKept && !problem && <p class="hint" role="status">{words.draftNotKept}</p>}
      <div class="composer-bar">
        <Templates text={text} onInsert={insert} />
        {kind === 'message' && (
          <button type="button" class="icon-button" aria-pressed={ticket !== null} aria-label={words.ticket} title={words.ticket}
            onClick={() => setTicket(ticket ? null : { title: '', priority: 'MEDIUM', assigneeId: null })}>
            <Icon name="ticket" />
          </button>
        )}
        <span class="composer-hint">{words.hint}</span>
        <button class="primary send" aria-label={words.send} disabled={!text.trim()}><span>{words.send}</span><Icon name="send" size={18} /></button>
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

function inputOf(kind, placeId, content, ticket) {
  if (kind === 'comment') return { messageId: placeId, content };
  if (!ticket) return { channelId: placeId, content };
  const { title, priority, assigneeId } = ticket;
  return { channelId: placeId, content, ticket: { priority, assigneeId }, ...(title.trim() && { title: title.trim() }) };
}

function useGrowing(area, text) {
  useLayoutEffect(() => {
    const { style } = area.current;
    style.height = 'auto';
    style.height = `${area.current.scrollHeight}px`;
  }, [text]);
}
