// The ticket board: one column for each status. The user moves a card to another column by dragging it or
// with Shift and an arrow key. On touch screens the card has a select for this.

/** @import { Ticket, TicketMessage, TicketStatus } from '../data/types.d.ts' */

import { useState } from 'preact/hooks';
import { compareIds } from '../data/reducer.js';
import { ticketNow } from '../data/pending.js';
import { texts } from '../texts.js';
import { announce } from './announce.jsx';
import { Card } from './card.jsx';
import { FailedChanges } from './failed-changes.jsx';
import { Icon } from './icons.jsx';
import { useClient, useOutboxEntries, useClientData, useLoading } from './client-context.js';
import { NewTicket } from './new-ticket.jsx';
import { problemText } from './parts.jsx';
import { AssigneeSelect, PRIORITIES, PrioritySelect, Select, STATUSES } from './ticket-fields.jsx';
import { compareNames } from './channels.js';

const words = texts.board;
const MINE = 'mine';

export function Board({ channelId = null }) {
  const client = useClient();
  const [filter, setFilter] = useState({ assignee: null, priority: '', channel: '' });
  const [isWriting, setIsWriting] = useState(false);
  const { more, problem } = useTickets(channelId);
  const [moveProblem, setMoveProblem] = useState(null);
  const tickets = useFilteredTickets(channelId, filter);
  const move = (id, title, status) => {
    try {
      client.changeTicket(id, { status });
    } catch (problem) {
      return setMoveProblem(problem);
    }
    setMoveProblem(null);
    return announce(words.moved(title, texts.ticket.statuses[status]));
  };
  return (
    <div class="board-frame">
      <Filters filter={filter} onChange={setFilter} withChannel={!channelId}>
        <span class="spacer" />
        <UnsentTickets channelId={channelId} />
        <button type="button" class="button-small board-new" aria-label={words.new} title={words.new} onClick={() => setIsWriting(true)}>
          <Icon name="plus" size={16} /><span>{words.new}</span>
        </button>
      </Filters>
      {(moveProblem ?? problem) && <p class="problem" role="alert">{problemText(moveProblem ?? problem)}</p>}
      <FailedChanges />
      <p class="visually-hidden" id="board-keys">{words.keys}</p>
      <div class="board" onKeyDown={(event) => onKeyDown(event, move)}>
        {STATUSES.map((status) => (
          <Column key={status} status={status} tickets={tickets.get(status)} more={more[status]} onMove={move}
            withChannel={!channelId} />
        ))}
      </div>
      {isWriting && <NewTicket channelId={channelId} onClose={() => setIsWriting(false)} />}
    </div>
  );
}

// The number of unsent tickets. They have no card until the server has stored them.
function UnsentTickets({ channelId }) {
  const number = useOutboxEntries().filter(({ kind, input }) =>
    kind === 'message' && input.ticket && (!channelId || input.channelId === channelId)).length;
  return number > 0 && <span class="hint" role="status">{words.waiting(number)}</span>;
}

function Filters({ filter, onChange, withChannel, children }) {
  const channels = useClientData(({ state }) => state.channels);
  const change = (part) => onChange({ ...filter, ...part });
  const names = [...channels.values()].sort(compareNames).map(({ id, name }) => [id, name]);
  return (
    <div class="filters">
      {withChannel && (
        <Select value={filter.channel} label={words.channel} options={[['', words.everyChannel], ...names]}
          onChange={(channel) => change({ channel })} />
      )}
      <AssigneeSelect value={filter.assignee} first={words.everyone} more={[[MINE, words.mine]]}
        onChange={(assignee) => change({ assignee })} />
      <PrioritySelect value={filter.priority} all={words.anyPriority} onChange={(priority) => change({ priority })} />
      {children}
    </div>
  );
}

function Column({ status, tickets, more, onMove, withChannel }) {
  const [isOver, setIsOver] = useState(false);
  const name = texts.ticket.statuses[status];
  const onDragOver = (event) => {
    if (!event.dataTransfer.types.includes('application/x-tidings-ticket')) return;
    event.preventDefault();
    setIsOver(true);
  };
  const onDrop = (event) => {
    event.preventDefault();
    setIsOver(false);
    const { id, title, from } = JSON.parse(event.dataTransfer.getData('application/x-tidings-ticket'));
    if (from !== status) onMove(id, title, status);
  };
  return (
    <section class="column" data-status={status} data-over={isOver} aria-label={words.column(name, tickets.length)}
      onDragOver={onDragOver} onDragLeave={() => setIsOver(false)} onDrop={onDrop}>
      <h2 class="column-head"><span class="column-dot" data-status={status} />{name}<span class="column-count">{tickets.length}</span></h2>
      <ul class="cards">
        {tickets.map(({ message, ticket }) => (
          <Card key={message.id} message={message} ticket={ticket} onMove={onMove} withChannel={withChannel} />
        ))}
      </ul>
      {tickets.length === 0 && <p class="hint">{words.empty}</p>}
      {more && <button type="button" class="button-small button-quiet" onClick={more}>{words.more}</button>}
    </section>
  );
}

// Loads the first page of each column. Returns a function for each status that loads its next page, and the last
// problem.
function useTickets(channelId) {
  const client = useClient();
  const isLoaded = useClientData(({ state }) => state.isLoaded);
  const epoch = useClientData(({ state }) => state.epoch);
  const [cursors, setCursors] = useState({});
  const load = (status, after) =>
    client.loadTickets(status, channelId, after)
      .then((cursor) => setCursors((cursors) => ({ ...cursors, [status]: cursor })));
  const problem = useLoading(isLoaded, () => Promise.all(STATUSES.map((status) => load(status, null))), [channelId, isLoaded, epoch]);
  const next = (status) => () => load(status, cursors[status]).catch(() => {});
  return { problem, more: Object.fromEntries(STATUSES.map((status) => [status, cursors[status] && next(status)])) };
}

function useFilteredTickets(channelId, filter) {
  const state = useClientData(({ state }) => state);
  const entries = useOutboxEntries();
  /** @type {Map<string, { message: TicketMessage, ticket: Ticket }[]>} */
  const columns = new Map(STATUSES.map((status) => [status, []]));
  const assignee = filter.assignee === MINE ? state.me?.id : filter.assignee;
  for (const id of state.tickets) {
    const message = /** @type {TicketMessage} */ (state.messages.get(id));
    const ticket = ticketNow(entries, message);
    const isShown = (!channelId || message.channelId === channelId)
      && (!filter.channel || message.channelId === filter.channel)
      && (!assignee || ticket.assigneeId === assignee)
      && (!filter.priority || ticket.priority === filter.priority);
    if (isShown) columns.get(ticket.status)?.push({ message, ticket });
  }
  for (const column of columns.values()) column.sort(compareByPriority);
  return columns;
}

// Orders by priority, the most urgent first, then by age, the oldest first.
function compareByPriority(one, other) {
  return PRIORITIES.indexOf(other.ticket.priority) - PRIORITIES.indexOf(one.ticket.priority)
    || compareIds(one.message.id, other.message.id);
}

function onKeyDown(event, move) {
  const card = event.target.closest('.card');
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
  if (!card || x === undefined || event.altKey || event.target.matches('select')) return;
  event.preventDefault();
  const columns = [...event.currentTarget.querySelectorAll('.column')];
  const index = columns.indexOf(card.closest('.column'));
  if (event.shiftKey) {
    const status = x && STATUSES[index + x];
    if (!status) return;
    const { id, title } = card.dataset;
    move(id, title, status);
    const board = event.currentTarget;
    // The card renders again in the other column, and the focus follows, unless the user has moved it meanwhile.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const { activeElement } = document;
      if (activeElement === document.body || card.contains(activeElement)) board.querySelector(`.card[data-id="${id}"] a`)?.focus();
    }));
    return;
  }
  const cards = [...columns[index].querySelectorAll('.card')];
  let next = cards[cards.indexOf(card) + y];
  for (let at = index + x; x && columns[at]; at += x) {
    const there = [...columns[at].querySelectorAll('.card')];
    next = there[Math.min(cards.indexOf(card), there.length - 1)];
    if (next) break;
  }
  next?.querySelector('a').focus();
}
