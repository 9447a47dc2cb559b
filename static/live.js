// A client of the plain JSON socket. It reconnects without limit, resumes its subscriptions at their cursors, and sends
// messages that were written offline. It has no dependencies. It runs in browsers and in Node 20 or newer (before Node 22
// with `WebSocket` of the package ws). docs/json-socket.md describes the protocol.
//
//   const live = new Live({ url: 'ws://localhost:8000/api/v1/ws', token: async () => fetchToken() });
//   live.on('ticket_updated', ({ ticket }) => show(ticket));
//   live.subscribeToTicket(1);
//   live.join('project_123');
//   live.send('project_123', 'Hello team!');
//   live.connect();

import { bytesOf, entriesIn, Outbox, Refused, Suspected, wellFormed } from './outbox.js';

const QUIET = { log() {}, error() {} };

/** The server's default for the largest frame, in bytes (`--max-frame`). */
const MAX_FRAME = 256 * 1024;

/**
 * Close codes with which the server rejects a frame or reports an internal error. The message that was being sent may be
 * the cause.
 */
const SUSPICIOUS = [1002, 1007, 1009, 4400, 4500];

export class Live {
  #url;
  #token;
  #WebSocket;
  #console;
  #outbox;
  #waits;
  #heartbeat;
  #maxFrame;
  #listeners = new Map();
  /** The subscriptions and rooms, by name: the frame that subscribes, and the cursor of the last event. */
  #followed = new Map();
  /** The messages that were sent on this connection and are not answered, by key: the functions that settle their promise. */
  #sent = new Map();
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
  #pinged = [];
  #wakeUp = () => this.#hurry();

  /**
   * `token` returns a valid token, or nothing for an anonymous reader. It is called at every connection attempt.
   * `heartbeat` is the time between pings; a ping without an answer for half of it means a dead connection. `minWait` and
   * `maxWait` bound the delay between attempts. These three are in milliseconds. `storage` holds unsent messages: see
   * `entriesIn` of outbox.js. `maxFrame` is the server's limit in bytes; a longer message fails before it is sent.
   */
  constructor({
    url,
    token = () => undefined,
    WebSocket = globalThis.WebSocket,
    console = globalThis.console,
    storage = kept(),
    minWait = 500,
    maxWait = 30_000,
    heartbeat = 20_000,
    maxFrame = MAX_FRAME,
  }) {
    if (!WebSocket) throw new Error('WebSocket is not available: pass an implementation as the option `WebSocket`, for example that of the package ws');
    this.#url = url;
    this.#token = token;
    this.#WebSocket = WebSocket;
    this.#console = console ?? QUIET;
    this.#outbox = new Outbox({ storage, send: (entry) => this.#deliver(entry) });
    this.#waits = { min: minWait, max: maxWait };
    this.#heartbeat = heartbeat;
    this.#maxFrame = maxFrame;
    // On this path the server subscribes to `tickets` by itself. Registering the subscription here makes it resume.
    if (new URL(url).pathname.replace(/\/$/, '') === '/api/v1/ws') this.subscribe('tickets');
  }

  /**
   * Calls `listener` with every frame of a type (`message`, `ticket_updated`, `error`, …), or with all frames for `*`. The
   * types `connected` and `disconnected` report the state of the connection. Returns an unsubscribe function.
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
    globalThis.addEventListener?.('online', this.#wakeUp);
    this.#open();
    return this;
  }

  /** Closes the connection. A later `connect` resumes the subscriptions. */
  close() {
    this.#isStopped = true;
    globalThis.removeEventListener?.('online', this.#wakeUp);
    this.#forget();
    this.#socket?.close(1000);
    this.#lose();
  }

  /** Subscribes to `notifications`, `dashboard_updates` or `tickets`; after a cursor if one is given. */
  subscribe(channel, after) {
    this.#follow(`channel ${channel}`, { type: 'subscribe', channel }, after);
  }

  unsubscribe(channel) {
    this.#unfollow(`channel ${channel}`, { type: 'unsubscribe', channel });
  }

  subscribeToTicket(id, after) {
    this.#follow(`ticket ${id}`, { type: 'subscribe', ticket_id: String(id) }, after);
  }

  unsubscribeFromTicket(id) {
    this.#unfollow(`ticket ${id}`, { type: 'unsubscribe', ticket_id: String(id) });
  }

  join(name, after) {
    const room = wellFormed(name);
    this.#follow(`room ${room}`, { type: 'join_room', room }, after);
  }

  leave(name) {
    const room = wellFormed(name);
    this.#unfollow(`room ${room}`, { type: 'leave_room', room });
  }

  /**
   * Sends a message to a room, now or after the next connect. The server stores it once. Returns its key; the frame `sent`
   * has the same key.
   */
  send(room, text) {
    const { key } = this.#outbox.add('message', { room, text });
    this.#flush();
    return key;
  }

  /**
   * The messages that the server has not stored. A rejected message has an `error` and stays until `outbox.retry(key)` or
   * `outbox.discard(key)` is called.
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
      this.#watch(2 * this.#heartbeat, 'the connection was not opened in time');
      socket.onopen = () => this.#socket === socket && this.#opened();
      socket.onmessage = ({ data }) => this.#socket === socket && this.#hear(String(data));
      socket.onerror = (event) => this.#socket === socket && this.#console.error('❌ WebSocket error', event.message ?? '');
      socket.onclose = ({ code, reason }) => this.#socket === socket && this.#retry(`${code} ${reason}`.trim(), code);
    } catch (error) {
      this.#console.error('❌ WebSocket error', String(error));
      if (this.#socket === opening) this.#retry(String(error));
    }
  }

  #opened() {
    this.#console.log('✅ WebSocket connected');
    this.#isOpen = true;
    this.#emit('connected', { type: 'connected' });
    for (const { said, cursor } of this.#followed.values()) this.#say(cursor ? { ...said, after: cursor } : said);
    this.#flush();
    this.#ping();
  }

  #hear(text) {
    this.#attempt = 0; // Not at `open`: a frame proves that the server accepts this client.
    const frame = JSON.parse(text);
    if (frame.type === 'pong') this.#ponged(frame.cursor);
    else if (frame.type === 'sent') this.#delivered(frame.key);
    else if (frame.type === 'error') this.#refused(frame);
    else if (frame.type === 'left') this.#followed.delete(`room ${frame.room}`);
    else if (frame.type === 'unsubscribed' && frame.ticket_id) this.#followed.delete(`ticket ${frame.ticket_id}`);
    // Call the listeners before the cursor advances: an event that they did not get must be delivered again.
    this.#emit(frame.type, frame);
    this.#emit('*', frame);
    if (frame.cursor && !['pong', 'sent'].includes(frame.type)) this.#moveOn(frame);
  }

  /** Advances the cursors of the subscriptions that delivered this frame. */
  #moveOn(frame) {
    const names =
      frame.type === 'notification' ? ['channel notifications']
      : frame.room !== undefined ? [`room ${frame.room}`]
      : ['channel tickets', `ticket ${frame.ticket?.id ?? frame.ticket_id}`];
    for (const name of names) {
      const followed = this.#followed.get(name);
      if (followed) followed.cursor = frame.cursor;
    }
  }

  #delivered(key) {
    this.#sent.get(key)?.resolve();
    this.#sent.delete(key);
  }

  #refused(frame) {
    const { code, key } = frame;
    const passes = ['RATE_LIMITED', 'UNAVAILABLE', 'INTERNAL_SERVER_ERROR'].includes(code);
    const later = frame.retry_after_ms ?? this.#wait(1);
    if (key !== undefined) {
      // After a temporary error the message is sent again. Any other error is final.
      if (code === 'INTERNAL_SERVER_ERROR') this.#reject(key, new Suspected(frame.message));
      else this.#reject(key, passes ? new Error(code) : new Refused(frame.message));
      if (passes) this.#timers.flush = setTimeout(() => this.#flush(), later);
      return;
    }
    if ([frame.room, frame.channel, frame.ticket_id].every((name) => name === undefined)) {
      // The server could not read a frame, so it cannot name the frame. The frame may be the message that was just sent.
      for (const sent of this.#sent.keys()) this.#reject(sent, new Suspected(frame.message));
      this.#timers.flush = setTimeout(() => this.#flush(), later);
      return;
    }
    const name =
      frame.room !== undefined ? `room ${frame.room}`
      : frame.ticket_id !== undefined ? `ticket ${frame.ticket_id}`
      : `channel ${frame.channel}`;
    const followed = this.#followed.get(name);
    if (!followed) return;
    if (code === 'CURSOR_EXPIRED') {
      // The missed events are no longer in the log. Subscribe from now on; the listener of this error queries the state.
      followed.cursor = undefined;
      this.#say(followed.said);
    } else if (passes) {
      const socket = this.#socket;
      const again = () => this.#socket === socket && this.#isOpen && this.#follow(name, followed.said, followed.cursor);
      setTimeout(again, later);
    } else this.#followed.delete(name);
  }

  #reject(key, error) {
    this.#sent.get(key)?.reject(error);
    this.#sent.delete(key);
  }

  #follow(name, said, after) {
    if (bytesOf(JSON.stringify(said)) > this.#maxFrame) {
      // The server would close the connection at every attempt.
      const { type, ...about } = said;
      return this.#emit('error', { type: 'error', code: 'BAD_USER_INPUT', message: 'the name is too long', ...about });
    }
    const cursor = after ?? this.#followed.get(name)?.cursor;
    this.#followed.set(name, { said, cursor });
    if (this.#isOpen) this.#say(cursor ? { ...said, after: cursor } : said);
  }

  #unfollow(name, said) {
    if (this.#followed.delete(name) && this.#isOpen) this.#say(said);
  }

  /** The outbox sends one message at a time, so messages arrive in the order in which they were written. */
  #flush() {
    if (this.#isOpen) this.#outbox.flush().catch((error) => this.#console.error(error));
  }

  #deliver({ key, input }) {
    const frame = { type: 'message', ...input, key };
    return new Promise((resolve, reject) => {
      const size = bytesOf(JSON.stringify(wellFormed(frame)));
      if (size > this.#maxFrame) throw new Refused(`the message is too long: ${size} bytes, at most ${this.#maxFrame} can be sent`);
      if (!this.#isOpen) return reject(new Error('not connected'));
      this.#sent.set(key, { resolve, reject });
      this.#say(frame);
    });
  }

  #say(frame) {
    if (this.#isOpen && this.#socket.readyState === 1) this.#socket.send(JSON.stringify(wellFormed(frame)));
  }

  #ping() {
    this.#pinged = [...this.#followed.values()];
    this.#say({ type: 'ping' });
    this.#watch(this.#heartbeat / 2, 'a ping was not answered in time');
  }

  #ponged(cursor) {
    clearTimeout(this.#timers.watchdog);
    // Frames arrive in order, so all events up to this cursor were delivered to the subscriptions of the ping. The
    // subscription to notifications without a cursor stays without one: it starts with all unread notifications.
    for (const followed of this.#pinged) if (followed.cursor || !isNotifications(followed)) followed.cursor = cursor;
    clearTimeout(this.#timers.ping);
    this.#timers.ping = setTimeout(() => this.#ping(), this.#heartbeat);
  }

  #watch(time, why) {
    clearTimeout(this.#timers.watchdog);
    this.#timers.watchdog = setTimeout(() => {
      this.#console.error('❌ WebSocket error', why);
      const dead = this.#socket;
      this.#retry(why);
      dead?.close?.(); // Do not wait for the close event: the server may be unreachable.
    }, time);
  }

  #retry(why, code) {
    this.#forget();
    this.#lose(code);
    if (this.#isStopped) return;
    const wait = this.#wait((this.#attempt += 1));
    this.#console.log(`🔄 Reconnecting in ${Math.round(wait)} ms (${why})`);
    this.#timers.retry = setTimeout(() => this.#open(), wait);
  }

  /** The delay before an attempt, in milliseconds: exponential backoff with full jitter, so that clients spread out. */
  #wait(attempt) {
    return Math.random() * Math.min(this.#waits.max, this.#waits.min * 2 ** Math.min(attempt, 16));
  }

  /** Reconnects without the delay: the browser reports that the network is back. */
  #hurry() {
    if (this.#isStopped || this.#socket) return;
    clearTimeout(this.#timers.retry);
    this.#open();
  }

  #lose(code) {
    const wasOpen = this.#isOpen;
    this.#socket = null;
    this.#isOpen = false;
    const isSuspicious = SUSPICIOUS.includes(code);
    for (const key of this.#sent.keys()) {
      this.#reject(key, isSuspicious ? new Suspected(`the server closed the connection (${code})`) : new Error('the connection was lost'));
    }
    this.#pinged = [];
    if (wasOpen) this.#emit('disconnected', { type: 'disconnected' });
  }

  #forget() {
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
 * The default storage of unsent messages: localStorage. Memory is used for all messages if there is no localStorage or the
 * browser forbids it, and for a message if localStorage is full.
 */
function kept() {
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

function isNotifications({ said }) {
  return said.channel === 'notifications';
}
