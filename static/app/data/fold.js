// The state of the client: what queries answered, and the events folded over it. Pure: a state goes in, a new one comes
// out, and what did not change is the same object, so that pages can tell by looking.
//
// Applying an event again, or one that a page already knows, changes nothing for good: events carry whole objects. So
// a page may be merged at any time, if the events that came while it was on its way are applied once more after it.

/** @import { Base, Channel, Collection, Comment, Connection, Event, EventFields, Id, Listed, Message, Notification, State, Thread } from './types.d.ts' */

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
  requery: null,
};

// A timeline that nobody looks at is kept up to this length, for whoever comes back. A window that is open for days must
// not fill the memory.
const LONGEST_UNSEEN = 400;

// So many ids of unread messages are kept, so that an event that comes again is not counted again.
const RECENT = 200;

/**
 * Whether `one` is newer than `other`: ids are decimal numbers of any length, and grow.
 *
 * @param {Id} one
 * @param {Id} other
 */
export function newer(one, other) {
  return one.length === other.length ? one > other : one.length > other.length;
}

/** @param {Id} one @param {Id} other */
export function compareIds(one, other) {
  return one === other ? 0 : newer(one, other) ? 1 : -1;
}

/**
 * @param {State} state
 * @param {readonly Event[]} events In the order of the log. Kinds that this version does not know are passed over.
 * @returns {State}
 */
export function fold(state, events) {
  const draft = new Draft(state);
  for (const event of events) {
    const apply = /** @type {((draft: Draft, event: Event) => void) | undefined} */ (appliers[event.__typename]);
    apply?.(draft, event);
  }
  return draft.state;
}

// Copies a collection when it is first written to, once per fold.
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
   * @returns {State[Name]} The collection, which may be changed.
   */
  write(name) {
    if (!this.#own.has(name)) {
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
    keepMessage(draft, message);
    countUnread(draft, message);
  },
  MessageUpdated: (draft, { message }) => keepMessage(draft, message),
  MessageDeleted(draft, { messageId, channelId }) {
    dropMessage(draft, messageId);
    const unread = draft.state.unread.get(channelId);
    if (unread?.ids.has(messageId)) {
      const ids = new Set(unread.ids);
      ids.delete(messageId);
      draft.write('unread').set(channelId, { ...unread, ids });
    }
  },
  CommentAdded(draft, { comment }) {
    keepComment(draft, comment);
    const message = draft.state.messages.get(comment.messageId);
    // Only if it differs: an unchanged object need not be drawn again.
    if (message && comment.message && message.commentCount !== comment.message.commentCount) {
      draft.write('messages').set(message.id, { ...message, commentCount: comment.message.commentCount });
    }
  },
  CommentUpdated: (draft, { comment }) => keepComment(draft, comment),
  CommentDeleted(draft, { commentId, messageId }) {
    const thread = draft.state.threads.get(messageId);
    if (thread) draft.write('threads').set(messageId, without(thread, commentId));
    if (draft.state.comments.has(commentId)) draft.write('comments').delete(commentId);
    // To subtract one would be wrong for a message that was loaded after the deletion.
    if (draft.state.messages.has(messageId)) draft.write('recount').add(messageId);
  },
  ChannelAdded: (draft, { channel }) => keepChannel(draft, channel),
  ChannelUpdated: (draft, { channel }) => keepChannel(draft, channel),
  ChannelDeleted: (draft, { channelId }) => dropChannel(draft, channelId),
  TemplateAdded: (draft, { template }) => draft.write('templates').set(template.id, template),
  TemplateDeleted: (draft, { templateId }) => draft.write('templates').delete(templateId),
  NotificationAdded: (draft, { notification }) => draft.write('notifications').set(notification.id, notification),
  RoomBroadcast: (draft, { channelId, data }) => draft.write('broadcasts').set(channelId, data),
  AccessChanged(draft, { changedChannelId }) {
    const { requery } = draft.state;
    if (requery !== 'everything') draft.state.requery = changedChannelId ? [...(requery ?? []), changedChannelId] : 'everything';
  },
};

// ---- What queries answer ----

/**
 * The lists that everything else hangs on. Channels that are not among them are gone, with all that was in them.
 *
 * @param {State} state
 * @param {Omit<Base, 'cursor'>} base
 */
export function mergeBase(state, { me, channels, templates, notifications }) {
  const draft = new Draft({ ...state, me, isLoaded: true, requery: null });
  const known = new Set(channels.map(({ id }) => id));
  for (const id of state.channels.keys()) if (!known.has(id)) dropChannel(draft, id);
  for (const channel of channels) {
    draft.write('channels').set(channel.id, channel);
    draft.write('unread').set(channel.id, { count: channel.unreadCount ?? 0, ids: new Set() });
  }
  draft.state.templates = byId(templates);
  draft.state.notifications = byId(notifications);
  return draft.state;
}

/**
 * What somebody may no longer see, or see more of, is forgotten and loaded anew by the page that shows it.
 *
 * @param {State} state
 * @param {Id[] | 'everything'} channelIds
 */
export function forget(state, channelIds) {
  const draft = new Draft({ ...state, epoch: state.epoch + 1 });
  const concerned = (id) => channelIds === 'everything' || channelIds.includes(id);
  for (const id of state.channels.keys()) if (concerned(id)) dropContent(draft, id);
  return draft.state;
}

/**
 * A page of a channel, newest first. The first page begins the timeline anew; a later one continues it into the past.
 *
 * @param {State} state
 * @param {Id} channelId
 * @param {Connection<Message>} page
 * @param {boolean} isFirst
 */
export function mergeMessages(state, channelId, { edges, pageInfo }, isFirst) {
  const draft = new Draft(state);
  if (isFirst) forgetBefore(draft, channelId, edges.at(-1)?.node.id);
  for (const { node } of edges) setMessage(draft, node);
  const before = isFirst ? [] : (draft.state.timelines.get(channelId)?.ids ?? []);
  const ids = [...edges.map(({ node }) => node.id).reverse(), ...before];
  draft.write('timelines').set(channelId, { ids, hasMore: pageInfo.hasNextPage, edge: edges.at(-1)?.cursor ?? null });
  return draft.state;
}

/**
 * Tickets for a board, wherever they are.
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
 * A message with a page of its comments: the newest ones, or those before.
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
  const behind = isFirst ? [] : (draft.state.threads.get(message.id)?.ids ?? []);
  const ids = [...edges.map(({ node }) => node.id), ...behind];
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

/** @param {State} state @param {Notification} notification */
export function mergeNotification(state, notification) {
  const draft = new Draft(state);
  draft.write('notifications').set(notification.id, notification);
  return draft.state;
}

// ---- Reading ----

/** @param {State} state @param {Id | null} channelId @returns {State} */
export function open(state, channelId) {
  return { ...state, opened: channelId };
}

/** @param {State} state @param {Id | null} channelId @returns {State} */
export function view(state, channelId) {
  const seen = channelId && state.unread.get(channelId);
  if (state.viewing === channelId && !(seen && seen.count + seen.ids.size)) return state;
  const draft = new Draft({ ...state, viewing: channelId });
  if (seen) draft.write('unread').set(channelId, { count: 0, ids: new Set() });
  return draft.state;
}

/**
 * What has been read elsewhere. The channel that somebody looks at is read, whatever the server knows of it yet.
 *
 * @param {State} state
 * @param {{ id: Id, unreadCount: number }[]} channels
 * @param {Notification[]} notifications
 */
export function mergeGlance(state, channels, notifications) {
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

// ---- Steps of the above ----

/**
 * Whether something that is shown, or was asked for, needs this message.
 *
 * @param {State} state
 * @param {Message} message
 */
function isWanted(state, { id, channelId, ticket }) {
  if (ticket || state.messages.has(id)) return true;
  const timeline = state.timelines.get(channelId);
  return timeline !== undefined && belongsTo(timeline, id);
}

/**
 * Not what is older than the oldest one shown: the page that brings it will bring what is between them, too.
 *
 * @param {Listed} list
 * @param {Id} id
 */
function belongsTo({ ids, hasMore }, id) {
  return !hasMore || ids.length === 0 || newer(id, ids[0]);
}

/** @param {Draft} draft @param {Message} message */
function keepMessage(draft, message) {
  if (!isWanted(draft.state, message)) return;
  setMessage(draft, message);
  const timeline = draft.state.timelines.get(message.channelId);
  if (!timeline) return;
  if (timeline.ids.length > LONGEST_UNSEEN && message.channelId !== draft.state.opened) letGo(draft, message.channelId);
  else if (belongsTo(timeline, message.id)) insert(draft.write('timelines'), message.channelId, message.id);
}

/** @param {Draft} draft @param {Message & { comments?: unknown }} message */
function setMessage(draft, { comments, ...message }) {
  draft.write('messages').set(message.id, message);
  const { tickets } = draft.state;
  if (message.ticket && !tickets.has(message.id)) draft.write('tickets').add(message.id);
}

/** @param {Draft} draft @param {Id} id */
function dropMessage(draft, id) {
  const message = draft.state.messages.get(id);
  if (!message) return;
  draft.write('messages').delete(id);
  if (draft.state.tickets.has(id)) draft.write('tickets').delete(id);
  const timeline = draft.state.timelines.get(message.channelId);
  if (timeline) draft.write('timelines').set(message.channelId, without(timeline, id));
  dropThread(draft, id);
}

/** @param {Draft} draft @param {Comment & { message?: unknown }} comment */
function keepComment(draft, { message, ...comment }) {
  const thread = draft.state.threads.get(comment.messageId);
  if (!thread || !(draft.state.comments.has(comment.id) || belongsTo(thread, comment.id))) return;
  draft.write('comments').set(comment.id, comment);
  insert(draft.write('threads'), comment.messageId, comment.id);
}

/** @param {Draft} draft @param {Id} messageId */
function dropThread(draft, messageId) {
  const thread = draft.state.threads.get(messageId);
  if (!thread) return;
  for (const id of thread.ids) draft.write('comments').delete(id);
  draft.write('threads').delete(messageId);
}

/** @param {Draft} draft @param {Channel} channel */
function keepChannel(draft, channel) {
  draft.write('channels').set(channel.id, { ...draft.state.channels.get(channel.id), ...channel });
  if (!draft.state.unread.has(channel.id)) draft.write('unread').set(channel.id, { count: 0, ids: new Set() });
}

/** @param {Draft} draft @param {Id} id */
function dropChannel(draft, id) {
  dropContent(draft, id);
  draft.write('channels').delete(id);
  draft.write('unread').delete(id);
  draft.write('broadcasts').delete(id);
}

/** @param {Draft} draft @param {Id} channelId */
function dropContent(draft, channelId) {
  // First, or each message would look for itself in it.
  draft.write('timelines').delete(channelId);
  for (const message of draft.state.messages.values()) if (message.channelId === channelId) dropMessage(draft, message.id);
}

/**
 * The timeline begins anew: what lies before it would only fill the memory. Tickets stay, a board may show them.
 *
 * @param {Draft} draft
 * @param {Id} channelId
 * @param {Id | null | undefined} oldest
 */
function forgetBefore(draft, channelId, oldest) {
  for (const message of draft.state.messages.values()) {
    if (message.channelId !== channelId || message.ticket || draft.state.threads.has(message.id)) continue;
    if (!oldest || newer(oldest, message.id)) draft.write('messages').delete(message.id);
  }
}

/** @param {Draft} draft @param {Id} channelId */
function letGo(draft, channelId) {
  draft.write('timelines').delete(channelId);
  forgetBefore(draft, channelId, null);
}

/** @param {Draft} draft @param {Message} message */
function countUnread(draft, { id, channelId, authorId }) {
  const { unread, viewing, me } = draft.state;
  const seen = unread.get(channelId);
  if (!seen || viewing === channelId || authorId === me?.id || seen.ids.has(id)) return;
  const next = seen.ids.size < RECENT ? { ...seen, ids: new Set(seen.ids).add(id) }
    : { count: seen.count + seen.ids.size, ids: new Set([id]) };
  draft.write('unread').set(channelId, next);
}

/**
 * Nearly always at the end.
 *
 * @param {Map<Id, Listed>} lists
 * @param {Id} key
 * @param {Id} id
 */
function insert(lists, key, id) {
  const list = lists.get(key);
  if (!list) return;
  const { ids } = list;
  let place = ids.length;
  while (place > 0 && newer(ids[place - 1], id)) place -= 1;
  if (ids[place - 1] === id) return;
  lists.set(key, { ...list, ids: [...ids.slice(0, place), id, ...ids.slice(place)] });
}

/** @param {Listed} list @param {Id} id */
function without(list, id) {
  return list.ids.includes(id) ? { ...list, ids: list.ids.filter((each) => each !== id) } : list;
}

/** @template {{ id: Id }} Item @param {Item[]} list @returns {Map<Id, Item>} */
function byId(list) {
  return new Map(list.map((item) => [item.id, item]));
}
