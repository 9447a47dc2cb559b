// Owns everybody but the client under test: signs in, writes past the proxy, asks the control endpoint for trouble, and
// knows what a faithful subscriber must have seen. Used by harness.mjs only.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { ADDED, CREATE, CREATE_CHANNEL, DELETE, DELETED, EVENTS, LOGIN, REGISTER, UPDATE } from './documents.mjs';

const SEEN_WITHIN_MS = 30_000;

/** The other users, what they wrote, and what a faithful subscriber must have seen of it. */
export class Stage {
  #controlUrl;
  #server;
  #session;
  #held;
  #revoked;
  #password = randomUUID();
  #texts = 0;
  #unsettled = [];
  #due = [];
  #watched = [];
  #check = () => {};
  #broken;
  asked = 0;
  renewed = 0;
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
   * The client's token, as an application keeps it: until it is refused. Libraries that cannot say so get one of which
   * the application knows by itself that it is good.
   */
  async clientToken(refused) {
    if (refused) this.renewed += 1;
    if (refused || !this.#held || (refused === undefined && !this.#isGood(this.#held))) this.#held = await this.token();
    return this.#held;
  }

  /** Counts how often a library asked: it must do so at every connect, or it comes back with a dead token. */
  socketToken(refused) {
    this.asked += 1;
    return this.clientToken(refused);
  }

  #isGood(token) {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
    return token !== this.#revoked && exp * 1000 > Date.now();
  }

  /** What the client gets next is good for two seconds. */
  async holdBrief() {
    this.#held = (await this.control(`/brief?username=${this.user.username}`)).token;
  }

  /** What the client gets next is of the session that was ended last. */
  holdRevoked() {
    this.#held = this.#revoked;
  }

  /** Every session ends now; the next token comes from a new sign-in. */
  async signOutEverywhere() {
    const old = await this.token();
    this.#revoked = this.#held;
    const input = { username: this.user.username, password: this.#password };
    this.#session = this.#graphql('mutation { logoutEverywhere }', {}, old)
      .then(() => this.#graphql(LOGIN, { input }, null))
      .then(({ login }) => login);
    await this.#session;
  }

  async offers(mutation) {
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
    this.wrote('MessageAdded', createMessage.id, input.content);
    return createMessage.id;
  }

  async edit(id) {
    const content = this.text();
    await this.#graphql(UPDATE, { input: { id, content } });
    this.wrote('MessageUpdated', id, content);
  }

  async remove(id) {
    await this.#graphql(DELETE, { id });
    this.wrote('MessageDeleted', id);
  }

  /** A further public channel. */
  async channel() {
    const { createChannel } = await this.#graphql(CREATE_CHANNEL, { input: { name: `room-${randomUUID()}` } });
    return createChannel.id;
  }

  /** A message in a channel that is not the one of the scenario. */
  async write(channelId, content) {
    const { createMessage } = await this.#graphql(CREATE, { input: { channelId, content, idempotencyKey: randomUUID() } });
    return createMessage.id;
  }

  /** Messages with comments. Their ids are those of other messages, channels and users, too. Newest first. */
  async threads(channelId) {
    const threads = [];
    const comment = 'mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }';
    for (let count = 0; count < 3; count += 1) {
      const [content, reply] = [this.text(), this.text()];
      const messageId = await this.write(channelId, content);
      await this.#graphql(comment, { input: { messageId, content: reply } });
      threads.unshift([content, [reply]]);
    }
    // Comments of an early message take the ids that late messages have.
    return threads;
  }

  /**
   * Runs `open` while the first answer to a query with a `logCursor` has, in its place, a cursor that the server does not
   * know. Answers with how often such a query was answered.
   */
  async withDeadCursor(open) {
    const { cursor } = await this.control('/stranger');
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
      // The list is there, whose cursor has been refused, or the new one: wait for that before the next caller's answers.
      await this.until(() => read.count >= 2, 'the list is read again').finally(() => (globalThis.fetch = fetch));
    }
    return read;
  }

  /** Resolves when a condition holds that no event announces. */
  async until(condition, what) {
    for (const deadline = Date.now() + SEEN_WITHIN_MS; !condition(); ) {
      assert(Date.now() < deadline, `${what}: not within ${SEEN_WITHIN_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  wrote(kind, id, content) {
    this.#unsettled.push({ kind, id });
    if (content === undefined) this.messages.delete(id);
    else this.messages.set(id, content);
  }

  /** A replay shows objects as they are now and skips those that are gone; a live event is settled before the next write. */
  settle() {
    for (const { kind, id } of this.#unsettled.splice(0)) {
      if (kind === 'MessageDeleted') this.#due.push([kind, id]);
      else if (this.messages.has(id)) this.#due.push([kind, id, this.messages.get(id)]);
    }
  }

  forget() {
    this.#due = [];
  }

  watch(client, cursor) {
    const variables = { channelId: this.channelId, after: cursor };
    const start = (document, concerns, shape) => {
      const watched = { concerns, events: [], stop: () => {} };
      this.#watched.push(watched);
      watched.stop = client.subscribe(document, variables, {
        next: (event) => this.#arrived(watched, shape(event)),
        error: (code) => this.#broke(`${document}\nended with the error ${code}`),
        complete: () => this.#broke(`${document}\nended`),
      });
    };
    start(ADDED, ['MessageAdded'], ({ id, content }) => ['MessageAdded', id, content]);
    start(DELETED, ['MessageDeleted'], ({ id }) => ['MessageDeleted', id]);
    start(EVENTS, ['MessageAdded', 'MessageUpdated', 'MessageDeleted'], (event) =>
      event.message ? [event.__typename, event.message.id, event.message.content] : [event.__typename, event.messageId],
    );
  }

  stop() {
    for (const watched of this.#watched.splice(0)) watched.stop();
  }

  /** Resolves when each subscription has seen exactly what is due, in order; rejects if it saw anything else. */
  async caughtUp(when) {
    this.settle();
    for (const watched of this.#watched) {
      const due = this.#due.filter(([kind]) => watched.concerns.includes(kind));
      await this.#until(() => watched.events.length >= due.length, when).catch(() => {}); // the comparison says more
      if (this.#broken) throw this.#broken;
      assert.deepEqual(watched.events, due, `${when}: ${watched.concerns} (left: seen, right: due)`);
    }
  }

  /** How many events all subscriptions together have seen. */
  get seen() {
    return this.#watched.reduce((sum, { events }) => sum + events.length, 0);
  }

  /** Resolves when any subscription has seen an event since `seen`. */
  seesMoreThan(seen) {
    return this.#until(() => this.seen > seen, 'storm');
  }

  /** Resolves when `events` has said once more that the client is live. */
  seesCheckpoint(before) {
    return this.#until(() => this.checkpoints > before, 'checkpoint');
  }

  /** Writes until the library has asked for so many tokens. */
  async writesUntilAsked(count) {
    for (const deadline = Date.now() + SEEN_WITHIN_MS; this.asked < count; ) {
      assert(Date.now() < deadline, `the library asked for ${this.asked} tokens instead of ${count}`);
      await this.post();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #until(condition, when) {
    return within(`${when}: the events due`, (resolve, reject) => {
      this.#check = () => (this.#broken ? reject(this.#broken) : condition() && resolve());
      this.#check();
    });
  }

  #arrived(watched, event) {
    if (event[0] === 'Checkpoint') this.checkpoints += 1;
    if (watched.concerns.includes(event[0])) watched.events.push(event); // ignores kinds newer than this client
    this.#check();
  }

  #broke(message) {
    if (!this.#watched.length) return;
    this.#broken = new Error(message);
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

/** A promise that cannot hang. What `start` returns is called when it is settled. */
export function within(what, start) {
  let timer, clean;
  return new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${SEEN_WITHIN_MS} ms`)), SEEN_WITHIN_MS);
    clean = start(resolve, reject);
  }).finally(() => {
    clearTimeout(timer);
    clean?.();
  });
}

/** Not `fetch`: its pooled connections would die with the server that the scenario kills. */
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
