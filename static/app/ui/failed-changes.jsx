// The list of ticket changes that the server rejected, so that the user can retry or discard them.

import { texts } from '../texts.js';
import { EntryError } from './message-row.jsx';
import { useOutboxEntries, useClientData } from './client-context.js';

// Without a `messageId` the list has the changes of all tickets.
export function FailedChanges({ messageId = null }) {
  const messages = useClientData(({ state }) => state.messages);
  const failed = useOutboxEntries().filter(({ kind, state, input }) =>
    kind === 'ticket' && state === 'failed' && (!messageId || input.id === messageId));
  if (!failed.length) return null;
  return (
    <div class="failed-changes" role="alert">
      {failed.map((entry) => (
        <EntryError key={entry.key} entry={entry} error={entry.error}
          what={texts.ticket.notChanged(messages.get(entry.input.id)?.title ?? '')} />
      ))}
    </div>
  );
}
