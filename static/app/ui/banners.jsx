// The banners above every page: the browser stores nothing, or the outbox has failed entries that this page does not
// show.

import { useState } from 'preact/hooks';
import { UNREADABLE } from '../../outbox.js';
import { texts } from '../texts.js';
import { useClient, useOutboxEntries, useClientData } from './client-context.js';
import { EntryError } from './message-row.jsx';
import { Dialog, Folded, Name } from './parts.jsx';
import { go, to } from './route.js';

const words = texts.unsent;

export function Banners({ route }) {
  const client = useClient();
  const [isOpen, setIsOpen] = useState(false);
  const channels = useClientData(({ state }) => state.channels);
  const failed = useOutboxEntries().filter(({ state }) => state === 'failed');
  const elsewhere = failed.filter((entry) => !isShownOn(route, entry, channels));
  return (
    <>
      {client.storageProblem && <p class="banner" role="status">{texts.storage[client.storageProblem]}</p>}
      {elsewhere.length > 0 && (
        <p class="banner" data-tone="bad" role="status">
          <span>{words.notSent(elsewhere.length)}</span>
          <button type="button" class="button-small" onClick={() => setIsOpen(true)}>{words.show}</button>
        </p>
      )}
      {isOpen && <FailedEntries entries={failed} channels={channels} onClose={() => setIsOpen(false)} />}
    </>
  );
}

function isShownOn({ page, id, view }, { kind, input }, channels) {
  if (kind === 'message') return page === 'channel' && view !== 'tickets' && id === input.channelId && channels.has(id);
  if (kind === 'comment') return page === 'message' && id === input.messageId;
  return kind === 'ticket' && (page === 'tickets' || view === 'tickets' || (page === 'message' && id === input.id));
}

function FailedEntries({ entries, channels, onClose }) {
  const edited = ({ kind, input }) => {
    onClose();
    go(kind === 'comment' ? to.message(input.messageId) : to.channel(input.channelId));
  };
  return (
    <Dialog title={words.title} onClose={onClose}>
      {entries.length === 0 && <p class="hint">{words.nothing}</p>}
      <ul class="failed-entries">
        {entries.map((entry) => (
          <li key={entry.key}>
            <EntryLocation entry={entry} channels={channels} />
            {entry.kind !== 'ticket' && <Folded text={entry.kind === UNREADABLE ? entry.input : entry.input.content} />}
            <EntryError entry={entry} error={entry.kind === UNREADABLE ? 'UNREADABLE' : entry.error} onEdit={() => edited(entry)} />
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

function EntryLocation({ entry: { kind, input }, channels }) {
  if (kind === 'message') {
    const channel = channels.get(input.channelId);
    return <p class="hint">{channel ? <Name>{channel.name}</Name> : words.goneChannel}</p>;
  }
  if (kind === 'comment') return <p class="hint">{words.comment(input.messageId)}</p>;
  return kind === 'ticket' && <p class="hint">{words.ticket(input.id)}</p>;
}
