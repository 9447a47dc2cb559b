// The page of a message: its text, its ticket fields and its comments.

import { useEffect, useState } from 'preact/hooks';
import { DELETE_MESSAGE } from '../data/documents.js';
import { pendingIn, ticketNow } from '../data/pending.js';
import { texts } from '../texts.js';
import { Comment, PendingComment } from './comment.jsx';
import { Composer } from './composer.jsx';
import { FailedChanges } from './failed-changes.jsx';
import { useClient, useOutboxEntries, useClientData, useLoading } from './client-context.js';
import { MessageEditor } from './message-editor.jsx';
import { PageHead } from './page.jsx';
import { NotFound } from './not-found.jsx';
import { Avatar, Field, Name, problemText, Text } from './parts.jsx';
import { go, isOn, to } from './route.js';
import { AssigneeNote, AssigneeSelect, PrioritySelect, StatusSelect } from './ticket-fields.jsx';
import { fullOf, shortOf } from './time.js';

const words = texts.message;

export function MessagePage({ id }) {
  const message = useClientData(({ state }) => state.messages.get(id));
  const channel = useClientData(({ state }) => state.channels.get(message?.channelId ?? ''));
  const { thread, isGone, problem } = useThread(id);
  if (!message) return <NotFound title={words.title} reason={isGone ? words.gone : problem && problemText(problem)} />;
  return (
    <main class="page">
      <PageHead title={message.title ? <Name>{message.title}</Name> : words.untitled} subtitle={channel && <Name>{channel.name}</Name>} back={to.channel(message.channelId)}
        icon={message.ticket && 'ticket'} />
      <div class="thread-frame" data-ticket={Boolean(message.ticket)}>
        <div class="thread">
          <Original message={message} />
          <FailedChanges messageId={id} />
          {message.ticket && <TicketPanel message={message} />}
          <Comments message={message} thread={thread} />
        </div>
      </div>
      <Composer key={id} kind="comment" parentId={id} label={texts.composer.comment} />
    </main>
  );
}

function Original({ message }) {
  const client = useClient();
  const me = useClientData(({ state }) => state.me);
  const [isEditing, setIsEditing] = useState(false);
  const { id, channelId, author, createdAt, updatedAt, content } = message;
  const mayChange = me?.id === message.authorId || me?.role === 'ADMIN';
  const remove = () => {
    if (!confirm(words.confirmDelete)) return;
    client.run(DELETE_MESSAGE, { id }).then(() => isOn('message', id) && go(to.channel(channelId)), () => {});
  };
  return (
    <article class="original">
      <header class="original-head">
        <Avatar user={author} />
        <div>
          <b><Name>{author?.displayName}</Name></b>
          <p class="time" title={fullOf(createdAt)}>
            <time datetime={createdAt}>{shortOf(createdAt)}</time>{updatedAt !== createdAt && ` · ${words.edited}`}
          </p>
        </div>
        <span class="spacer" />
        {mayChange && !isEditing && (
          <>
            <button type="button" class="button-small button-quiet" onClick={() => setIsEditing(true)}>{words.edit}</button>
            <button type="button" class="button-small button-quiet" onClick={remove}>{words.delete}</button>
          </>
        )}
      </header>
      {isEditing ? <MessageEditor message={message} onDone={() => setIsEditing(false)} />
        : <p class="original-text"><Text>{content}</Text></p>}
    </article>
  );
}

function TicketPanel({ message }) {
  const client = useClient();
  const ticket = ticketNow(useOutboxEntries(), message);
  const [problem, setProblem] = useState(null);
  const change = (part) => {
    try {
      client.changeTicket(message.id, part);
      setProblem(null);
    } catch (problem) {
      setProblem(problem);
    }
  };
  return (
    <section class="ticket-panel" aria-label={texts.board.title}>
      <Field label={texts.ticket.status}><StatusSelect value={ticket.status} onChange={(status) => change({ status })} /></Field>
      <Field label={texts.ticket.priority}><PrioritySelect value={ticket.priority} onChange={(priority) => change({ priority })} /></Field>
      <Field label={texts.ticket.assignee}>
        <AssigneeSelect value={ticket.assigneeId} current={ticket.assignee} channelId={message.channelId}
          onChange={(assigneeId) => change({ assigneeId })} />
      </Field>
      <AssigneeNote channelId={message.channelId} assignee={ticket.assigneeId === ticket.assignee?.id ? ticket.assignee : null} />
      {problem && <p class="problem" role="alert">{problemText(problem)}</p>}
    </section>
  );
}

function Comments({ message, thread }) {
  const client = useClient();
  const comments = useClientData(({ state }) => state.comments);
  const me = useClientData(({ state }) => state.me);
  const shown = (thread?.ids ?? []).map((id) => comments.get(id)).filter((comment) => comment !== undefined);
  const pending = pendingIn(useOutboxEntries(), 'comment', message.id, shown, me?.id);
  const earlier = () => client.loadThread(message.id, thread.edge).catch(() => {});
  return (
    <section class="comments" aria-label={words.comments(message.commentCount)}>
      <h2>{message.commentCount || pending.length ? words.comments(message.commentCount) : words.noComments}</h2>
      {thread?.hasMore && <button type="button" class="button-small button-quiet" onClick={earlier}>{words.earlier}</button>}
      {shown.map((comment) => (
        <Comment key={comment.id} comment={comment} mayDelete={me?.role === 'ADMIN' || me?.id === comment.authorId} />
      ))}
      {pending.map((entry) => <PendingComment key={entry.key} entry={entry} />)}
    </section>
  );
}

function useThread(id) {
  const client = useClient();
  const thread = useClientData(({ state }) => state.threads.get(id));
  const isLoaded = useClientData(({ state }) => state.isLoaded);
  const epoch = useClientData(({ state }) => state.epoch);
  const [isGone, setIsGone] = useState(false);
  const problem = useLoading(isLoaded && !client.state.threads.has(id), () =>
    client.loadThread(id).then((isThere) => setIsGone(!isThere)), [id, isLoaded, epoch]);
  // A message that disappears from the state was deleted, or the user lost the permission to read it.
  const isThere = useClientData(({ state }) => state.messages.has(id));
  useEffect(() => {
    if (isThere) return () => setIsGone(true);
    return undefined;
  }, [isThere]);
  return { thread, isGone, problem };
}
