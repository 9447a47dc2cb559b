// What somebody was told, newest first, until they say that they have read it.

import { compareIds } from '../data/fold.js';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClient, useLive } from './live.js';
import { PageHead } from './page.jsx';
import { Empty, Name, PriorityChip, Text } from './parts.jsx';
import { to } from './route.js';
import { fullOf, shortOf } from './time.js';

const words = texts.notifications;

export function unreadNotifications(state) {
  let unread = 0;
  for (const { readAt } of state.notifications.values()) if (!readAt) unread += 1;
  return unread;
}

export function Notifications() {
  const client = useClient();
  const notifications = useLive(({ state }) => state.notifications);
  const sorted = [...notifications.values()].sort((one, other) => compareIds(other.id, one.id));
  const unread = sorted.filter(({ readAt }) => !readAt);
  const read = (id) => client.readNotification(id).catch(() => {});
  return (
    <main class="page">
      <PageHead title={words.title} icon="bell">
        {unread.length > 0 && (
          <button type="button" class="small quiet" onClick={() => unread.forEach(({ id }) => read(id))}>{words.readAll}</button>
        )}
      </PageHead>
      <div class="scroll">
        {sorted.length === 0 && <Empty title={words.empty} />}
        <ul class="notes">
          {sorted.map((note) => <Note key={note.id} note={note} onRead={() => read(note.id)} />)}
        </ul>
      </div>
    </main>
  );
}

// The server writes "ticket 8" or "message 8": that is the way there.
function NoteText({ children }) {
  return children.split(/\b((?:ticket|message) \d+)\b/).map((part, index) =>
    index % 2 ? <a key={index} href={to.message(part.split(' ')[1])}>{part}</a> : <Text key={index}>{part}</Text>);
}

function Note({ note, onRead }) {
  const { title, message, priority, createdAt, readAt, userId } = note;
  return (
    <li class="note" data-unread={!readAt}>
      <span class="note-dot" aria-hidden="true" />
      <div class="note-main">
        <header class="message-head">
          <b><Name>{title}</Name></b>
          {priority !== 'LOW' && priority !== 'MEDIUM' && <PriorityChip priority={priority} />}
          {!userId && <span class="chip">{words.announcement}</span>}
          <time class="time" datetime={createdAt} title={fullOf(createdAt)}>{shortOf(createdAt)}</time>
        </header>
        <p class="message-text"><NoteText>{message}</NoteText></p>
      </div>
      {!readAt && (
        <button type="button" class="icon-button" aria-label={`${words.read}: ${title}`} title={words.read} onClick={onRead}>
          <Icon name="check" />
        </button>
      )}
    </li>
  );
}
