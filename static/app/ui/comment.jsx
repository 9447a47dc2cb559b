// A comment, and a comment that is still in the outbox.

import { DELETE_COMMENT } from '../data/documents.js';
import { texts } from '../texts.js';
import { useClient, useClientData } from './client-context.js';
import { EntryError, PendingState } from './message-row.jsx';
import { Avatar, Folded, Name } from './parts.jsx';
import { fullOf, shortOf } from './time.js';

export function Comment({ comment, mayDelete }) {
  const client = useClient();
  const { id, author, content, createdAt } = comment;
  const remove = () => confirm(texts.message.confirmDeleteComment) && client.run(DELETE_COMMENT, { id }).catch(() => {});
  return (
    <article class="comment" data-id={id}>
      <Avatar user={author} />
      <div class="message-main">
        <header class="message-head">
          <b><Name>{author?.displayName}</Name></b>
          <time class="time" datetime={createdAt} title={fullOf(createdAt)}>{shortOf(createdAt)}</time>
          <span class="spacer" />
          {mayDelete && <button type="button" class="button-small button-quiet comment-action" onClick={remove}>{texts.message.delete}</button>}
        </header>
        <Folded text={content} />
      </div>
    </article>
  );
}

export function PendingComment({ entry }) {
  const me = useClientData(({ state }) => state.me);
  return (
    <article class="comment pending" data-state={entry.state}>
      <Avatar user={me} />
      <div class="message-main">
        <header class="message-head"><b><Name>{me?.displayName}</Name></b><PendingState state={entry.state} /></header>
        <Folded text={entry.input.content} />
        {entry.state === 'failed' && <EntryError entry={entry} error={entry.error} />}
      </div>
    </article>
  );
}
