// Changes of tickets that the server refused: nothing that somebody did disappears without a word.

import { texts } from '../texts.js';
import { Failure } from './message-row.jsx';
import { useEntries, useLive } from './live.js';

// Of one message, or of all.
export function FailedChanges({ messageId = null }) {
  const messages = useLive(({ state }) => state.messages);
  const failed = useEntries().filter(({ kind, state, input }) =>
    kind === 'ticket' && state === 'failed' && (!messageId || input.id === messageId));
  if (!failed.length) return null;
  return (
    <div class="failed-changes" role="alert">
      {failed.map((entry) => (
        <Failure key={entry.key} entry={entry} error={entry.error}
          what={texts.ticket.notChanged(messages.get(entry.input.id)?.title ?? '')} />
      ))}
    </div>
  );
}
