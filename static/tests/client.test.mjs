// Client, against a fake server behind a fake WebSocket.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStorage } from '../browser-storage.js';

// The globals of a browser that the client uses.
Object.assign(globalThis, {
  addEventListener() {},
  removeEventListener() {},
  document: { hidden: false, addEventListener() {}, removeEventListener() {} },
  location: new URL('http://127.0.0.1/'),
});
Object.defineProperty(globalThis, 'navigator', { value: { onLine: true }, configurable: true });

const { Client } = await import('../app/data/client.js');
const { pendingIn } = await import('../app/data/pending.js');

const USER = { id: '1', username: 'eva', displayName: 'Eva', role: 'MEMBER' };
const EMPTY = { nodes: [], pageInfo: { hasNextPage: false, endCursor: null } };

// The fake server: it answers the query BASE and records the open subscriptions by id.
class Server {
  subscriptions = new Map();
  queries = 0;
  connections = 0;

  take(frame, reply) {
    if (frame.type === 'connection_init') return reply({ type: 'connection_ack' });
    if (frame.type === 'complete') return this.subscriptions.delete(frame.id);
    if (frame.type !== 'subscribe') return undefined;
    if (frame.payload.query.startsWith('subscription')) {
      const next = (payload) => reply({ id: frame.id, type: 'next', payload });
      return this.subscriptions.set(frame.id, { next, after: frame.payload.variables.after });
    }
    const answer = (data) => {
      reply({ id: frame.id, type: 'next', payload: { data } });
      return reply({ id: frame.id, type: 'complete' });
    };
    if (frame.payload.query.includes('users(')) {
      const disabled = frame.payload.query.includes('disabled') ? { disabled: true } : {};
      return answer({ users: { nodes: [USER, { ...USER, id: '2', username: 'ben', ...disabled }] } });
    }
    this.queries += 1;
    return answer({ cursor: `base-${this.queries}`, me: USER, channels: EMPTY, templates: EMPTY, notifications: { nodes: [] } });
  }
}

function connectTo(server) {
  globalThis.WebSocket = class {
    static OPEN = 1;
    static CLOSING = 2;
    readyState = 1;
    protocol = 'graphql-transport-ws';

    constructor() {
      server.connections += 1;
      setImmediate(() => this.onopen());
    }

    send(text) {
      const reply = (frame) => this.readyState === 1 && this.onmessage({ data: JSON.stringify(frame) });
      setImmediate(() => server.take(JSON.parse(text), reply));
    }

    close(code = 1000) {
      this.readyState = 2;
      setImmediate(() => this.onclose?.({ code, reason: '', wasClean: true }));
    }
  };
  const session = { current: { token: 'token', user: USER }, refreshEveryMs: 60_000, refreshIfDue: async () => {}, end() {} };
  return new Client({ session, storage: new MemoryStorage() });
}

async function until(isTrue) {
  const deadline = Date.now() + 10_000;
  while (!isTrue()) {
    assert.ok(Date.now() < deadline, `the condition was not true within ten seconds: ${isTrue}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// Regression test: each failed event added a subscription, and the old ones stayed open.
test('an event that the server cannot render ends the subscription, and the state is loaded again', async () => {
  const server = new Server();
  const client = connectTo(server);
  await until(() => server.subscriptions.size === 1);
  const [first] = server.subscriptions.values();
  assert.equal(first.after, 'base-1');

  first.next({ data: null, errors: [{ message: 'internal error', extensions: { code: 'INTERNAL_SERVER_ERROR' } }] });
  await until(() => server.queries === 2 && server.subscriptions.size === 1);
  const [second] = server.subscriptions.values();
  assert.notEqual(second, first);
  assert.equal(second.after, 'base-2');
  client.close();
});

test('the first query and the events share one connection', async () => {
  const server = new Server();
  const client = connectTo(server);
  await until(() => server.subscriptions.size === 1);
  assert.equal(server.connections, 1);
  client.close();
});

test('after a temporary failure the subscription resumes after the last event', async () => {
  const server = new Server();
  const client = connectTo(server);
  await until(() => server.subscriptions.size === 1);
  const [first] = server.subscriptions.values();

  first.next({ data: { events: { __typename: 'Checkpoint', cursor: 'later' } } });
  first.next({ data: null, errors: [{ message: 'unavailable', extensions: { code: 'UNAVAILABLE' } }] });
  await until(() => server.subscriptions.size === 1 && ![...server.subscriptions.values()].includes(first));
  const [second] = server.subscriptions.values();
  assert.equal(second.after, 'later');
  assert.equal(server.queries, 1);
  client.close();
});

test('disabled users are not offered as assignees or members', async () => {
  const client = connectTo(new Server());
  assert.deepEqual((await client.users()).map(({ username }) => username), ['eva']);
  client.close();
});

test('a comment whose event has arrived is not shown as pending, even if its id is smaller than a message id', () => {
  const client = connectTo(new Server());
  client.state = { ...client.state, messages: new Map([['5', { id: '5' }]]) };
  client.write('comment', { messageId: '5', content: 'hello' });
  const sending = client.outbox.entries.map((entry) => ({ ...entry, state: 'sending' }));
  assert.deepEqual(pendingIn(sending, 'comment', '5', [{ id: '1', authorId: '1', content: 'hello' }], '1'), []);
  client.close();
});
