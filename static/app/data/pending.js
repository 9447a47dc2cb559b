// How components show entries of the outbox before the server has stored them. Pure functions.

/** @import { Id, OutboxEntry, TicketMessage } from './types.d.ts' */

import { isNewer } from './reducer.js';

/**
 * The unsent messages of a channel, or the unsent comments of a message. The event of a message can arrive before the
 * answer of its mutation. Such an entry is left out, because the message would be on the screen twice.
 *
 * @template {'message' | 'comment'} Kind
 * @param {OutboxEntry[]} entries
 * @param {Kind} kind
 * @param {Id} parentId The id of the channel or of the message.
 * @param {{ id: Id, authorId: Id, content: string }[]} stored The messages or comments that are loaded, oldest first.
 * @param {Id | undefined} me
 */
export function pendingIn(entries, kind, parentId, stored, me) {
  const ownItems = stored.filter((item) => item.authorId === me);
  return entries.filter((entry) => {
    if (entry.kind !== kind || parentIdOf(entry) !== parentId) return false;
    if (entry.state !== 'sending') return true;
    const found = ownItems.findIndex((item) => isNewer(item.id, entry.since ?? '0') && item.content === entry.input.content);
    if (found >= 0) ownItems.splice(found, 1);
    return found < 0;
  });
}

/**
 * The ticket of a message with the unsent changes applied.
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

function parentIdOf({ kind, input }) {
  return kind === 'comment' ? input.messageId : input.channelId;
}
