// The reducer of the web client: it merges answers of queries into the state and applies events to it. Pure functions:
// they take a state and return a new one. Unchanged parts are the same objects, so components compare by identity.
//
// Events contain whole objects, so applying an event twice has no further effect. The answer of a query may therefore
// be merged at any time. The events that arrived since the query began must then be applied again.

/** @import { Base, Channel, Collection, Comment, Connection, Event, EventFields, Id, LoadedList, Message, Notification, State, Thread, User } from './types.d.ts' */

/** @type {State} */
export const emptyState = {
  me: null,
  isLoaded: false,
  epoch: 0,
  channels: new Map(),
  messages: new Map(),
  tickets: new Set(),
  timelines: new Map(),
  comments: new Map(),
  threads: new Map(),
  templates: new Map(),
  notifications: new Map(),
  unread: new Map(),
  broadcasts: new Map(),
  opened: null,
  viewing: null,
  recount: new Set(),
  renamed: new Set(),
  requery: null,
};

// Maximum length of a timeline that is not on the screen, in messages. A longer one is dropped, and loaded again when
// the user opens the channel. This bounds the memory of a page that stays open for days.
const MAX_HIDDEN_TIMELINE = 400;

// Maximum number of ids of unread messages per channel. The ids keep a repeated event from being counted twice.
const MAX_UNREAD_IDS = 200;

/**
 * Whether the id `one` is newer than `other`. Ids are decimal numbers of any length, and newer ids are larger.
 *
 * @param {Id} one
 * @param {Id} other
 */
export function isNewer(one, other) {
  return one.length === other.length ? one > other : one.length > other.length;
}

/** @param {Id} one @param {Id} other */
export function compareIds(one, other) {
  return one === other ? 0 : isNewer(one, other) ? 1 : -1;
}

/**
 * @param {State} state
 * @param {readonly Event[]} events In the order of the log. Unknown kinds of events are skipped.
 * @returns {State}
 */
export function applyEvents(state, events) {
  const draft = new Draft(state);
  for (const event of events) {
    const apply = /** @type {((draft: Draft, event: Event) => void) | undefined} */ (appliers[event.__typename]);
    apply?.(draft, event);
  }
  return draft.state;
}

// A state under construction. It copies a collection before the first change to it, once per draft.
class Draft {
  /** @type {Set<Collection>} */
  #own = new Set();

  /** @param {State} state */
  constructor(state) {
    this.state = { ...state };
  }

  /**
   * @template {Collection} Name
   * @param {Name} name
   * @returns {State[Name]} The copy of the collection; it may be changed.
   */
  write(name) {
    if (!this.#own.has(name)) {
      // A collection is a Map or a Set. Its constructor copies another one.
      const Copy = /** @type {new (from: State[Name]) => State[Name]} */ (this.state[name].constructor);
      this.state[name] = new Copy(this.state[name]);
      this.#own.add(name);
    }
    return this.state[name];
  }
}

/** @type {{ [Name in keyof EventFields]: (draft: Draft, event: EventFields[Name]) => void }} */
const appliers = {
  MessageAdded(draft, { message }) {
    upsertMessage(draft, message);
    countUnread(draft, message);
  },
  MessageUpdated: (draft, { message }) => upsertMessage(draft, message),
  MessageDeleted(draft, { messageId, channelId }) {
    removeMessage(draft, messageId);
    const unread = draft.state.unread.get(channelId);
    if (unread?.ids.has(messageId)) {
      const ids = new Set(unread.ids);
      ids.delete(messageId);
      draft.write('unread').set(channelId, { ...unread, ids });
    }
  },
  CommentAdded(draft, { comment }) {
    upsertComment(draft, comment);
    const message = draft.state.messages.get(comment.messageId);
    // Only if the number differs: a new object would render the message again.
    if (message && comment.message && message.commentCount !== comment.message.commentCount) {
      draft.write('messages').set(message.id, { ...message, commentCount: comment.message.commentCount });
    }
  },
  CommentUpdated: (draft, { comment }) => upsertComment(draft, comment),
  CommentDeleted(draft, { commentId, messageId }) {
    const thread = draft.state.threads.get(messageId);
    if (thread) draft.write('threads').set(messageId, without(thread, commentId));
    if (draft.state.comments.has(commentId)) draft.write('comments').delete(commentId);
    // Subtracting one would be wrong for a message that was loaded after the deletion.
    if (draft.state.messages.has(messageId)) draft.write('recount').add(messageId);
  },
  ChannelAdded: (draft, { channel }) => upsertChannel(draft, channel),
  ChannelUpdated: (draft, { channel }) => upsertChannel(draft, channel),
  ChannelDeleted: (draft, { channelId }) => removeChannel(draft, channelId),
  TemplateAdded: (draft, { template }) => draft.write('templates').set(template.id, template),
  TemplateDeleted: (draft, { templateId }) => draft.write('templates').delete(templateId),
  NotificationAdded: (draft, { notification }) => draft.write('notifications').set(notification.id, notification),
  RoomBroadcast: (draft, { channelId, data }) => draft.write('broadcasts').set(channelId, data),
  UserUpdated: (draft, { userId }) => draft.write('renamed').add(userId),
  AccessChanged(draft, { changedChannelId }) {
    const { requery } = draft.state;
    if (requery !== 'everything') draft.state.requery = changedChannelId ? [...(requery ?? []), changedChannelId] : 'everything';
  },
};

// ---- Answers of queries ----

/**
 * Merges the lists that are always in memory. A channel that is not in the answer is removed with all its content.
 *
 * @param {State} state
 * @param {Omit<Base, 'cursor'>} base
 */
export function mergeBase(state, { me, channels, templates, notifications }) {
  const draft = new Draft({ ...state, me, isLoaded: true, requery: null });
  const known = new Set(channels.map(({ id }) => id));
  for (const id of state.channels.keys()) if (!known.has(id)) removeChannel(draft, id);
  for (const channel of channels) {
    draft.write('channels').set(channel.id, channel);
    draft.write('unread').set(channel.id, { count: channel.unreadCount ?? 0, ids: new Set() });
  }
  draft.state.templates = byId(templates);
  draft.state.notifications = byId(notifications);
  return draft.state;
}

/**
 * Drops the content of channels whose permissions have changed. The components that show it load it again, because
 * `epoch` grows.
 *
 * @param {State} state
 * @param {Id[] | 'everything'} channelIds
 */
export function invalidateChannels(state, channelIds) {
  const draft = new Draft({ ...state, epoch: state.epoch + 1 });
  const isAffected = (id) => channelIds === 'everything' || channelIds.includes(id);
  for (const id of state.channels.keys()) if (isAffected(id)) removeContent(draft, id);
  return draft.state;
}

/**
 * Merges a page of a channel's messages, newest first. The first page replaces the timeline; a later page adds older
 * messages to it.
 *
 * @param {State} state
 * @param {Id} channelId
 * @param {Connection<Message>} page
 * @param {boolean} isFirst
 */
export function mergeMessages(state, channelId, { edges, pageInfo }, isFirst) {
  const draft = new Draft(state);
  if (isFirst) removeMessagesBefore(draft, channelId, edges.at(-1)?.node.id);
  for (const { node } of edges) setMessage(draft, node);
  const before = isFirst ? [] : (draft.state.timelines.get(channelId)?.ids ?? []);
  const ids = [...edges.map(({ node }) => node.id).reverse(), ...before];
  draft.write('timelines').set(channelId, { ids, hasMore: pageInfo.hasNextPage, edge: edges.at(-1)?.cursor ?? null });
  return draft.state;
}

/**
 * Merges tickets of any channel.
 *
 * @param {State} state
 * @param {Message[]} messages
 */
export function mergeTickets(state, messages) {
  const draft = new Draft(state);
  for (const message of messages) setMessage(draft, message);
  return draft.state;
}

/**
 * Merges a message with a page of its comments. The first page has the newest comments and replaces the thread; a later
 * page adds older comments.
 *
 * @param {State} state
 * @param {Thread} message
 * @param {boolean} isFirst
 */
export function mergeThread(state, message, isFirst) {
  const draft = new Draft(state);
  setMessage(draft, message);
  const { edges, pageInfo } = message.comments;
  for (const { node } of edges) draft.write('comments').set(node.id, node);
  const newer = isFirst ? [] : (draft.state.threads.get(message.id)?.ids ?? []);
  const ids = [...edges.map(({ node }) => node.id), ...newer];
  draft.write('threads').set(message.id, { ids, hasMore: pageInfo.hasPreviousPage, edge: edges[0]?.cursor ?? null });
  return draft.state;
}

/** @param {State} state @param {Pick<Message, 'id' | 'commentCount'>[]} messages */
export function mergeCounts(state, messages) {
  const draft = new Draft({ ...state, recount: new Set() });
  for (const { id, commentCount } of messages) {
    const message = draft.state.messages.get(id);
    if (message) draft.write('messages').set(id, { ...message, commentCount });
  }
  return draft.state;
}

/**
 * Replaces the names of a user everywhere.
 *
 * @param {State} state
 * @param {User} user
 */
export function mergeUser(state, user) {
  const draft = new Draft({ ...state, me: state.me?.id === user.id ? { ...state.me, ...user } : state.me });
  const isOf = (other) => other?.id === user.id;
  for (const [id, message] of state.messages) {
    const { author, ticket } = message;
    if (!isOf(author) && !isOf(ticket?.assignee)) continue;
    draft.write('messages').set(id, {
      ...message,
      author: isOf(author) ? user : author,
      ticket: ticket && isOf(ticket.assignee) ? { ...ticket, assignee: user } : ticket,
    });
  }
  for (const [id, comment] of state.comments) if (isOf(comment.author)) draft.write('comments').set(id, { ...comment, author: user });
  for (const [id, channel] of state.channels) if (isOf(channel.owner)) draft.write('channels').set(id, { ...channel, owner: user });
  return draft.state;
}

/** @param {State} state @param {Notification} notification */
export function mergeNotification(state, notification) {
  const draft = new Draft(state);
  draft.write('notifications').set(notification.id, notification);
  return draft.state;
}

// ---- Read markers ----

/** @param {State} state @param {Id | null} channelId @returns {State} */
export function openChannel(state, channelId) {
  return { ...state, opened: channelId };
}

/** @param {State} state @param {Id | null} channelId @returns {State} */
export function viewChannel(state, channelId) {
  const seen = channelId && state.unread.get(channelId);
  if (state.viewing === channelId && !(seen && seen.count + seen.ids.size)) return state;
  const draft = new Draft({ ...state, viewing: channelId });
  if (seen) draft.write('unread').set(channelId, { count: 0, ids: new Set() });
  return draft.state;
}

/**
 * Merges the read markers of the server. The channel that the user looks at stays read: its read marker may still be on
 * the way to the server.
 *
 * @param {State} state
 * @param {{ id: Id, unreadCount: number }[]} channels
 * @param {Notification[]} notifications
 */
export function mergeReadMarkers(state, channels, notifications) {
  const draft = new Draft({ ...state, notifications: byId(notifications) });
  for (const { id, unreadCount } of channels) {
    if (id !== state.viewing && draft.state.unread.has(id)) draft.write('unread').set(id, { count: unreadCount, ids: new Set() });
  }
  return draft.state;
}

/** @param {Pick<State, 'unread'>} state @param {Id} channelId */
export function unreadIn(state, channelId) {
  const unread = state.unread.get(channelId);
  return unread ? unread.count + unread.ids.size : 0;
}

// ---- Internal steps ----

/**
 * Whether the state must hold this message: it is a ticket, is loaded already, or lies in a loaded timeline.
 *
 * @param {State} state
 * @param {Message} message
 */
function isNeeded(state, { id, channelId, ticket }) {
  if (ticket || state.messages.has(id)) return true;
  const timeline = state.timelines.get(channelId);
  return timeline !== undefined && isInLoadedRange(timeline, id);
}

/**
 * Whether an id lies in the loaded part of a list. An older item would leave a gap: the page that contains the item
 * also brings the items in between.
 *
 * @param {LoadedList} list
 * @param {Id} id
 */
function isInLoadedRange({ ids, hasMore }, id) {
  return !hasMore || ids.length === 0 || isNewer(id, ids[0]);
}

/** @param {Draft} draft @param {Message} message */
function upsertMessage(draft, message) {
  if (!isNeeded(draft.state, message)) return;
  setMessage(draft, message);
  const timeline = draft.state.timelines.get(message.channelId);
  if (!timeline) return;
  if (timeline.ids.length > MAX_HIDDEN_TIMELINE && message.channelId !== draft.state.opened) dropTimeline(draft, message.channelId);
  else if (isInLoadedRange(timeline, message.id)) insert(draft.write('timelines'), message.channelId, message.id);
}

/** @param {Draft} draft @param {Message & { comments?: unknown }} message */
function setMessage(draft, { comments, ...message }) {
  draft.write('messages').set(message.id, message);
  const { tickets } = draft.state;
  if (message.ticket && !tickets.has(message.id)) draft.write('tickets').add(message.id);
}

/** @param {Draft} draft @param {Id} id */
function removeMessage(draft, id) {
  const message = draft.state.messages.get(id);
  if (!message) return;
  draft.write('messages').delete(id);
  if (draft.state.tickets.has(id)) draft.write('tickets').delete(id);
  const timeline = draft.state.timelines.get(message.channelId);
  if (timeline) draft.write('timelines').set(message.channelId, without(timeline, id));
  removeThread(draft, id);
}

/** @param {Draft} draft @param {Comment & { message?: unknown }} comment */
function upsertComment(draft, { message, ...comment }) {
  const thread = draft.state.threads.get(comment.messageId);
  if (!thread || !(draft.state.comments.has(comment.id) || isInLoadedRange(thread, comment.id))) return;
  draft.write('comments').set(comment.id, comment);
  insert(draft.write('threads'), comment.messageId, comment.id);
}

/** @param {Draft} draft @param {Id} messageId */
function removeThread(draft, messageId) {
  const thread = draft.state.threads.get(messageId);
  if (!thread) return;
  for (const id of thread.ids) draft.write('comments').delete(id);
  draft.write('threads').delete(messageId);
}

/** @param {Draft} draft @param {Channel} channel */
function upsertChannel(draft, channel) {
  draft.write('channels').set(channel.id, { ...draft.state.channels.get(channel.id), ...channel });
  if (!draft.state.unread.has(channel.id)) draft.write('unread').set(channel.id, { count: 0, ids: new Set() });
}

/** @param {Draft} draft @param {Id} id */
function removeChannel(draft, id) {
  removeContent(draft, id);
  draft.write('channels').delete(id);
  draft.write('unread').delete(id);
  draft.write('broadcasts').delete(id);
}

/** @param {Draft} draft @param {Id} channelId */
function removeContent(draft, channelId) {
  // The timeline goes first, so that removeMessage does not search it for each message.
  draft.write('timelines').delete(channelId);
  for (const message of draft.state.messages.values()) if (message.channelId === channelId) removeMessage(draft, message.id);
}

/**
 * Drops the messages before a reloaded timeline, to free memory. Tickets stay because a board may show them, and
 * messages with a loaded thread stay.
 *
 * @param {Draft} draft
 * @param {Id} channelId
 * @param {Id | null | undefined} oldest
 */
function removeMessagesBefore(draft, channelId, oldest) {
  for (const message of draft.state.messages.values()) {
    if (message.channelId !== channelId || message.ticket || draft.state.threads.has(message.id)) continue;
    if (!oldest || isNewer(oldest, message.id)) draft.write('messages').delete(message.id);
  }
}

/** @param {Draft} draft @param {Id} channelId */
function dropTimeline(draft, channelId) {
  draft.write('timelines').delete(channelId);
  removeMessagesBefore(draft, channelId, null);
}

/** @param {Draft} draft @param {Message} message */
function countUnread(draft, { id, channelId, authorId }) {
  const { unread, viewing, me } = draft.state;
  const seen = unread.get(channelId);
  if (!seen || viewing === channelId || authorId === me?.id || seen.ids.has(id)) return;
  const next = seen.ids.size < MAX_UNREAD_IDS ? { ...seen, ids: new Set(seen.ids).add(id) }
    : { count: seen.count + seen.ids.size, ids: new Set([id]) };
  draft.write('unread').set(channelId, next);
}

/**
 * Inserts an id in order. The search starts at the end, where most new ids belong.
 *
 * @param {Map<Id, LoadedList>} lists
 * @param {Id} key
 * @param {Id} id
 */
function insert(lists, key, id) {
  const list = lists.get(key);
  if (!list) return;
  const { ids } = list;
  let index = ids.length;
  while (index > 0 && isNewer(ids[index - 1], id)) index -= 1;
  if (ids[index - 1] === id) return;
  lists.set(key, { ...list, ids: [...ids.slice(0, index), id, ...ids.slice(index)] });
}

/** @param {LoadedList} list @param {Id} id */
function without(list, id) {
  return list.ids.includes(id) ? { ...list, ids: list.ids.filter((each) => each !== id) } : list;
}

/** @template {{ id: Id }} Item @param {Item[]} list @returns {Map<Id, Item>} */
function byId(list) {
  return new Map(list.map((item) => [item.id, item]));
}
