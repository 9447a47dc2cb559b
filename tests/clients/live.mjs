// static/live.js in Node. The server is killed and restarted 20 times at random moments while two clients send
// messages. No message may be lost or duplicated, and both clients must get the same order.
import assert from 'node:assert/strict';
import { Live } from '../../static/live.js';
import { control, graphql, host, pause, register, until } from './support.mjs';

const KILLS = 20;
const ROOM = 'project_123';

/** A storage that survives a simulated reload. */
function storage() {
  const entries = new Map();
  return { all: () => [...entries.values()], put: (entry) => entries.set(entry.key, entry), remove: (key) => entries.delete(key) };
}

class Peer {
  storage = storage();
  written = [];
  received = [];
  lines = [];
  tokenRequests = 0;

  constructor(name, { token }) {
    Object.assign(this, { name, secret: token });
    this.load();
  }

  load() {
    const log = (...words) => this.lines.push(words.join(' '));
    this.live = new Live({
      url: `ws://${host}/api/v1/websocket/connect`,
      token: async () => ((this.tokenRequests += 1), this.secret),
      console: { log, error: log },
      storage: this.storage,
      minWait: 20,
      maxWait: 200,
      heartbeat: 2_000,
    });
    this.live.on('message', ({ text }) => this.received.push(text));
    this.live.join(ROOM, this.cursor);
    this.live.on('*', ({ cursor, room }) => room && cursor && (this.cursor = cursor));
    this.live.connect();
  }

  write() {
    const text = `${this.name} ${this.written.length}`;
    this.written.push(text);
    this.live.send(ROOM, text);
  }
}

const peers = [];
for (const name of ['ann', 'bob']) peers.push(new Peer(name, await register()));
for (const { live } of peers) await until('the connection', () => live.connected);
// The first message proves that its sender has joined the room.
peers[0].write();
await until('the first message', () => peers[0].received.length === 1);
await until('the other peer', () => peers[1].live.connected);

let isWriting = true;
const writing = peers.map(async (peer) => {
  while (isWriting) {
    peer.write();
    await pause(Math.random() * 20);
  }
});
for (let kill = 0; kill < KILLS; kill += 1) {
  await pause(Math.random() * 300);
  await control('/restart');
  if (kill === KILLS / 2) {
    // Simulates a reload: the unsent messages are in the storage, and the new client sends them.
    const [peer] = peers;
    await control('/reject');
    await control('/cut');
    for (let count = 0; count < 5; count += 1) peer.write();
    peer.live.close();
    assert(peer.live.unsent.length >= 5);
    peer.load();
    await control('/accept');
  }
}
isWriting = false;
await Promise.all(writing);
const all = peers[0].written.length + peers[1].written.length;
for (const { live } of peers) await until('an empty outbox', () => live.unsent.length === 0);
for (const peer of peers) await until(`all messages at ${peer.name}`, () => new Set(peer.received).size >= all - (peer === peers[1] ? 1 : 0));
await pause(200); // time for duplicates to arrive

const stored = [];
for (let after = null, more = true; more; ) {
  const query = `query ($after: String) { channel(name: "${ROOM}") { messages(first: 100, after: $after) {
    nodes { content } pageInfo { hasNextPage endCursor } } } }`;
  const { messages } = (await graphql(undefined, query, { after })).channel;
  stored.unshift(...messages.nodes.map(({ content }) => content).reverse());
  [more, after] = [messages.pageInfo.hasNextPage, messages.pageInfo.endCursor];
}
assert.equal(stored.length, all, 'the server has each message once');
assert.equal(new Set(stored).size, all);
assert.deepEqual(peers[0].received, stored);
// The second client may have joined after the first message.
assert.deepEqual(peers[1].received, stored.slice(stored.length - peers[1].received.length));
for (const peer of peers) {
  for (const line of ['🔌 Connecting to WebSocket', '✅ WebSocket connected', '❌ WebSocket error', '🔄 Reconnecting']) {
    assert(peer.lines.some((logged) => logged.startsWith(line)), line);
  }
  const attempts = peer.lines.filter((line) => line.startsWith('🔌')).length;
  assert.equal(peer.tokenRequests, attempts, 'the token function is called at each attempt');
}
console.log(`proven: ${KILLS} kills, ${all} messages from both peers, nothing lost, nothing twice, a reload with an outbox`);
process.exit(0);
