// static/live.js: a message that the server never accepts does not block the messages behind it.
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { entriesIn } from '../../static/outbox.js';
import { MemoryStorage } from '../../static/browser-storage.js';
import { Live } from '../../static/live.js';
import { host, register, until } from './support.mjs';

const ROOM = 'garden';
const { token } = await register();

/** The fault that each message causes when it is sent, by its text. */
const faults = {
  'close 1009': (socket) => socket.fail(1009),
  'close 4400': (socket) => socket.fail(4400),
  'close 4500': (socket) => socket.fail(4500),
  unreadable: (socket, frame) => socket.pass(frame.slice(0, -2)),
  'answer INTERNAL_SERVER_ERROR': (socket, frame) => socket.answer(frame, 'INTERNAL_SERVER_ERROR'),
  'answer FORBIDDEN': (socket, frame) => socket.answer(frame, 'FORBIDDEN'),
  'answer CONFLICT': (socket, frame) => socket.answer(frame, 'CONFLICT'),
};
const attempts = new Map();
const closes = [];

class FaultySocket extends WebSocket {
  constructor(...parameters) {
    super(...parameters);
    this.on('close', (code) => closes.push(code));
  }

  send(frame) {
    const { type, text } = JSON.parse(frame);
    const fault = type === 'message' && faults[text];
    if (!fault) return super.send(frame);
    attempts.set(text, (attempts.get(text) ?? 0) + 1);
    return fault(this, frame);
  }

  pass(frame) {
    super.send(frame);
  }

  answer(frame, code) {
    const { key } = JSON.parse(frame);
    this.onmessage({ data: JSON.stringify({ type: 'error', code, message: `refused with ${code}`, key }) });
  }

  fail(code) {
    this.onclose({ code, reason: 'injected fault' });
    this.terminate();
  }
}

const memory = new MemoryStorage();
memory.setItem('out.damaged', '{"key":"damaged","kind":"mess');
const live = new Live({
  url: `ws://${host}/api/v1/websocket/connect`,
  token: () => token,
  WebSocket: FaultySocket,
  console: null,
  storage: entriesIn(memory, 'out.'),
  minWait: 20,
  maxWait: 100,
});
const received = [];
const errors = [];
live.on('message', ({ text }) => received.push(text));
live.on('error', (error) => errors.push(error));
live.join(ROOM);
live.join('r'.repeat(300_000)); // a name that does not fit into a frame
live.join('half \ud83d');
live.connect();
await until('the connection', () => live.connected);

live.send(ROOM, 'x'.repeat(300_000));
live.send(ROOM, `€${'€'.repeat(90_000)}`);
live.send(ROOM, 'y'.repeat(40_001)); // fits into a frame, but is longer than the limit of a message
live.send(ROOM, 'half \ud83d');
live.send('', 'to no room');
for (const text of Object.keys(faults)) live.send(ROOM, text);
live.send(ROOM, 'the last one');
await until('the last one', () => received.includes('the last one'));
assert.deepEqual(received, ['half \ufffd', 'the last one']);

// A message can arrive in the room before its sender gets the answer.
await until('the answer to it', () => live.unsent.every(({ state }) => state === 'failed'));
const failed = live.unsent;
assert.deepEqual(failed.map(({ state }) => state), failed.map(() => 'failed'));
assert.equal(failed.length, 5 + Object.keys(faults).length, 'one damaged entry, three long texts, one without a room, and the injected faults');
for (const text of Object.keys(faults)) {
  const times = ['answer FORBIDDEN', 'answer CONFLICT'].includes(text) ? 1 : 3;
  assert.equal(attempts.get(text), times, text);
  assert(failed.find(({ input }) => input.text === text).error, text);
}
assert(errors.some(({ code, room }) => code === 'BAD_USER_INPUT' && room?.length === 300_000));
assert(!closes.includes(1009), 'a message that is too large is not sent');
for (const { key } of failed) live.outbox.discard(key);
assert.deepEqual([live.unsent, memory.length], [[], 0]);
console.log(`proven: ${failed.length} messages that cannot be sent, and none of them blocks another`);
process.exit(0);
