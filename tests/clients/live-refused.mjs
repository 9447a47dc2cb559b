// static/live.js: no message stops those behind it for good.
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { entriesIn } from '../../static/outbox.js';
import { MemoryStorage } from '../../static/browser-storage.js';
import { Live } from '../../static/live.js';
import { host, register, until } from './plain.mjs';

const ROOM = 'garden';
const { token } = await register();

/** What each message does on its way, by its text. */
const acts = {
  'close 1009': (socket) => socket.fail(1009),
  'close 4400': (socket) => socket.fail(4400),
  'close 4500': (socket) => socket.fail(4500),
  unreadable: (socket, frame) => socket.pass(frame.slice(0, -2)),
  'answer INTERNAL_SERVER_ERROR': (socket, frame) => socket.answer(frame, 'INTERNAL_SERVER_ERROR'),
  'answer FORBIDDEN': (socket, frame) => socket.answer(frame, 'FORBIDDEN'),
  'answer CONFLICT': (socket, frame) => socket.answer(frame, 'CONFLICT'),
};
const tried = new Map();
const closes = [];

class Spoilt extends WebSocket {
  constructor(...parameters) {
    super(...parameters);
    this.on('close', (code) => closes.push(code));
  }

  send(frame) {
    const { type, text } = JSON.parse(frame);
    const act = type === 'message' && acts[text];
    if (!act) return super.send(frame);
    tried.set(text, (tried.get(text) ?? 0) + 1);
    return act(this, frame);
  }

  pass(frame) {
    super.send(frame);
  }

  answer(frame, code) {
    const { key } = JSON.parse(frame);
    this.onmessage({ data: JSON.stringify({ type: 'error', code, message: `refused with ${code}`, key }) });
  }

  fail(code) {
    this.onclose({ code, reason: 'as asked' });
    this.terminate();
  }
}

const memory = new MemoryStorage();
memory.setItem('out.damaged', '{"key":"damaged","kind":"mess');
const live = new Live({
  url: `ws://${host}/api/v1/websocket/connect`,
  token: () => token,
  WebSocket: Spoilt,
  console: null,
  storage: entriesIn(memory, 'out.'),
  minWait: 20,
  maxWait: 100,
});
const heard = [];
const errors = [];
live.on('message', ({ text }) => heard.push(text));
live.on('error', (error) => errors.push(error));
live.join(ROOM);
live.join('r'.repeat(300_000)); // a name that no frame can carry
live.join('half \ud83d');
live.connect();
await until('a line', () => live.connected);

live.send(ROOM, 'x'.repeat(300_000));
live.send(ROOM, `€${'€'.repeat(90_000)}`);
live.send(ROOM, 'y'.repeat(40_001)); // fits into a frame, but is longer than a message may be
live.send(ROOM, 'half \ud83d');
live.send('', 'to no room');
for (const text of Object.keys(acts)) live.send(ROOM, text);
live.send(ROOM, 'the last one');
await until('the last one', () => heard.includes('the last one'));
assert.deepEqual(heard, ['half \ufffd', 'the last one']);

// The message comes to the room before its sender is answered.
await until('the answer to it', () => live.unsent.every(({ state }) => state === 'failed'));
const failed = live.unsent;
assert.deepEqual(failed.map(({ state }) => state), failed.map(() => 'failed'));
assert.equal(failed.length, 5 + Object.keys(acts).length, 'the damaged one, three too long, one without a room, and those on purpose');
for (const text of Object.keys(acts)) {
  const times = ['answer FORBIDDEN', 'answer CONFLICT'].includes(text) ? 1 : 3;
  assert.equal(tried.get(text), times, text);
  assert(failed.find(({ input }) => input.text === text).error, text);
}
assert(errors.some(({ code, room }) => code === 'BAD_USER_INPUT' && room?.length === 300_000));
assert(!closes.includes(1009), 'what is too large is not sent');
for (const { key } of failed) live.outbox.discard(key);
assert.deepEqual([live.unsent, memory.length], [[], 0]);
console.log(`proven: ${failed.length} messages that cannot be sent, and none of them stops another`);
process.exit(0);
