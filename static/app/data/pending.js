// What the outbox holds, as it is shown before the server has it.

/** @import { Id, OutboxEntry, TicketMessage } from './types.d.ts' */

import { newer } from './fold.js';

/**
 * The messages of a channel, or the comments of a message, that wait. One that has arrived by the event stream, but whose
 * answer has not, is left out: it would show twice.
 *
 * @template {'message' | 'comment'} Kind
 * @param {OutboxEntry[]} entries
 * @param {Kind} kind
 * @param {Id} place The channel or the message.
 * @param {{ id: Id, authorId: Id, content: string }[]} written What the place has, oldest first.
 * @param {Id | undefined} me
 */
export function pendingIn(entries, kind, place, written, me) {
  const own = written.filter((item) => item.authorId === me);
  return entries.filter((entry) => {
    if (entry.kind !== kind || placeOf(entry) !== place) return false;
    if (entry.state !== 'sending') return true;
    const found = own.findIndex((item) => newer(item.id, entry.since ?? '0') && item.content === entry.input.content);
    if (found >= 0) own.splice(found, 1);
    return found < 0;
  });
}

/**
 * The ticket of a message with the changes that wait.
 *
 * @param {OutboxEntry[]} entries
 * @param {Pick<TicketMessage, 'id' | 'ticket'>} message
 */
export function ticketNow(entries, message) {
  let { ticket } = message;
  for (const { kind, input, state } of entries) {
    if (kind === 'ticket' && input.id === message.id && state !== 'failed') ticket = { ...ticket, ...input.ticket };
  }
  return ticket;
}

function placeOf({ kind, input }) {
  return kind === 'comment' ? input.messageId : input.channelId;
}
