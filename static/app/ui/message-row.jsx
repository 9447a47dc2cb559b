// One message in a list, and one that is still on its way.

import { UNREADABLE } from '../../outbox.js';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClient, useLive } from './live.js';
import { Avatar, Folded, Name, PriorityChip, StatusChip } from './parts.jsx';
import { to } from './route.js';
import { clockOf, fullOf } from './time.js';

const words = texts.message;

export function MessageRow({ message, isFirst }) {
  const { id, title, content, author, ticket, createdAt, commentCount } = message;
  return (
    <article class="message" data-first={isFirst} data-id={id} tabindex={-1}>
      <div class="message-side">
        {isFirst ? <Avatar user={author} /> : <time class="side-time" datetime={createdAt}>{clockOf(createdAt)}</time>}
      </div>
      <div class="message-main">
        {isFirst && (
          <header class="message-head">
            <b><Name>{author?.displayName}</Name></b>
            <a class="time" href={to.message(id)} title={fullOf(createdAt)}><time datetime={createdAt}>{clockOf(createdAt)}</time></a>
          </header>
        )}
        {(title || ticket) && (
          <p class="message-title">
            {ticket && <Icon name="ticket" size={18} />}
            <a class="open" href={to.message(id)}>{title ? <Name>{title}</Name> : words.untitled}</a>
            {ticket && <StatusChip status={ticket.status} />}
            {ticket && <PriorityChip priority={ticket.priority} />}
          </p>
        )}
        <Folded text={content} />
        {commentCount > 0 && (
          <a class="comments-link" href={to.message(id)}><Icon name="comment" size={16} />{words.comments(commentCount)}</a>
        )}
      </div>
      <a class="icon-button open message-open" href={to.message(id)} aria-label={words.open(title ?? content.slice(0, 40))}>
        <Icon name="comment" size={18} />
      </a>
    </article>
  );
}

// Looks like what it will be, and says how far it is.
export function PendingMessage({ entry }) {
  const me = useLive(({ state }) => state.me);
  const { input, key, state, error } = entry;
  return (
    <article class="message pending" data-first data-state={state} data-key={key} tabindex={-1}>
      <div class="message-side"><Avatar user={me} /></div>
      <div class="message-main">
        <header class="message-head"><b><Name>{me?.displayName}</Name></b><PendingState state={state} /></header>
        {input.title && <p class="message-title"><Name>{input.title}</Name></p>}
        <Folded text={input.content} />
        {state === 'failed' && <Failure entry={entry} error={error} />}
      </div>
    </article>
  );
}

export function PendingState({ state }) {
  return <span class="pending-state">{words[state]}</span>;
}

function isPlaceThere({ channels, messages }, { kind, input }) {
  if (kind === 'message') return channels.has(input.channelId);
  return kind === 'comment' && messages.has(input.messageId);
}

/**
 * Why an entry was not sent, and what can be done with it. `onEdit` is called when it is back in a composer: only where
 * its place is still there.
 *
 * @param {{ entry: any, error?: string, what?: string, onEdit?: () => void }} props `error` is a code, or a text of the
 *   server; `what` says before it what was not done.
 */
export function Failure({ entry, error, what, onEdit = () => {} }) {
  const client = useClient();
  const hasComposer = useLive(({ state }) => isPlaceThere(state, entry));
  const { key, kind } = entry;
  return (
    <p class="failure">
      <span>{what && <>{what} </>}{texts.problems[error] ?? error}</span>
      {kind !== UNREADABLE && <button type="button" class="small" onClick={() => client.outbox.retry(key)}>{words.retry}</button>}
      {hasComposer && (
        <button type="button" class="small" onClick={() => (client.takeBack(entry), onEdit())}>{words.edit}</button>
      )}
      <button type="button" class="small quiet" onClick={() => client.outbox.discard(key)}>{words.discard}</button>
    </p>
  );
}
