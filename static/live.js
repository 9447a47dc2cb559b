// A client of the plain JSON socket. It reconnects without limit, resumes its subscriptions at their cursors, and sends
// messages that were written offline. It has no dependencies. It runs in browsers and in Node 20 or newer (before Node
// 22 with `WebSocket` of the package ws). docs/json-socket.md describes the protocol.
//
//   const live = new Live({ url: 'ws://localhost:8000/api/v1/ws', token: async () => fetchToken() });
//   live.on('ticket_updated', ({ ticket }) => show(ticket));
//   live.subscribeToTicket(1);
//   live.join('project_123');
//   live.send('project_123', 'Hello team!');
//   live.connect();

import { bytesOf, entriesIn, Outbox, Refused, Suspected, wellFormed } from './outbox.js';

const SILENT_CONSOLE = { log() {}, error() {} };

/** The server's default for the largest frame, in bytes (`--max-frame`). */
const MAX_FRAME = 256 * 1024;

/**
 * Close codes with which the server rejects a frame or reports an internal error. The message that was being sent may
 * be the cause.
 */
const SUSPICIOUS = [1002, 1007, 1009, 4400, 4500];

export class Live {
  #url;
  #token;
  #WebSocket;
  #console;
  #outbox;
  #delays;
  #heartbeat;
  #maxFrame;
  #listeners = new Map();
  /** The subscriptions and rooms, by name: the frame that subscribes, and the cursor of the last event. */
  #subscriptions = new Map();
  /**
   * The messages that were sent on this connection and are not answered, by key: the functions that settle their
   * promise.
   */
  #unanswered = new Map();
  /**
   * The WebSocket, or an empty object while its token is requested; null without a connection.
   *
   * @type {any}
   */
  #socket = null;
  #isOpen = false;
  #isStopped = true;
  #attempt = 0;
  /** @type {Record<string, ReturnType<typeof setTimeout> | undefined>} */
  #timers = { retry: undefined, ping: undefined, watchdog: undefined };
  /** The subscriptions at the time of the last ping: the cursor of its pong applies to them. */
  #pingedSubscriptions = [];
  #onOnline = () => this.#reconnectNow();

  /**
   * `token` returns a valid token, or nothing for an anonymous reader. It is called at every connection attempt.
   * `heartbeat` is the time between pings; a ping without an answer for half of it means a dead connection. `minWait`
   * and `maxWait` bound the delay between attempts. These three are in milliseconds. `storage` holds unsent messages:
   * see `entriesIn` of outbox.js. `maxFrame` is the server's limit in bytes; a longer message fails before it is sent.
   */
  constructor({
    url,
    token = () => undefined,
    WebSocket = globalThis.WebSocket,
    console = globalThis.console,
    storage = defaultStorage(),
    minWait = 500,
    maxWait = 30_000,
    heartbeat = 20_000,
    maxFrame = MAX_FRAME,
  }) {
    if (!WebSocket) throw new Error('WebSocket is not available: pass an implementation as the option `WebSocket`, for example that of the package ws');
    this.#url = url;
    this.#token = token;
    this.#WebSocket = WebSocket;
    this.#console = console ?? SILENT_CONSOLE;
    this.#outbox = new Outbox({ storage, send: (entry) => this.#sendMessage(entry) });
    this.#delays = { min: minWait, max: maxWait };
    this.#heartbeat = heartbeat;
    this.#maxFrame = maxFrame;
    // On this path the server subscribes to `tickets` by itself. Registering the subscription here makes it resume.
    if (new URL(url).pathname.replace(/\/$/, '') === '/api/v1/ws') this.subscribe('tickets');
  }

  /**
   * Calls `listener` with every frame of a type (`message`, `ticket_updated`, `error`, …), or with all frames for `*`.
   * The types `connected` and `disconnected` report the state of the connection. Returns an unsubscribe function.
   */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type)?.delete(listener);
  }

  /** Connects, and reconnects until `close` is called. */
  connect() {
    if (!this.#isStopped) return this;
    this.#isStopped = false;
    globalThis.addEventListener?.('online', this.#onOnline);
    this.#open();
    return this;
  }

  /** Closes the connection. A later `connect` resumes the subscriptions. */
  close() {
    this.#isStopped = true;
    globalThis.removeEventListener?.('online', this.#onOnline);
    this.#clearTimers();
    this.#socket?.close(1000);
    this.#onDisconnected();
  }

  /** Subscribes to `notifications`, `dashboard_updates` or `tickets`; after a cursor if one is given. */
  subscribe(channel, after) {
    this.#addSubscription(`channel ${channel}`, { type: 'subscribe', channel }, after);
  }

  unsubscribe(channel) {
    this.#removeSubscription(`channel ${channel}`, { type: 'unsubscribe', channel });
  }

  subscribeToTicket(id, after) {
    this.#addSubscription(`ticket ${id}`, { type: 'subscribe', ticket_id: String(id) }, after);
  }

  unsubscribeFromTicket(id) {
    this.#removeSubscription(`ticket ${id}`, { type: 'unsubscribe', ticket_id: String(id) });
  }

  join(name, after) {
    const room = wellFormed(name);
    this.#addSubscription(`room ${room}`, { type: 'join_room', room }, after);
  }

  leave(name) {
    const room = wellFormed(name);
    this.#removeSubscription(`room ${room}`, { type: 'leave_room', room });
  }

  /**
   * Sends a message to a room, now or after the next connect. The server stores it once. Returns its key; the frame
   * `sent` has the same key.
   */
  send(room, text) {
    const { key } = this.#outbox.add('message', { room, text });
    this.#flush();
    return key;
  }

  /**
   * The messages that the server has not stored. A rejected message has an `error` and stays until `outbox.retry(key)`
   * or `outbox.discard(key)` is called.
   */
  get unsent() {
    return this.#outbox.entries;
  }

  get outbox() {
    return this.#outbox;
  }

  get connected() {
    return this.#isOpen;
  }

  async #open() {
    if (this.#isStopped || this.#socket) return;
    this.#console.log('🔌 Connecting to WebSocket');
    const opening = (this.#socket = {});
    try {
      const token = await this.#token();
      if (this.#socket !== opening || this.#isStopped) return;
      const url = new URL(this.#url);
      if (token) url.searchParams.set('token', token);
      const socket = new this.#WebSocket(url.href);
      this.#socket = socket;
      this.#startWatchdog(2 * this.#heartbeat, 'the connection was not opened in time');
      socket.onopen = () => this.#socket === socket && this.#onOpen();
      socket.onmessage = ({ data }) => this.#socket === socket && this.#receive(String(data));
      socket.onerror = (event) => this.#socket === socket && this.#console.error('❌ WebSocket error', event.message ?? '');
      socket.onclose = ({ code, reason }) => this.#socket === socket && this.#scheduleReconnect(`${code} ${reason}`.trim(), code);
    } catch (error) {
      this.#console.error('❌ WebSocket error', String(error));
      if (this.#socket === opening) this.#scheduleReconnect(String(error));
    }
  }

  #onOpen() {
    this.#console.log('✅ WebSocket connected');
    this.#isOpen = true;
    this.#emit('connected', { type: 'connected' });
    for (const { request, cursor } of this.#subscriptions.values()) this.#sendFrame(cursor ? { ...request, after: cursor } : request);
    this.#flush();
    this.#ping();
  }

  #receive(text) {
    this.#attempt = 0; // Not at `open`: a frame proves that the server accepts this client.
    const frame = JSON.parse(text);
    if (frame.type === 'pong') this.#onPong(frame.cursor);
    else if (frame.type === 'sent') this.#onSent(frame.key);
    else if (frame.type === 'error') this.#onError(frame);
    else if (frame.type === 'left') this.#subscriptions.delete(`room ${frame.room}`);
    else if (frame.type === 'unsubscribed' && frame.ticket_id) this.#subscriptions.delete(`ticket ${frame.ticket_id}`);
    // Call the listeners before the cursor advances: an event that they did not get must be delivered again.
    this.#emit(frame.type, frame);
    this.#emit('*', frame);
    if (frame.cursor && !['pong', 'sent'].includes(frame.type)) this.#advanceCursors(frame);
  }

  /** Advances the cursors of the subscriptions that delivered this frame. */
  #advanceCursors(frame) {
    const names =
      frame.type === 'notification' ? ['channel notifications']
      : frame.room !== undefined ? [`room ${frame.room}`]
      : ['channel tickets', `ticket ${frame.ticket?.id ?? frame.ticket_id}`];
    for (const name of names) {
      const subscription = this.#subscriptions.get(name);
      if (subscription) subscription.cursor = frame.cursor;
    }
  }

  #onSent(key) {
    this.#unanswered.get(key)?.resolve();
    this.#unanswered.delete(key);
  }

  #onError(frame) {
    const { code, key } = frame;
    const isTemporary = ['RATE_LIMITED', 'UNAVAILABLE', 'INTERNAL_SERVER_ERROR'].includes(code);
    const retryDelay = frame.retry_after_ms ?? this.#backoff(1);
    if (key !== undefined) {
      // After a temporary error the message is sent again. Any other error is final.
      if (code === 'INTERNAL_SERVER_ERROR') this.#reject(key, new Suspected(frame.message));
      else this.#reject(key, isTemporary ? new Error(code) : new Refused(frame.message));
      if (isTemporary) this.#timers.flush = setTimeout(() => this.#flush(), retryDelay);
      return;
    }
    if ([frame.room, frame.channel, frame.ticket_id].every((name) => name === undefined)) {
      // The server could not read a frame, so it cannot name the frame. The frame may be the message that was just
      // sent.
      for (const sent of this.#unanswered.keys()) this.#reject(sent, new Suspected(frame.message));
      this.#timers.flush = setTimeout(() => this.#flush(), retryDelay);
      return;
    }
    const name =
      frame.room !== undefined ? `room ${frame.room}`
      : frame.ticket_id !== undefined ? `ticket ${frame.ticket_id}`
      : `channel ${frame.channel}`;
    const subscription = this.#subscriptions.get(name);
    if (!subscription) return;
    if (code === 'CURSOR_EXPIRED') {
      // The missed events are no longer in the log. Subscribe from now on; the listener of this error queries the
      // state.
      subscription.cursor = undefined;
      this.#sendFrame(subscription.request);
    } else if (isTemporary) {
      const socket = this.#socket;
      const resubscribe = () => this.#socket === socket && this.#isOpen && this.#addSubscription(name, subscription.request, subscription.cursor);
      setTimeout(resubscribe, retryDelay);
    } else this.#subscriptions.delete(name);
  }

  #reject(key, error) {
    this.#unanswered.get(key)?.reject(error);
    this.#unanswered.delete(key);
  }

  #addSubscription(name, request, after) {
    if (bytesOf(JSON.stringify(request)) > this.#maxFrame) {
      // The server would close the connection at every attempt.
      const { type, ...about } = request;
      return this.#emit('error', { type: 'error', code: 'BAD_USER_INPUT', message: 'the name is too long', ...about });
    }
    const cursor = after ?? this.#subscriptions.get(name)?.cursor;
    this.#subscriptions.set(name, { request, cursor });
    if (this.#isOpen) this.#sendFrame(cursor ? { ...request, after: cursor } : request);
  }

  #removeSubscription(name, request) {
    if (this.#subscriptions.delete(name) && this.#isOpen) this.#sendFrame(request);
  }

  /** The outbox sends one message at a time, so messages arrive in the order in which they were written. */
  #flush() {
    if (this.#isOpen) this.#outbox.flush().catch((error) => this.#console.error(error));
  }

  #sendMessage({ key, input }) {
    const frame = { type: 'message', ...input, key };
    return new Promise((resolve, reject) => {
      const size = bytesOf(JSON.stringify(wellFormed(frame)));
      if (size > this.#maxFrame) throw new Refused(`the message is too long: ${size} bytes, at most ${this.#maxFrame} can be sent`);
      if (!this.#isOpen) return reject(new Error('not connected'));
      this.#unanswered.set(key, { resolve, reject });
      this.#sendFrame(frame);
    });
  }

  #sendFrame(frame) {
    if (this.#isOpen && this.#socket.readyState === 1) this.#socket.send(JSON.stringify(wellFormed(frame)));
  }

  #ping() {
    this.#pingedSubscriptions = [...this.#subscriptions.values()];
    this.#sendFrame({ type: 'ping' });
    this.#startWatchdog(this.#heartbeat / 2, 'a ping was not answered in time');
  }

  #onPong(cursor) {
    clearTimeout(this.#timers.watchdog);
    // Frames arrive in order, so all events up to this cursor were delivered to the subscriptions of the ping. The
    // subscription to notifications without a cursor stays without one: it starts with all unread notifications.
    for (const subscription of this.#pingedSubscriptions) if (subscription.cursor || !isNotifications(subscription)) subscription.cursor = cursor;
    clearTimeout(this.#timers.ping);
    this.#timers.ping = setTimeout(() => this.#ping(), this.#heartbeat);
  }

  #startWatchdog(time, reason) {
    clearTimeout(this.#timers.watchdog);
    this.#timers.watchdog = setTimeout(() => {
      this.#console.error('❌ WebSocket error', reason);
      const dead = this.#socket;
      this.#scheduleReconnect(reason);
      dead?.close?.(); // Do not wait for the close event: the server may be unreachable.
    }, time);
  }

  #scheduleReconnect(reason, code) {
    this.#clearTimers();
    this.#onDisconnected(code);
    if (this.#isStopped) return;
    const delay = this.#backoff((this.#attempt += 1));
    this.#console.log(`🔄 Reconnecting in ${Math.round(delay)} ms (${reason})`);
    this.#timers.retry = setTimeout(() => this.#open(), delay);
  }

  /** The delay before an attempt, in milliseconds: exponential backoff with full jitter, so that clients spread out. */
  #backoff(attempt) {
    return Math.random() * Math.min(this.#delays.max, this.#delays.min * 2 ** Math.min(attempt, 16));
  }

  /** Reconnects without the delay: the browser reports that the network is back. */
  #reconnectNow() {
    if (this.#isStopped || this.#socket) return;
    clearTimeout(this.#timers.retry);
    this.#open();
  }

  #onDisconnected(code) {
    const wasOpen = this.#isOpen;
    this.#socket = null;
    this.#isOpen = false;
    const isSuspicious = SUSPICIOUS.includes(code);
    for (const key of this.#unanswered.keys()) {
      this.#reject(key, isSuspicious ? new Suspected(`the server closed the connection (${code})`) : new Error('the connection was lost'));
    }
    this.#pingedSubscriptions = [];
    if (wasOpen) this.#emit('disconnected', { type: 'disconnected' });
  }

  #clearTimers() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
  }

  #emit(type, frame) {
    for (const listener of this.#listeners.get(type) ?? []) {
      try {
        listener(frame);
      } catch (error) {
        this.#console.error(error);
      }
    }
  }
}

/**
 * The default storage of unsent messages: localStorage. Memory is used for all messages if there is no localStorage or
 * the browser forbids it, and for a message if localStorage is full.
 */
function defaultStorage() {
  const memory = new Map();
  let storage;
  try {
    if (globalThis.localStorage) storage = entriesIn(globalThis.localStorage, 'tidings.live.', isMessage);
  } catch {
    // The browser forbids the use of its storage.
  }
  return {
    all: () => [...(storage?.all() ?? []).filter(({ key }) => !memory.has(key)), ...memory.values()],
    put(entry) {
      try {
        if (!storage) throw new Error('localStorage is not available');
        storage.put(entry);
        memory.delete(entry.key);
      } catch {
        memory.set(entry.key, entry);
      }
    },
    remove(key) {
      memory.delete(key);
      storage?.remove(key);
    },
  };
}

function isMessage({ kind, input: { room, text } }) {
  return kind === 'message' && typeof room === 'string' && typeof text === 'string';
}

function isNotifications({ request }) {
  return request.channel === 'notifications';
}
