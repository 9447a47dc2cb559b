// One signed-in user's live copy of the board: the state, the event stream that keeps it true, the outbox, and the
// connection they share. Pages read `state`, and say here what they want to see and do.

/** @import { Base, Connectivity, Cursor, Event, Id, KeyedStorage, OutboxEntry, Received, State } from './types.d.ts' */

import { entriesIn, Outbox, Refused, Suspected } from '../../outbox.js';
import { atFirst, light, step } from './connection.js';
import * as documents from './documents.js';
import { Drafts } from './drafts.js';
import * as folding from './fold.js';
import { Problem } from './problem.js';
import { Socket } from './socket.js';

const PAGE = 50;

// Events are folded in batches: at most so often is a page drawn, however many arrive.
const BATCH_MS = 40;
const MARK_MS = 1_000;
const RETRY_MS = 2_000;

// Close codes by which the server answers a frame that it cannot take, or at which it failed itself.
const SUSPICIOUS_CLOSES = new Set([1002, 1007, 1009, 4400, 4500]);

export class Client {
  /** @type {State} */
  state = folding.emptyState;
  /** @type {Connectivity} */
  connection = atFirst;
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
   * For each load that is under way, the events that came meanwhile.
   *
   * @type {Set<Event[]>}
   */
  #onTheirWay = new Set();
  /** @type {Set<Id>} */
  #toMark = new Set();
  /** @type {number | undefined} */
  #markTimer;
  /** @type {number | undefined} */
  #flushTimer;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {(() => void)[]} */
  #stopping = [];
  #storage;

  /**
   * @param {{ session: import('./session.js').Session, storage: KeyedStorage, notKept?: 'forbidden' | 'full' | null }} options
   *   `notKept` says why a reload forgets the session; null where it does not.
   */
  constructor({ session, storage, notKept = null }) {
    this.#session = session;
    this.#storage = storage;
    this.notKept = notKept;
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
      onStep: (event) => this.#step(event),
      onOver: () => session.end('ended'),
    });
    this.#listen(globalThis, 'online', () => this.#online());
    this.#listen(globalThis, 'offline', () => this.#step({ type: 'offline' }));
    this.#listen(globalThis, 'focus', () => this.#back());
    this.#listen(document, 'visibilitychange', () => document.hidden || this.#socket.wake());
    this.#listen(globalThis, 'storage', ({ key }) => key?.startsWith('tidings.outbox.') && this.outbox.reload());
    this.#stopping.push(this.outbox.onChange(() => this.#tell()));
    this.#listen(globalThis, 'beforeunload', (event) => notKept === 'forbidden' && this.outbox.waiting && event.preventDefault());
    this.#every(session.refreshEveryMs, () => session.refreshOver((query) => this.run(query)).catch(() => {}));
    if (!navigator.onLine) this.#step({ type: 'offline' });
    this.#start();
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#batchTimer);
    clearTimeout(this.#markTimer);
    clearTimeout(this.#flushTimer);
    this.#socket.close();
    for (const stop of this.#stopping) stop();
  }

  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  light(now = Date.now()) {
    return light(this.connection, this.outbox.waiting, now);
  }

  // ---- What pages want to see ----

  // Loads the newest page of a channel, or the page before `edge`. The answer is ignored if it no longer fits: when
  // `isWanted` is false, or when the timeline was loaded anew and no longer ends at `edge`.
  async loadMessages(channelId, edge = null, isWanted = () => true) {
    const variables = { channelId, first: PAGE, after: edge };
    await this.#load(documents.MESSAGES, variables, (state, { messages }) => {
      const isFirst = edge === null;
      const fits = isWanted() && (isFirst || state.timelines.get(channelId)?.edge === edge);
      return fits ? folding.mergeMessages(state, channelId, messages, isFirst) : state;
    });
  }

  // Resolves with the place where more tickets are, or null.
  async loadTickets(status, channelId, after = null) {
    const { messages } = await this.#load(documents.TICKETS, { status, channelId, after }, (state, { messages }) =>
      folding.mergeTickets(state, messages.nodes),
    );
    return messages.pageInfo.hasNextPage ? messages.pageInfo.endCursor : null;
  }

  // Resolves with whether the message is there.
  async loadThread(id, edge = null) {
    const { message } = await this.#load(documents.THREAD, { id, before: edge }, (state, { message }) =>
      message ? folding.mergeThread(state, message, edge === null) : state,
    );
    return message !== null;
  }

  /**
   * Those who may sign in, by username.
   *
   * @returns {Promise<import('./types.d.ts').User[]>}
   */
  async users(search = null) {
    const { users } = await this.run(documents.USERS, { search });
    return users.nodes.filter(({ disabled }) => !disabled);
  }

  // A channel is on the screen, or none is.
  open(channelId) {
    this.#set(folding.open(this.state, channelId));
  }

  // Somebody looks at the end of a channel, or no longer does: what is there is read, here and on the server.
  view(channelId) {
    const had = channelId && folding.unreadIn(this.state, channelId);
    this.#set(folding.view(this.state, channelId));
    if (had) this.#markRead(channelId);
  }

  // ---- What people do ----

  // Throws the problem STORAGE_FULL when there is no room for it: then it is neither kept nor sent.
  write(kind, input) {
    // Messages and comments are numbered separately.
    const known = kind === 'comment' ? this.state.comments : this.state.messages;
    const newest = [...known.keys()].sort(folding.compareIds).at(-1);
    this.#add(kind, input, { since: newest });
  }

  // As `write`.
  changeTicket(id, ticket) {
    this.#add('ticket', { id, ticket });
  }

  #add(kind, input, more) {
    try {
      this.outbox.add(kind, input, more);
    } catch {
      throw new Problem('STORAGE_FULL');
    }
    this.#flush();
  }

  // A failed message or comment goes back to the composer of its place.
  takeBack({ key, kind, input }) {
    this.outbox.discard(key);
    this.drafts.takeBack(placeOf(kind, input), input);
  }

  // Which channel was on the screen last, also before a reload.
  get lastChannel() {
    return this.#storage.getItem(LAST_CHANNEL);
  }

  set lastChannel(id) {
    try {
      this.#storage.setItem(LAST_CHANNEL, id);
    } catch {
      // The storage is full. It is a convenience only.
    }
  }

  async edit(input) {
    await this.#load(documents.UPDATE_MESSAGE, { input }, (state, { updateMessage: message }) =>
      folding.fold(state, [{ __typename: 'MessageUpdated', message }]),
    );
  }

  async createChannel(input) {
    const { createChannel } = await this.#load(documents.CREATE_CHANNEL, { input }, (state, { createChannel: channel }) =>
      folding.fold(state, [{ __typename: 'ChannelAdded', channel }]),
    );
    return createChannel;
  }

  async deleteChannel(id) {
    await this.run(documents.DELETE_CHANNEL, { id });
    this.#drain();
    // The deletion is applied last. A ChannelUpdated event that is applied after it would insert the channel again.
    this.#set(folding.fold(this.state, [{ __typename: 'ChannelDeleted', channelId: id }]));
  }

  async addTemplate(input) {
    await this.#load(documents.ADD_TEMPLATE, { input }, (state, { addTemplate: template }) =>
      folding.fold(state, [{ __typename: 'TemplateAdded', template }]),
    );
  }

  async readNotification(id) {
    await this.#load(documents.READ_NOTIFICATION, { id }, (state, { markNotificationRead }) =>
      folding.mergeNotification(state, markNotificationRead),
    );
  }

  // A stream that is not of the log. Returns what stops it. The socket gives up after a fault of the server; the page does not.
  follow(query, variables, onEvent) {
    let stop;
    let timer;
    let isStopped = false;
    const begin = () => {
      stop = this.#socket.follow(query, variables, onEvent, (problem) => {
        // graphql-ws reports a failed connection also to a subscription that was stopped while the socket was connecting.
        if (problem?.isPassing && !isStopped && !this.#isClosed) timer = setTimeout(begin, RETRY_MS);
      });
    };
    begin();
    return () => {
      isStopped = true;
      clearTimeout(timer);
      stop();
    };
  }

  // Anything else: its effect comes back as an event.
  run(query, variables) {
    return this.#socket.run(query, variables);
  }

  // ---- The stream ----

  async #start() {
    try {
      const base = await this.#base();
      if (this.#isClosed) return;
      this.#queue = [];
      this.#set(folding.mergeBase({ ...folding.emptyState, epoch: this.state.epoch + 1, viewing: this.state.viewing, opened: this.state.opened }, base));
      this.#follow(base.cursor);
    } catch (problem) {
      this.#again(() => this.#start(), problem);
    }
  }

  // Everything in the lists that are always there. The cursor is that of the first page; what happened between the
  // pages comes as events once more.
  async #base() {
    const all = { channels: [], templates: [] };
    const variables = {};
    /** @type {any} */
    let first = null;
    for (;;) {
      const page = await this.run(documents.BASE, variables);
      first ??= page;
      for (const list of ['channels', 'templates']) {
        const place = `${list}After`;
        if (first !== page && variables[place] === undefined) continue;
        all[list].push(...page[list].nodes);
        variables[place] = page[list].pageInfo.hasNextPage ? page[list].pageInfo.endCursor : undefined;
      }
      if (variables.channelsAfter === undefined && variables.templatesAfter === undefined) {
        return { cursor: first.cursor, me: first.me, ...all, notifications: first.notifications.nodes };
      }
    }
  }

  #follow(after) {
    this.cursor = after;
    const variables = { after };
    this.#socket.follow(documents.EVENTS, variables, (event) => this.#receive(event), (problem) => {
      if (this.#isClosed) return;
      // What was missed is no longer known, or never was: begin anew.
      if (problem?.code === 'CURSOR_EXPIRED') this.#start();
      // An event that the server cannot show would fail again: the state is queried instead.
      else if (problem && !problem.isPassing) this.#again(() => this.#start(), problem);
      else this.#again(() => this.#follow(variables.after), problem);
    });
  }

  #again(work, problem) {
    if (this.#isClosed) return;
    if (problem?.code === 'UNAUTHENTICATED') return this.#session.end('ended');
    this.#step({ type: 'lost', until: Date.now() + RETRY_MS });
    setTimeout(() => this.#isClosed || work(), problem?.retryAfterMs ?? RETRY_MS);
  }

  /** @param {Received} event */
  #receive(event) {
    this.cursor = event.cursor;
    if (event.__typename === 'Checkpoint') {
      this.#drain();
      // What the server says counts more than what the browser thinks of the network.
      if (this.connection.phase !== 'live' || this.connection.isOffline) this.#live();
      return;
    }
    this.#queue.push(event);
    for (const load of this.#onTheirWay) load.push(event);
    this.#batchTimer ??= setTimeout(() => this.#drain(), Math.max(0, this.#lastBatch + BATCH_MS - Date.now()));
  }

  #drain() {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    if (!this.#queue.length) return;
    this.#lastBatch = Date.now();
    const events = this.#queue;
    this.#queue = [];
    this.#set(folding.fold(this.state, events));
    this.#followUp();
    const { viewing } = this.state;
    if (viewing && events.some((event) => 'message' in event && event.message.channelId === viewing && event.message.authorId !== this.userId)) {
      this.#markRead(viewing);
    }
  }

  // What an event could not say has to be asked.
  #followUp() {
    const { recount, requery } = this.state;
    if (recount.size) {
      this.state = { ...this.state, recount: new Set() };
      for (const id of recount) {
        this.#load(documents.COUNT, { id }, (state, { message }) => folding.mergeCounts(state, message ? [message] : []))
          .catch(() => {});
      }
    }
    if (requery) {
      this.state = { ...this.state, requery: null };
      this.#requery(requery);
    }
  }

  async #requery(channelIds) {
    const missed = [];
    this.#onTheirWay.add(missed);
    try {
      const base = await this.#base();
      this.#drain();
      this.#set(folding.fold(folding.forget(folding.mergeBase(this.state, base), channelIds), missed));
    } catch (problem) {
      this.#again(() => this.#requery(channelIds), problem);
    } finally {
      this.#onTheirWay.delete(missed);
    }
  }

  // Asks, and merges the answer. Events that came meanwhile may be newer than the answer, so they are applied again.
  async #load(query, variables, merge) {
    const missed = [];
    this.#onTheirWay.add(missed);
    try {
      const data = await this.run(query, variables);
      this.#drain();
      this.#set(folding.fold(merge(this.state, data), missed));
      return data;
    } finally {
      this.#onTheirWay.delete(missed);
    }
  }

  // At most once in a while, however much comes.
  #markRead(channelId) {
    this.#toMark.add(channelId);
    this.#markTimer ??= setTimeout(() => {
      this.#markTimer = undefined;
      for (const id of this.#toMark) this.run(documents.READ_CHANNEL, { id, upTo: this.cursor }).catch(() => {});
      this.#toMark.clear();
    }, MARK_MS);
  }

  // ---- The outbox ----

  async #flush() {
    if (this.connection.phase !== 'live') return;
    await this.outbox.flush();
    // Something could not be sent now, although the line is there: the server was busy.
    if (!this.outbox.waiting || this.#isClosed) return;
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined;
      this.#flush();
    }, RETRY_MS);
  }

  // Resolves with what applies the answer, so that the entry disappears and the message appears in one step.
  async #send({ kind, input, key }) {
    const missed = [];
    this.#onTheirWay.add(missed);
    try {
      const [query, more, asEvent] = sendings[kind];
      const data = await this.run(query, { input: { ...input, ...more(key) } });
      return () => {
        this.#drain();
        this.state = folding.fold(this.state, [asEvent(data), ...missed]);
      };
    } catch (error) {
      if (error.code === 'UNAUTHENTICATED') this.#session.end('ended');
      else if (error.retryAfterMs) await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs));
      throw judged(error);
    } finally {
      this.#onTheirWay.delete(missed);
    }
  }

  // ---- The connection ----

  #live() {
    this.#step({ type: 'live' });
    this.#flush();
  }

  #online() {
    this.#step({ type: 'online' });
    this.#socket.wake();
    this.#flush();
  }

  // Somebody comes back to the window.
  #back() {
    this.#socket.wake();
    if (this.connection.phase !== 'live') return;
    this.#load(documents.GLANCE, {}, (state, { channels, notifications }) =>
      folding.mergeGlance(state, channels.nodes, notifications.nodes),
    ).catch(() => {});
  }

  #step(event) {
    this.connection = step(this.connection, event);
    this.#tell();
  }

  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#tell();
  }

  #tell() {
    for (const listener of this.#listeners) listener();
  }

  #listen(target, type, listener) {
    target.addEventListener(type, listener);
    this.#stopping.push(() => target.removeEventListener(type, listener));
  }

  #every(ms, work) {
    const timer = setInterval(work, ms);
    this.#stopping.push(() => clearInterval(timer));
  }
}

const LAST_CHANNEL = 'tidings.last-channel';

/**
 * What an error says about the entry that was on its way, as the outbox wants to hear it.
 *
 * @param {unknown} error
 */
function judged(error) {
  if (!(error instanceof Problem)) return new Suspected(String(error));
  if (SUSPICIOUS_CLOSES.has(error.closeCode ?? 0)) return new Suspected('CLOSED');
  if (error.code === 'INTERNAL_SERVER_ERROR') return new Suspected(error.code);
  return error.isPassing || error.code === 'UNAUTHENTICATED' ? error : new Refused(error.message);
}

// Where a text of this kind is written.
export function placeOf(kind, input) {
  return kind === 'comment' ? `comment:${input.messageId}` : `message:${input.channelId}`;
}

// Whether this version can show and send an entry. What is stored may be damaged, or of another version.
function isKnown({ kind, input }) {
  const isText = (...texts) => texts.every((text) => typeof text === 'string');
  if (kind === 'message') return isText(input.channelId, input.content) && (input.title === undefined || isText(input.title));
  if (kind === 'comment') return isText(input.messageId, input.content);
  return kind === 'ticket' && isText(input.id) && typeof input.ticket === 'object' && input.ticket !== null;
}

// How each kind of entry goes out: the document, what is added to its input, and its answer as an event.
const sendings = {
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
  // To say the same thing of a ticket twice changes nothing, so it needs no key.
  ticket: [
    documents.UPDATE_MESSAGE,
    () => ({}),
    ({ updateMessage: message }) => ({ __typename: 'MessageUpdated', message }),
  ],
};
