// The loaded messages of a channel, oldest first. They render in blocks: an event changes one block only, and the
// browser lays out only the blocks near the viewport. This keeps lists of thousands of messages fast.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { pendingIn } from '../data/pending.js';
import { texts } from '../texts.js';
import { focusComposer } from './composer.jsx';
import { Icon } from './icons.jsx';
import { useClient, useOutboxEntries, useClientData, useLoading } from './client-context.js';
import { MessageBlock } from './message-block.jsx';
import { PendingMessage } from './message-row.jsx';
import { Empty, problemText } from './parts.jsx';
import { useScrollPosition } from './scrolling.js';

// Distance from the top of the list at which older messages are loaded, in CSS pixels.
const LOAD_DISTANCE_PX = 1200;

// Maximum number of messages while the user is at the end. A longer list is replaced by its newest page.
const MAX_MESSAGES = 600;

// Size of the range of ids in a block. A block is a fixed range of ids, so new or older messages do not shift the
// others into another block.
const BLOCK_SIZE = 50;

export function MessageList({ channel }) {
  const client = useClient();
  const { id } = channel;
  const { timeline, problem } = useTimeline(id);
  const messages = useClientData(({ state }) => state.messages);
  const entries = useOutboxEntries();
  const me = useClientData(({ state }) => state.me?.id);
  const list = useRef();
  const shown = (timeline?.ids ?? []).map((each) => messages.get(each)).filter((message) => message !== undefined);
  const pending = pendingIn(entries, 'message', id, shown, me);
  const { isAtEnd, isAtEndNow, scrollToEnd } = useScrollPosition(list, [shown.at(-1)?.id, pending.length], shown[0]?.id, !timeline);
  const newMessages = useNewMessageCount(shown, isAtEnd, me);
  useLoadOlder(list, id, timeline);
  useReadMarker(id, isAtEnd && Boolean(timeline), timeline);
  useEffect(() => {
    if (!isAtEnd || shown.length <= MAX_MESSAGES) return undefined;
    let isCurrent = true;
    // Loads the newest messages, which drops older ones from memory. If the user has scrolled up before the response
    // arrives, the list keeps the older ones.
    client.loadMessages(id, null, () => isCurrent && isAtEndNow()).catch(() => {});
    return () => (isCurrent = false);
  }, [id, isAtEnd, Math.floor((shown.length - 1) / MAX_MESSAGES)]);

  return (
    <div class="message-list-frame">
      <div class="message-list" ref={list} tabindex={0} role="log" aria-live="off" aria-label={texts.channel.list(channel.name)}
        onKeyDown={moveFocus}>
        {!timeline && <p class="hint text-center">{problem ? problemText(problem) : texts.channel.loading}</p>}
        {timeline?.hasMore && <p class="hint text-center">{texts.channel.older}</p>}
        {timeline && !timeline.hasMore && shown.length > 0 && <p class="hint text-center">{texts.channel.beginning(channel.name)}</p>}
        {timeline && !shown.length && !pending.length && (
          <Empty title={texts.channel.empty}><p>{texts.channel.emptyHint}</p></Empty>
        )}
        {blocksOf(shown).map(({ key, messages, before }) => <MessageBlock key={key} messages={messages} before={before} />)}
        {pending.map((entry) => <PendingMessage key={entry.key} entry={entry} />)}
      </div>
      {!isAtEnd && (
        <button type="button" class="message-list-end" onClick={scrollToEnd}>
          <Icon name="down" size={18} />{newMessages ? texts.channel.newer(newMessages) : texts.channel.toEnd}
        </button>
      )}
    </div>
  );
}

function blocksOf(messages) {
  const blocks = [];
  let before = null;
  for (const message of messages) {
    const key = Math.floor(Number(message.id) / BLOCK_SIZE);
    if (blocks.at(-1)?.key !== key) blocks.push({ key, messages: [], before });
    blocks.at(-1).messages.push(message);
    before = message;
  }
  return blocks;
}

// Loads the newest page, and loads it again after a change of permissions or a reload of the state.
function useTimeline(id) {
  const client = useClient();
  const timeline = useClientData(({ state }) => state.timelines.get(id));
  const isLoaded = useClientData(({ state }) => state.isLoaded);
  const epoch = useClientData(({ state }) => state.epoch);
  useEffect(() => {
    client.openChannel(id);
    return () => client.openChannel(null);
  }, [id]);
  // A timeline that is loaded already is kept up to date by events.
  const problem = useLoading(isLoaded && !client.state.timelines.has(id), () => client.loadMessages(id), [id, isLoaded, epoch]);
  return { timeline, problem };
}

function useLoadOlder(list, id, timeline) {
  const client = useClient();
  const isLoading = useRef(false);
  const edge = timeline?.hasMore ? timeline.edge : null;
  useEffect(() => {
    const update = () => {
      if (!edge || isLoading.current || list.current.scrollTop > LOAD_DISTANCE_PX) return;
      isLoading.current = true;
      client.loadMessages(id, edge).catch(() => {}).finally(() => (isLoading.current = false));
    };
    // Check once without a scroll event: the first page may not fill the screen.
    update();
    const element = list.current;
    element.addEventListener('scroll', update, { passive: true });
    return () => element.removeEventListener('scroll', update);
  }, [id, edge]);
}

// Marks the channel as read while its newest messages are on the screen and the window has the focus.
function useReadMarker(id, isAtEnd, timeline) {
  const client = useClient();
  const [hasFocus, setHasFocus] = useState(document.hasFocus());
  useEffect(() => {
    const update = () => setHasFocus(document.hasFocus() && !document.hidden);
    for (const type of ['focus', 'blur']) addEventListener(type, update);
    return () => ['focus', 'blur'].forEach((type) => removeEventListener(type, update));
  }, []);
  useEffect(() => {
    client.viewChannel(isAtEnd && hasFocus ? id : null);
    return () => client.viewChannel(null);
  }, [id, isAtEnd, hasFocus, timeline]);
}

// The number of messages of others that arrived since the user scrolled up from the end.
function useNewMessageCount(shown, isAtEnd, me) {
  const last = useRef(null);
  useLayoutEffect(() => {
    if (isAtEnd) last.current = shown.at(-1)?.id;
  });
  if (isAtEnd) return 0;
  const index = shown.findIndex(({ id }) => id === last.current);
  return index < 0 ? 0 : shown.slice(index + 1).filter(({ authorId }) => authorId !== me).length;
}

function moveFocus(event) {
  if (event.target.closest('input, textarea, select')) return;
  const rows = [...event.currentTarget.querySelectorAll('.message')];
  const row = event.target.closest('.message');
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (event.key === 'Escape') focusComposer();
  else if (event.key === 'Enter' && event.target === row) row.querySelector('a.message-link')?.click();
  else if (by && !event.altKey) {
    const next = row ? rows[rows.indexOf(row) + by] : rows.at(-1);
    if (next) next.focus();
    else if (by > 0) focusComposer();
  } else return;
  event.preventDefault();
}
