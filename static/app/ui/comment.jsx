// One comment, and one that is still on its way.

import { DELETE_COMMENT } from '../data/documents.js';
import { texts } from '../texts.js';
import { useClient, useLive } from './live.js';
import { Failure, PendingState } from './message-row.jsx';
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
          {mayDelete && <button type="button" class="small quiet on-hover" onClick={remove}>{texts.message.delete}</button>}
        </header>
        <Folded text={content} />
      </div>
    </article>
  );
}

export function PendingComment({ entry }) {
  const me = useLive(({ state }) => state.me);
  return (
    <article class="comment pending" data-state={entry.state}>
      <Avatar user={me} />
      <div class="message-main">
        <header class="message-head"><b><Name>{me?.displayName}</Name></b><PendingState state={entry.state} /></header>
        <Folded text={entry.input.content} />
        {entry.state === 'failed' && <Failure entry={entry} error={entry.error} />}
      </div>
    </article>
  );
}
