// static/live.js in Node against a server that is killed and restarted 20 times at random moments, while messages are
// sent from both ends: nothing lost, nothing twice, in one order.
import assert from 'node:assert/strict';
import { Live } from '../../static/live.js';
import { ask, graphql, host, pause, register, until } from './plain.mjs';

const KILLS = 20;
const ROOM = 'project_123';

/** What a browser keeps over a reload. */
function storage() {
  const entries = new Map();
  return { all: () => [...entries.values()], put: (entry) => entries.set(entry.key, entry), remove: (key) => entries.delete(key) };
}

class End {
  storage = storage();
  written = [];
  heard = [];
  lines = [];
  asked = 0;

  constructor(name, { token }) {
    Object.assign(this, { name, secret: token });
    this.load();
  }

  load() {
    const log = (...words) => this.lines.push(words.join(' '));
    this.live = new Live({
      url: `ws://${host}/api/v1/websocket/connect`,
      token: async () => ((this.asked += 1), this.secret),
      console: { log, error: log },
      storage: this.storage,
      minWait: 20,
      maxWait: 200,
      heartbeat: 2_000,
    });
    this.live.on('message', ({ text }) => this.heard.push(text));
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

const ends = [];
for (const name of ['ann', 'bob']) ends.push(new End(name, await register()));
for (const { live } of ends) await until('a line', () => live.connected);
// Both are in the room when the first messages of both have come.
ends[0].write();
await until('the first message', () => ends[0].heard.length === 1);
await until('the other end', () => ends[1].live.connected);

let going = true;
const writing = ends.map(async (end) => {
  while (going) {
    end.write();
    await pause(Math.random() * 20);
  }
});
for (let kill = 0; kill < KILLS; kill += 1) {
  await pause(Math.random() * 300);
  await ask('/restart');
  if (kill === KILLS / 2) {
    // A page that is reloaded: what was written is in its storage, and is sent by the new one.
    const [end] = ends;
    await ask('/shut');
    await ask('/cut');
    for (let count = 0; count < 5; count += 1) end.write();
    end.live.close();
    assert(end.live.unsent.length >= 5);
    end.load();
    await ask('/open');
  }
}
going = false;
await Promise.all(writing);
const all = ends[0].written.length + ends[1].written.length;
for (const { live } of ends) await until('an empty outbox', () => live.unsent.length === 0);
for (const end of ends) await until(`all messages at ${end.name}`, () => new Set(end.heard).size >= all - (end === ends[1] ? 1 : 0));
await pause(200); // whatever comes twice has come by now

const kept = [];
for (let after = null, more = true; more; ) {
  const query = `query ($after: String) { channel(name: "${ROOM}") { messages(first: 100, after: $after) {
    nodes { content } pageInfo { hasNextPage endCursor } } } }`;
  const { messages } = (await graphql(undefined, query, { after })).channel;
  kept.unshift(...messages.nodes.map(({ content }) => content).reverse());
  [more, after] = [messages.pageInfo.hasNextPage, messages.pageInfo.endCursor];
}
assert.equal(kept.length, all, 'each message is there once');
assert.equal(new Set(kept).size, all);
assert.deepEqual(ends[0].heard, kept);
// The other end may have joined after the very first.
assert.deepEqual(ends[1].heard, kept.slice(kept.length - ends[1].heard.length));
for (const end of ends) {
  for (const line of ['🔌 Connecting to WebSocket', '✅ WebSocket connected', '❌ WebSocket error', '🔄 Reconnecting']) {
    assert(end.lines.some((said) => said.startsWith(line)), line);
  }
  const attempts = end.lines.filter((said) => said.startsWith('🔌')).length;
  assert.equal(end.asked, attempts, 'the token is asked for at each attempt');
}
console.log(`proven: ${KILLS} kills, ${all} messages from both ends, nothing lost, nothing twice, a reload with an outbox`);
process.exit(0);
