// The fixture of the scenario. It acts for all users but the client under test, calls the control endpoint, and
// computes the events that a correct subscriber must get. Its requests do not use the proxy. Used by harness.mjs only.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { ADDED, CREATE, CREATE_CHANNEL, DELETE, DELETED, EVENTS, LOGIN, REGISTER, UPDATE } from './documents.mjs';

const TIME_LIMIT_MS = 30_000;

/** The other users, the messages they recordChange, and the events that a correct subscriber must get. */
export class Fixture {
  #controlUrl;
  #server;
  #session;
  #clientToken;
  #revokedToken;
  #password = randomUUID();
  #texts = 0;
  #changes = [];
  #expected = [];
  #subscriptions = [];
  #check = () => {};
  #failure;
  tokenRequests = 0;
  renewals = 0;
  checkpoints = 0;
  messages = new Map();
  user = { username: `user-${randomUUID().slice(0, 8)}` };

  constructor(controlUrl) {
    this.#controlUrl = controlUrl;
  }

  async enter() {
    this.#server = (await request('GET', `${this.#controlUrl}/`)).server;
    const input = { username: this.user.username, password: this.#password, displayName: 'A client' };
    this.#session = this.#graphql(REGISTER, { input }, null).then(({ register }) => register);
    this.user.id = (await this.#session).user.id;
  }

  async token() {
    return (await this.#session).token;
  }

  /**
   * The token function of an application: it keeps a token until the server rejects it. `refused` is true if the token
   * was rejected, and undefined for a library that cannot report this. Such a library gets a new token if the current
   * one has expired or was revoked.
   */
  async clientToken(refused) {
    if (refused) this.renewals += 1;
    if (refused || !this.#clientToken || (refused === undefined && !this.#isGood(this.#clientToken))) this.#clientToken = await this.token();
    return this.#clientToken;
  }

  /** The token function for sockets. It counts its calls: a library must call it at every connect. */
  socketToken(refused) {
    this.tokenRequests += 1;
    return this.clientToken(refused);
  }

  #isGood(token) {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
    return token !== this.#revokedToken && exp * 1000 > Date.now();
  }

  /** Makes the next token of the client expire after two seconds. */
  async useShortLivedToken() {
    this.#clientToken = (await this.control(`/short-lived-token?username=${this.user.username}`)).token;
  }

  /** Makes the next token of the client a revoked one. */
  useRevokedToken() {
    this.#clientToken = this.#revokedToken;
  }

  /** Ends all sessions of the user, and signs in again for the next token. */
  async signOutEverywhere() {
    const old = await this.token();
    this.#revokedToken = this.#clientToken;
    const input = { username: this.user.username, password: this.#password };
    this.#session = this.#graphql('mutation { logoutEverywhere }', {}, old)
      .then(() => this.#graphql(LOGIN, { input }, null))
      .then(({ login }) => login);
    await this.#session;
  }

  async hasMutation(mutation) {
    const { __type: type } = await this.#graphql('{ __type(name: "Mutation") { fields { name } } }');
    return type.fields.some(({ name }) => name === mutation);
  }

  control(action) {
    return request('POST', this.#controlUrl + action);
  }

  text() {
    this.#texts += 1;
    return `text ${this.#texts} „ünïcode“ 🦀`;
  }

  async post() {
    const input = { channelId: this.channelId, content: this.text(), idempotencyKey: randomUUID() };
    const { createMessage } = await this.#graphql(CREATE, { input });
    this.recordChange('MessageAdded', createMessage.id, input.content);
    return createMessage.id;
  }

  async edit(id) {
    const content = this.text();
    await this.#graphql(UPDATE, { input: { id, content } });
    this.recordChange('MessageUpdated', id, content);
  }

  async remove(id) {
    await this.#graphql(DELETE, { id });
    this.recordChange('MessageDeleted', id);
  }

  /** Creates another public channel. */
  async channel() {
    const { createChannel } = await this.#graphql(CREATE_CHANNEL, { input: { name: `room-${randomUUID()}` } });
    return createChannel.id;
  }

  /** Writes a message to a channel other than the one of the scenario. */
  async write(channelId, content) {
    const { createMessage } = await this.#graphql(CREATE, { input: { channelId, content, idempotencyKey: randomUUID() } });
    return createMessage.id;
  }

  /**
   * Creates three messages with a comment each, and returns their texts, newest first. Objects of different types can
   * have equal ids.
   */
  async threads(channelId) {
    const threads = [];
    const comment = 'mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }';
    for (let count = 0; count < 3; count += 1) {
      const [content, reply] = [this.text(), this.text()];
      const messageId = await this.write(channelId, content);
      await this.#graphql(comment, { input: { messageId, content: reply } });
      threads.unshift([content, [reply]]);
    }
    return threads;
  }

  /**
   * Runs `open` while the `logCursor` in the first answer is replaced by a cursor that the server does not know.
   * Returns the number of answers with a `logCursor`.
   */
  async withExpiredCursor(open) {
    const { cursor } = await this.control('/foreign-cursor');
    const { fetch } = globalThis;
    const read = { count: 0 };
    globalThis.fetch = async (...request) => {
      const response = await fetch(...request);
      if (!response.headers.get('content-type')?.includes('json')) return response;
      const text = await response.text();
      const isList = text.includes('"logCursor"');
      if (isList) read.count += 1;
      const body = isList && read.count === 1 ? text.replace(/("logCursor":\s*")[^"]+/, `$1${cursor}`) : text;
      return new Response(body, { status: response.status, headers: { 'content-type': response.headers.get('content-type') } });
    };
    try {
      await open();
    } finally {
      // `open` may resolve with the first list. Wait for the second one before `fetch` is restored.
      await this.until(() => read.count >= 2, 'the list is read again').finally(() => (globalThis.fetch = fetch));
    }
    return read;
  }

  /** Polls until a condition is true; for conditions that no event announces. */
  async until(condition, what) {
    for (const deadline = Date.now() + TIME_LIMIT_MS; !condition(); ) {
      assert(Date.now() < deadline, `${what}: the condition was not true within ${TIME_LIMIT_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  recordChange(kind, id, content) {
    this.#changes.push({ kind, id });
    if (content === undefined) this.messages.delete(id);
    else this.messages.set(id, content);
  }

  /**
   * Adds the events of the changes since the last call to the expected events. A replay shows objects in their current
   * state and skips deleted ones. For live events it is therefore called before the next change.
   */
  expectChanges() {
    for (const { kind, id } of this.#changes.splice(0)) {
      if (kind === 'MessageDeleted') this.#expected.push([kind, id]);
      else if (this.messages.has(id)) this.#expected.push([kind, id, this.messages.get(id)]);
    }
  }

  resetExpected() {
    this.#expected = [];
  }

  startSubscriptions(client, cursor) {
    const variables = { channelId: this.channelId, after: cursor };
    const start = (document, kinds, toTuple) => {
      const subscription = { kinds, events: [], stop: () => {} };
      this.#subscriptions.push(subscription);
      subscription.stop = client.subscribe(document, variables, {
        next: (event) => this.#onEvent(subscription, toTuple(event)),
        error: (code) => this.#fail(`${document}\nended with the error ${code}`),
        complete: () => this.#fail(`${document}\nended`),
      });
    };
    start(ADDED, ['MessageAdded'], ({ id, content }) => ['MessageAdded', id, content]);
    start(DELETED, ['MessageDeleted'], ({ id }) => ['MessageDeleted', id]);
    start(EVENTS, ['MessageAdded', 'MessageUpdated', 'MessageDeleted'], (event) =>
      event.message ? [event.__typename, event.message.id, event.message.content] : [event.__typename, event.messageId],
    );
  }

  stop() {
    for (const subscription of this.#subscriptions.splice(0)) subscription.stop();
  }

  /** Resolves when each subscription has got exactly the expected events in order; rejects if it got anything else. */
  async verifyEvents(when) {
    this.expectChanges();
    for (const subscription of this.#subscriptions) {
      const expected = this.#expected.filter(([kind]) => subscription.kinds.includes(kind));
      // A timeout is ignored: the comparison below fails with a better message.
      await this.#until(() => subscription.events.length >= expected.length, when).catch(() => {});
      if (this.#failure) throw this.#failure;
      assert.deepEqual(subscription.events, expected, `${when}: ${subscription.kinds} (left: received, right: expected)`);
    }
  }

  /** The number of events that all subscriptions have got. */
  get receivedCount() {
    return this.#subscriptions.reduce((sum, { events }) => sum + events.length, 0);
  }

  /** Resolves when the subscriptions have got more than `receivedCount` events. */
  waitForEvents(receivedCount) {
    return this.#until(() => this.receivedCount > receivedCount, 'storm');
  }

  /** Resolves when the subscription `events` has delivered more than `before` checkpoints. */
  waitForCheckpoint(before) {
    return this.#until(() => this.checkpoints > before, 'checkpoint');
  }

  /** Writes messages until the library has called the token function `count` times. */
  async writeUntilTokenRequests(count) {
    for (const deadline = Date.now() + TIME_LIMIT_MS; this.tokenRequests < count; ) {
      assert(Date.now() < deadline, `the library called the token function ${this.tokenRequests} times instead of ${count}`);
      await this.post();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #until(condition, when) {
    return within(`${when}: the expected events`, (resolve, reject) => {
      this.#check = () => (this.#failure ? reject(this.#failure) : condition() && resolve());
      this.#check();
    });
  }

  #onEvent(subscription, event) {
    if (event[0] === 'Checkpoint') this.checkpoints += 1;
    // Skips kinds that this client does not know.
    if (subscription.kinds.includes(event[0])) subscription.events.push(event);
    this.#check();
  }

  #fail(message) {
    if (!this.#subscriptions.length) return;
    this.#failure = new Error(message);
    this.#check();
  }

  async #graphql(query, variables, token) {
    const bearer = token === undefined ? await this.token() : token;
    const headers = bearer ? { authorization: `Bearer ${bearer}` } : {};
    const { data, errors } = await request('POST', `${this.#server}/graphql`, headers, { query, variables });
    assert(!errors, JSON.stringify(errors));
    return data;
  }
}

/** A promise with a time limit. `start` may return a cleanup function, which is called when the promise is settled. */
export function within(what, start) {
  let timer, clean;
  return new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not arrive within ${TIME_LIMIT_MS} ms`)), TIME_LIMIT_MS);
    clean = start(resolve, reject);
  }).finally(() => {
    clearTimeout(timer);
    clean?.();
  });
}

/** Does not use `fetch`, because its pooled connections break when the scenario kills the server. */
function request(method, url, headers = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const options = { method, agent: false, headers: { 'content-type': 'application/json', ...headers }, timeout: 60_000 };
    const outgoing = http.request(url, options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk)).on('end', () => {
        try {
          resolve(JSON.parse(text));
        } catch {
          reject(new Error(`${method} ${url}: ${response.statusCode} ${text.slice(0, 500)}`));
        }
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${url}: no answer`))).on('error', reject);
    outgoing.end(body && JSON.stringify(body));
  });
}
