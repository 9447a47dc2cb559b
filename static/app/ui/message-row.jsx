// A message in a list, and a message that is still in the outbox.

import { UNREADABLE } from '../../outbox.js';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClient, useClientData } from './client-context.js';
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
            <a class="message-link" href={to.message(id)}>{title ? <Name>{title}</Name> : words.untitled}</a>
            {ticket && <StatusChip status={ticket.status} />}
            {ticket && <PriorityChip priority={ticket.priority} />}
          </p>
        )}
        <Folded text={content} />
        {commentCount > 0 && (
          <a class="comments-link" href={to.message(id)}><Icon name="comment" size={16} />{words.comments(commentCount)}</a>
        )}
      </div>
      <a class="icon-button message-link message-open" href={to.message(id)} aria-label={words.open(title ?? content.slice(0, 40))}>
        <Icon name="comment" size={18} />
      </a>
    </article>
  );
}

// An unsent message. It looks like a stored one and shows the state of its entry.
export function PendingMessage({ entry }) {
  const me = useClientData(({ state }) => state.me);
  const { input, key, state, error } = entry;
  return (
    <article class="message pending" data-first data-state={state} data-key={key} tabindex={-1}>
      <div class="message-side"><Avatar user={me} /></div>
      <div class="message-main">
        <header class="message-head"><b><Name>{me?.displayName}</Name></b><PendingState state={state} /></header>
        {input.title && <p class="message-title"><Name>{input.title}</Name></p>}
        <Folded text={input.content} />
        {state === 'failed' && <EntryError entry={entry} error={error} />}
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
 * The error of a failed entry, with buttons to retry, edit or discard it. The edit button is shown only if the channel
 * or message of the entry still exists. `onEdit` is called after the entry was moved to the draft of its composer.
 *
 * @param {{ entry: any, error?: string, what?: string, onEdit?: () => void }} props `error` is a code of texts.js or a
 *   message of the server; `what` is a text before it.
 */
export function EntryError({ entry, error, what, onEdit = () => {} }) {
  const client = useClient();
  const hasComposer = useClientData(({ state }) => isPlaceThere(state, entry));
  const { key, kind } = entry;
  return (
    <p class="entry-error">
      <span>{what && <>{what} </>}{texts.problems[error] ?? error}</span>
      {kind !== UNREADABLE && <button type="button" class="button-small" onClick={() => client.outbox.retry(key)}>{words.retry}</button>}
      {hasComposer && (
        <button type="button" class="button-small" onClick={() => (client.moveToDraft(entry), onEdit())}>{words.edit}</button>
      )}
      <button type="button" class="button-small button-quiet" onClick={() => client.outbox.discard(key)}>{words.discard}</button>
    </p>
  );
}
