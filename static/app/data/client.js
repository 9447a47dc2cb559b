// The data layer of the web client for one signed-in user. A Client owns the state, the event subscription that updates
// the state, the outbox, and the WebSocket that all of them share. Components read `state` and call the methods below.

/** @import { Base, Connectivity, Cursor, Event, Id, KeyedStorage, OutboxEntry, StreamEvent, State } from './types.d.ts' */

import { entriesIn, Outbox, Refused, Suspected } from '../../outbox.js';
import { connectionIndicator, initialConnectivity, nextConnectivity } from './connection.js';
import * as documents from './documents.js';
import { Drafts } from './drafts.js';
import * as reducer from './reducer.js';
import { Problem } from './problem.js';
import { Socket } from './socket.js';

// Messages in one page of a channel.
const PAGE = 50;

// Minimum time between two batches of events, in milliseconds. It limits how often components render.
const BATCH_MS = 40;
// Delay before read markers are sent, in milliseconds. It limits how often they are sent.
const MARK_MS = 1_000;
const RETRY_MS = 2_000;

// Close codes with which the server rejects a frame or reports an internal error. The entry that was being sent may be
// the cause.
const SUSPICIOUS_CLOSES = new Set([1002, 1007, 1009, 4400, 4500]);

export class Client {
  /** @type {State} */
  state = reducer.emptyState;
  /** @type {Connectivity} */
  connection = initialConnectivity;
  /** @type {Cursor | null} */
  cursor = null;
  #session;
  #socket;
  #isClosed = false;
  /** @type {Event[]} */
  #queue = [];
  #lastBatch = 0;
  /** @type {number | undefined} */
  #batchTimer;
  /**
   * For each request in flight, the events that arrived since it began.
   *
   * @type {Set<Event[]>}
   */
  #inFlight = new Set();
  /** @type {Set<Id>} */
  #channelsToMark = new Set();
  /** @type {number | undefined} */
  #markTimer;
  /** @type {number | undefined} */
  #flushTimer;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {(() => void)[]} */
  #cleanups = [];
  #storage;

  /**
   * @param {{ session: import('./session.js').Session, storage: KeyedStorage, storageProblem?: 'forbidden' | 'full' | null }} options
   *   `storageProblem` is the reason why a reload loses the session; null if a reload keeps it.
   */
  constructor({ session, storage, storageProblem = null }) {
    this.#session = session;
    this.#storage = storage;
    this.storageProblem = storageProblem;
    const { user } = /** @type {import('./types.d.ts').SignedIn} */ (session.current);
    this.userId = user.id;
    this.drafts = new Drafts(storage, user.id);
    this.outbox = new Outbox({
      storage: entriesIn(storage, `tidings.outbox.${user.id}.`, isKnown),
      send: (entry) => this.#send(entry),
      onSent: (entry, apply) => apply(),
    });
    this.#socket = new Socket({
      token: () => session.current?.token,
      isExpired: () => session.isExpired,
      onConnectionEvent: (event) => this.#transition(event),
      renew: () => session.renew(),
      onSessionEnd: () => session.end('ended'),
    });
    this.#listen(globalThis, 'online', () => this.#onOnline());
    this.#listen(globalThis, 'offline', () => this.#transition({ type: 'offline' }));
    this.#listen(globalThis, 'focus', () => this.#onFocus());
    this.#listen(document, 'visibilitychange', () => document.hidden || this.#socket.wake());
    this.#listen(globalThis, 'storage', ({ key }) => key?.startsWith('tidings.outbox.') && this.outbox.reload());
    this.#cleanups.push(this.outbox.onChange(() => this.#notify()));
    this.#listen(globalThis, 'beforeunload', (event) => storageProblem === 'forbidden' && this.outbox.waiting && event.preventDefault());
    this.#runEvery(session.refreshEveryMs, () => session.refreshIfDue((query) => this.run(query)).catch(() => {}));
    if (!navigator.onLine) this.#transition({ type: 'offline' });
    this.#start();
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#batchTimer);
    clearTimeout(this.#markTimer);
    clearTimeout(this.#flushTimer);
    this.#socket.close();
    for (const cleanup of this.#cleanups) cleanup();
  }

  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  indicator(now = Date.now()) {
    return connectionIndicator(this.connection, this.outbox.waiting, now);
  }

  // ---- Loading data ----

  // Loads the newest page of a channel, or the page before `edge`. The answer is dropped if `isWanted()` is false by
  // then, or if the timeline was reloaded meanwhile and no longer ends at `edge`.
  async loadMessages(channelId, edge = null, isWanted = () => true) {
    const variables = { channelId, first: PAGE, after: edge };
    await this.#load(documents.MESSAGES, variables, (state, { messages }) => {
      const isFirst = edge === null;
      const fits = isWanted() && (isFirst || state.timelines.get(channelId)?.edge === edge);
      return fits ? reducer.mergeMessages(state, channelId, messages, isFirst) : state;
    });
  }

  // Resolves with the cursor of the next page, or null on the last page.
  async loadTickets(status, channelId, after = null) {
    const { messages } = await this.#load(documents.TICKETS, { status, channelId, after }, (state, { messages }) =>
      reducer.mergeTickets(state, messages.nodes),
    );
    return messages.pageInfo.hasNextPage ? messages.pageInfo.endCursor : null;
  }

  // Loads a message with a page of its comments. Resolves with false if it does not exist or the user may not read it.
  async loadThread(id, edge = null) {
    const { message } = await this.#load(documents.THREAD, { id, before: edge }, (state, { message }) =>
      message ? reducer.mergeThread(state, message, edge === null) : state,
    );
    return message !== null;
  }

  /**
   * The users that are not disabled, ordered by username.
   *
   * @returns {Promise<import('./types.d.ts').User[]>}
   */
  async users(search = null) {
    const { users } = await this.run(documents.USERS, { search });
    return users.nodes.filter(({ disabled }) => !disabled);
  }

  // Records which channel is on the screen; null if none is.
  openChannel(channelId) {
    this.#setState(reducer.openChannel(this.state, channelId));
  }

  // Records that the user looks at the newest messages of a channel; null if the user looks at none. The messages of
  // that channel are marked as read, in the state and on the server.
  viewChannel(channelId) {
    const hadUnread = channelId && reducer.unreadIn(this.state, channelId);
    this.#setState(reducer.viewChannel(this.state, channelId));
    if (hadUnread) this.#markRead(channelId);
  }

  // ---- Actions of the user ----

  // Adds a message or a comment to the outbox. Throws the problem STORAGE_FULL if the browser's storage is full: the
  // message is then neither stored nor sent.
  write(kind, input) {
    // Messages and comments have separate id sequences.
    const loaded = kind === 'comment' ? this.state.comments : this.state.messages;
    const newest = [...loaded.keys()].sort(reducer.compareIds).at(-1);
    this.#add(kind, input, { since: newest });
  }

  // Adds a change of a ticket to the outbox. Throws as `write` does.
  changeTicket(id, ticket) {
    this.#add('ticket', { id, ticket });
  }

  #add(kind, input, more) {
    try {
      this.outbox.add(kind, input, more);
    } catch {
      throw new Problem('STORAGE_FULL');
    }
    this.#flushOutbox();
  }

  // Moves a failed message or comment from the outbox to the draft of the composer where it was written.
  moveToDraft({ key, kind, input }) {
    this.outbox.discard(key);
    this.drafts.append(draftKeyOf(kind, input), input);
  }

  // The id of the channel that was on the screen last. It survives a reload.
  get lastChannel() {
    return this.#storage.getItem(LAST_CHANNEL);
  }

  set lastChannel(id) {
    try {
      this.#storage.setItem(LAST_CHANNEL, id);
    } catch {
      // The storage is full. The value is a convenience only.
    }
  }

  async edit(input) {
    await this.#load(documents.UPDATE_MESSAGE, { input }, (state, { updateMessage: message }) =>
      reducer.applyEvents(state, [{ __typename: 'MessageUpdated', message }]),
    );
  }

  async createChannel(input) {
    const { createChannel } = await this.#load(documents.CREATE_CHANNEL, { input }, (state, { createChannel: channel }) =>
      reducer.applyEvents(state, [{ __typename: 'ChannelAdded', channel }]),
    );
    return createChannel;
  }

  async deleteChannel(id) {
    await this.run(documents.DELETE_CHANNEL, { id });
    this.#applyQueue();
    // The deletion is applied last. A ChannelUpdated event that is applied after it would insert the channel again.
    this.#setState(reducer.applyEvents(this.state, [{ __typename: 'ChannelDeleted', channelId: id }]));
  }

  async addTemplate(input) {
    await this.#load(documents.ADD_TEMPLATE, { input }, (state, { addTemplate: template }) =>
      reducer.applyEvents(state, [{ __typename: 'TemplateAdded', template }]),
    );
  }

  async readNotification(id) {
    await this.#load(documents.READ_NOTIFICATION, { id }, (state, { markNotificationRead }) =>
      reducer.mergeNotification(state, markNotificationRead),
    );
  }

  // Subscribes to live values that are not in the event log. Returns an unsubscribe function. graphql-ws ends a
  // subscription after an internal error of the server; this method starts it again.
  subscribe(query, variables, onEvent) {
    let unsubscribe;
    let timer;
    let isStopped = false;
    const begin = () => {
      unsubscribe = this.#socket.subscribe(query, variables, onEvent, (problem) => {
        // graphql-ws reports a failed connection even to a subscription that was stopped while the socket was
        // connecting.
        if (problem?.isTemporary && !isStopped && !this.#isClosed) timer = setTimeout(begin, RETRY_MS);
      });
    };
    begin();
    return () => {
      isStopped = true;
      clearTimeout(timer);
      unsubscribe();
    };
  }

  // Runs any other operation. The effect of a mutation arrives as an event.
  run(query, variables) {
    return this.#socket.run(query, variables);
  }

  // ---- The event subscription ----

  async #start() {
    try {
      const base = await this.#loadBase();
      if (this.#isClosed) return;
      this.#queue = [];
      this.#setState(reducer.mergeBase({ ...reducer.emptyState, epoch: this.state.epoch + 1, viewing: this.state.viewing, opened: this.state.opened }, base));
      this.#subscribeToEvents(base.cursor);
    } catch (problem) {
      this.#retryLater(() => this.#start(), problem);
    }
  }

  // Loads all pages of the lists that are always in memory. The cursor is that of the first page: changes between the
  // first page and a later one arrive as events, too.
  async #loadBase() {
    const all = { channels: [], templates: [] };
    const variables = {};
    /** @type {any} */
    let first = null;
    for (;;) {
      const page = await this.run(documents.BASE, variables);
      first ??= page;
      for (const list of ['channels', 'templates']) {
        const cursorName = `${list}After`;
        if (first !== page && variables[cursorName] === undefined) continue;
        all[list].push(...page[list].nodes);
        variables[cursorName] = page[list].pageInfo.hasNextPage ? page[list].pageInfo.endCursor : undefined;
      }
      if (variables.channelsAfter === undefined && variables.templatesAfter === undefined) {
        return { cursor: first.cursor, me: first.me, ...all, notifications: first.notifications.nodes };
      }
    }
  }

  #subscribeToEvents(after) {
    this.cursor = after;
    const variables = { after };
    this.#socket.subscribe(documents.EVENTS, variables, (event) => this.#receive(event), (problem) => {
      if (this.#isClosed) return;
      // The server no longer has the events after this cursor: load the state again.
      if (problem?.code === 'CURSOR_EXPIRED') this.#start();
      // The server cannot render an event, and would fail again at the same one: load the state again.
      else if (problem && !problem.isTemporary) this.#retryLater(() => this.#start(), problem);
      else this.#retryLater(() => this.#subscribeToEvents(variables.after), problem);
    });
  }

  #retryLater(work, problem) {
    if (this.#isClosed) return;
    if (problem?.code === 'UNAUTHENTICATED') return this.#session.end('ended');
    this.#transition({ type: 'lost', until: Date.now() + RETRY_MS });
    setTimeout(() => this.#isClosed || work(), problem?.retryAfterMs ?? RETRY_MS);
  }

  /** @param {StreamEvent} event */
  #receive(event) {
    this.cursor = event.cursor;
    if (event.__typename === 'Checkpoint') {
      this.#applyQueue();
      // An event from the server proves that the connection works, even if the browser reports `offline`.
      if (this.connection.phase !== 'live' || this.connection.isOffline) this.#onLive();
      return;
    }
    this.#queue.push(event);
    for (const load of this.#inFlight) load.push(event);
    this.#batchTimer ??= setTimeout(() => this.#applyQueue(), Math.max(0, this.#lastBatch + BATCH_MS - Date.now()));
  }

  #applyQueue() {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    if (!this.#queue.length) return;
    this.#lastBatch = Date.now();
    const events = this.#queue;
    this.#queue = [];
    this.#setState(reducer.applyEvents(this.state, events));
    this.#loadMissingData();
    const { viewing } = this.state;
    if (viewing && events.some((event) => 'message' in event && event.message.channelId === viewing && event.message.authorId !== this.userId)) {
      this.#markRead(viewing);
    }
  }

  // Queries what the last events did not contain.
  #loadMissingData() {
    const { recount, renamed, requery } = this.state;
    this.#loadNames(renamed);
    if (recount.size) {
      this.state = { ...this.state, recount: new Set() };
      for (const id of recount) {
        this.#load(documents.COUNT, { id }, (state, { message }) => reducer.mergeCounts(state, message ? [message] : []))
          .catch(() => {});
      }
    }
    if (requery) {
      this.state = { ...this.state, requery: null };
      this.#requery(requery);
    }
  }

  #loadNames(ids) {
    if (!ids.size) return;
    this.state = { ...this.state, renamed: new Set() };
    for (const id of ids) {
      this.#load(documents.USER_BY_ID, { id }, (state, { user }) => (user ? reducer.mergeUser(state, user) : state)).catch(() => {});
    }
  }

  async #requery(channelIds) {
    const missed = [];
    this.#inFlight.add(missed);
    try {
      const base = await this.#loadBase();
      this.#applyQueue();
      this.#setState(reducer.applyEvents(reducer.invalidateChannels(reducer.mergeBase(this.state, base), channelIds), missed));
    } catch (problem) {
      this.#retryLater(() => this.#requery(channelIds), problem);
    } finally {
      this.#inFlight.delete(missed);
    }
  }

  // Runs a query and merges the answer. Events that arrived since the query began may be newer than the answer, so they
  // are applied again after it.
  async #load(query, variables, merge) {
    const missed = [];
    this.#inFlight.add(missed);
    try {
      const data = await this.run(query, variables);
      this.#applyQueue();
      this.#setState(reducer.applyEvents(merge(this.state, data), missed));
      return data;
    } finally {
      this.#inFlight.delete(missed);
    }
  }

  // Marks a channel as read on the server, at most once in MARK_MS.
  #markRead(channelId) {
    this.#channelsToMark.add(channelId);
    this.#markTimer ??= setTimeout(() => {
      this.#markTimer = undefined;
      for (const id of this.#channelsToMark) this.run(documents.READ_CHANNEL, { id, upTo: this.cursor }).catch(() => {});
      this.#channelsToMark.clear();
    }, MARK_MS);
  }

  // ---- The outbox ----

  async #flushOutbox() {
    if (this.connection.phase !== 'live') return;
    await this.outbox.flush();
    // The connection is open, but the server could not take an entry now, for example because it is busy.
    if (!this.outbox.waiting || this.#isClosed) return;
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined;
      this.#flushOutbox();
    }, RETRY_MS);
  }

  // Sends an entry. Resolves with a function that applies the answer: the outbox calls it as it removes the entry, so
  // that the pending message and the stored message are never both on the screen.
  async #send({ kind, input, key }) {
    const missed = [];
    this.#inFlight.add(missed);
    try {
      const [query, more, asEvent] = SENDERS[kind];
      const data = await this.run(query, { input: { ...input, ...more(key) } });
      return () => {
        this.#applyQueue();
        this.state = reducer.applyEvents(this.state, [asEvent(data), ...missed]);
      };
    } catch (error) {
      if (error.code === 'UNAUTHENTICATED') this.#session.end('ended');
      else if (error.retryAfterMs) await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs));
      throw asOutboxError(error);
    } finally {
      this.#inFlight.delete(missed);
    }
  }

  // ---- The connection ----

  #onLive() {
    this.#transition({ type: 'live' });
    this.#flushOutbox();
  }

  #onOnline() {
    this.#transition({ type: 'online' });
    this.#socket.wake();
    this.#flushOutbox();
  }

  // The user has returned to the window.
  #onFocus() {
    this.#socket.wake();
    if (this.connection.phase !== 'live') return;
    this.#load(documents.READ_MARKERS, {}, (state, { channels, notifications }) =>
      reducer.mergeReadMarkers(state, channels.nodes, notifications.nodes),
    ).catch(() => {});
  }

  #transition(event) {
    this.connection = nextConnectivity(this.connection, event);
    this.#notify();
  }

  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.#notify();
  }

  #notify() {
    for (const listener of this.#listeners) listener();
  }

  #listen(target, type, listener) {
    target.addEventListener(type, listener);
    this.#cleanups.push(() => target.removeEventListener(type, listener));
  }

  #runEvery(ms, work) {
    const timer = setInterval(work, ms);
    this.#cleanups.push(() => clearInterval(timer));
  }
}

const LAST_CHANNEL = 'tidings.last-channel';

/**
 * Converts an error of `run` to the error classes that the outbox knows.
 *
 * @param {unknown} error
 */
function asOutboxError(error) {
  if (!(error instanceof Problem)) return new Suspected(String(error));
  if (SUSPICIOUS_CLOSES.has(error.closeCode ?? 0)) return new Suspected('CLOSED');
  if (error.code === 'INTERNAL_SERVER_ERROR') return new Suspected(error.code);
  return error.isTemporary || error.code === 'UNAUTHENTICATED' ? error : new Refused(error.message);
}

// The key of the draft of the composer that writes this kind of entry.
export function draftKeyOf(kind, input) {
  return kind === 'comment' ? `comment:${input.messageId}` : `message:${input.channelId}`;
}

// Whether this version can show and send a stored entry. The storage may be damaged or written by another version.
function isKnown({ kind, input }) {
  const isText = (...texts) => texts.every((text) => typeof text === 'string');
  if (kind === 'message') return isText(input.channelId, input.content) && (input.title === undefined || isText(input.title));
  if (kind === 'comment') return isText(input.messageId, input.content);
  return kind === 'ticket' && isText(input.id) && typeof input.ticket === 'object' && input.ticket !== null;
}

// How each kind of entry is sent: the document, further fields of its input, and the conversion of its answer to an
// event.
const SENDERS = {
  message: [
    documents.CREATE_MESSAGE,
    (idempotencyKey) => ({ idempotencyKey }),
    ({ createMessage: message }) => ({ __typename: 'MessageAdded', message }),
  ],
  comment: [
    documents.CREATE_COMMENT,
    (idempotencyKey) => ({ idempotencyKey }),
    ({ createComment: comment }) => ({ __typename: 'CommentAdded', comment }),
  ],
  // Setting the same ticket fields twice has no further effect, so no idempotency key is needed.
  ticket: [
    documents.UPDATE_MESSAGE,
    () => ({}),
    ({ updateMessage: message }) => ({ __typename: 'MessageUpdated', message }),
  ],
};
