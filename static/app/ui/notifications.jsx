// The page of the user's notifications, newest first.

import { compareIds } from '../data/reducer.js';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClient, useClientData } from './client-context.js';
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
  const notifications = useClientData(({ state }) => state.notifications);
  const sorted = [...notifications.values()].sort((one, other) => compareIds(other.id, one.id));
  const unread = sorted.filter(({ readAt }) => !readAt);
  const read = (id) => client.readNotification(id).catch(() => {});
  return (
    <main class="page">
      <PageHead title={words.title} icon="bell">
        {unread.length > 0 && (
          <button type="button" class="button-small button-quiet" onClick={() => unread.forEach(({ id }) => read(id))}>{words.readAll}</button>
        )}
      </PageHead>
      <div class="scroll">
        {sorted.length === 0 && <Empty title={words.empty} />}
        <ul class="notifications">
          {sorted.map((note) => <Note key={note.id} note={note} onRead={() => read(note.id)} />)}
        </ul>
      </div>
    </main>
  );
}

// Links "ticket 8" and "message 8" in a notification to that message. The server writes them in this form.
function NoteText({ children }) {
  return children.split(/\b((?:ticket|message) \d+)\b/).map((part, index) =>
    index % 2 ? <a key={index} href={to.message(part.split(' ')[1])}>{part}</a> : <Text key={index}>{part}</Text>);
}

function Note({ note, onRead }) {
  const { title, message, priority, createdAt, readAt, userId } = note;
  return (
    <li class="notification" data-unread={!readAt}>
      <span class="notification-dot" aria-hidden="true" />
      <div class="notification-main">
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
