// The outbox sends entries in order and once, across failures and reloads.

import assert from 'node:assert/strict';
import test from 'node:test';
import { MemoryStorage } from '../browser-storage.js';
import { entriesIn, Outbox, Refused, Suspected, UNREADABLE, wellFormed } from '../outbox.js';

class Memory extends MemoryStorage {
  // Simulates a storage without free space.
  isFull = false;

  setItem(name, value) {
    if (this.isFull) throw new DOMException('exceeded the quota', 'QuotaExceededError');
    super.setItem(name, value);
  }
}

function outboxIn(memory, send, more) {
  return new Outbox({ storage: entriesIn(memory, 'out.'), send, withLock: (work) => work(), ...more });
}

const inputs = (outbox) => outbox.entries.map(({ input }) => input);

test('entries are sent one at a time, in the order in which they were added', async () => {
  const sent = [];
  let inFlight = 0;
  const outbox = outboxIn(new Memory(), async ({ input }) => {
    assert.equal((inFlight += 1), 1);
    await null;
    inFlight -= 1;
    sent.push(input);
  }, { now: () => 5 });
  for (const input of ['a', 'b', 'c']) outbox.add('message', input);
  assert.equal(outbox.waiting, 3);
  await Promise.all([outbox.flush(), outbox.flush()]);
  assert.deepEqual(sent, ['a', 'b', 'c']);
  assert.equal(outbox.waiting, 0);
});

test('an entry that cannot be sent now keeps its position and key, and the entries behind it wait', async () => {
  const attempts = [];
  let isConnected = false;
  const outbox = outboxIn(new Memory(), async ({ input, key }) => {
    attempts.push([input, key]);
    if (!isConnected) throw new Error('not connected');
  });
  outbox.add('message', 'a');
  outbox.add('message', 'b');
  await outbox.flush();
  assert.deepEqual(inputs(outbox), ['a', 'b']);
  isConnected = true;
  await outbox.flush();
  assert.deepEqual(attempts.map(([input]) => input), ['a', 'a', 'b']);
  assert.equal(attempts[0][1], attempts[1][1]);
});

test('a rejected entry has an error, does not block the others, and can be retried or discarded', async () => {
  let isAllowed = false;
  const sent = [];
  const outbox = outboxIn(new Memory(), async ({ input }) => {
    if (input === 'bad' && !isAllowed) throw new Refused('too long');
    sent.push(input);
  });
  const bad = outbox.add('message', 'bad');
  outbox.add('message', 'good');
  await outbox.flush();
  assert.deepEqual(sent, ['good']);
  assert.deepEqual(outbox.entries.map(({ state, error }) => [state, error]), [['failed', 'too long']]);
  assert.equal(outbox.waiting, 0);
  isAllowed = true;
  outbox.retry(bad.key);
  await new Promise(setImmediate);
  assert.deepEqual(sent, ['good', 'bad']);
  const other = outbox.add('message', 'other');
  outbox.discard(other.key);
  assert.deepEqual(outbox.entries, []);
});

test('entries survive a reload, and another tab does not overwrite them', async () => {
  const memory = new Memory();
  const first = outboxIn(memory, () => {});
  first.add('message', 'a');
  const second = outboxIn(memory, () => {});
  second.add('message', 'b');
  first.add('message', 'c');
  assert.deepEqual(inputs(outboxIn(memory, () => {})).sort(), ['a', 'b', 'c']);
});

test('an entry that another tab has sent is not sent again', async () => {
  const memory = new Memory();
  const outbox = outboxIn(memory, () => assert.fail('sent again'));
  const { key } = outbox.add('message', 'a');
  memory.removeItem(`out.${key}`);
  await outbox.flush();
  assert.deepEqual(outbox.entries, []);
});

test('the state shows which entry is being sent, and listeners are called after a change', async () => {
  const states = [];
  const outbox = outboxIn(new Memory(), async () => {}, { onSent: () => states.push('sent') });
  outbox.onChange(() => states.push(outbox.entries.map(({ state }) => state).join()));
  outbox.add('message', 'a');
  await outbox.flush();
  assert.deepEqual(states.filter((state, index) => state !== states[index - 1]), ['waiting', 'sending', 'sent', '']);
});

test('an entry at which the server fails is sent three times, then it fails and the next one is sent', async () => {
  const attempts = [];
  const outbox = outboxIn(new Memory(), async ({ input }) => {
    attempts.push(input);
    if (input === 'poison') throw new Suspected('closed (4400)');
  });
  outbox.add('message', 'poison');
  outbox.add('message', 'later');
  for (let round = 0; round < 3; round += 1) await outbox.flush();
  assert.deepEqual(attempts, ['poison', 'poison', 'poison', 'later']);
  assert.deepEqual(outbox.entries.map(({ state, error }) => [state, error]), [['failed', 'closed (4400)']]);
  assert.equal(outbox.waiting, 0);
});

test('a retry by the user resets the number of attempts, and attempts do not count for the next entry', async () => {
  const attempts = [];
  const outbox = outboxIn(new Memory(), async ({ input }) => {
    attempts.push(input);
    throw new Suspected('failed');
  });
  const { key } = outbox.add('message', 'a');
  for (let round = 0; round < 4; round += 1) await outbox.flush();
  assert.equal(attempts.length, 3);
  outbox.retry(key);
  await new Promise(setImmediate);
  assert.equal(outbox.entries[0].state, 'waiting');
  for (let round = 0; round < 2; round += 1) await outbox.flush();
  assert.equal(attempts.length, 6);
  outbox.discard(key);
  outbox.add('message', 'b');
  await outbox.flush();
  assert.equal(outbox.entries[0].state, 'waiting');
});

const DAMAGED = [
  ['not JSON', '{"key":'],
  ['no object', '7'],
  ['null', 'null'],
  ['no input', '{"key":"KEY","kind":"message","at":1}'],
  ['another key', '{"key":"other","kind":"message","input":"a","at":1}'],
  ['no time', '{"key":"KEY","kind":"message","input":"a","at":"yesterday"}'],
  ['an error that is no text', '{"key":"KEY","kind":"message","input":"a","at":1,"error":{}}'],
];

for (const [what, stored] of DAMAGED) {
  test(`a stored entry that is damaged (${what}) is a failed entry, can be discarded, and blocks no other entry`, async () => {
    const memory = new Memory();
    memory.setItem('out.k1', stored.replace('KEY', 'k1'));
    const sent = [];
    const outbox = outboxIn(memory, async ({ input }) => sent.push(input));
    outbox.add('message', 'good');
    await outbox.flush();
    assert.deepEqual(sent, ['good']);
    const [{ key, kind, state, input }] = outbox.entries;
    assert.deepEqual([key, kind, state, input], ['k1', UNREADABLE, 'failed', stored.replace('KEY', 'k1')]);
    outbox.retry('k1');
    assert.equal(outbox.entries[0].kind, UNREADABLE);
    outbox.discard('k1');
    assert.equal(memory.length, 0);
  });
}

test('a stored entry of an unknown kind is a failed entry', async () => {
  const memory = new Memory();
  memory.setItem('out.k1', JSON.stringify({ key: 'k1', kind: 'reaction', input: {}, at: 1 }));
  const storage = entriesIn(memory, 'out.', ({ kind }) => kind === 'message');
  const outbox = new Outbox({ storage, send: async () => {}, withLock: (work) => work() });
  assert.deepEqual(outbox.entries.map(({ kind, state }) => [kind, state]), [[UNREADABLE, 'failed']]);
});

test('a rejected entry fails even if the storage is too full for its error', async () => {
  const memory = new Memory();
  const sent = [];
  const outbox = outboxIn(memory, async ({ input }) => {
    if (input === 'bad') throw new Refused('too long');
    sent.push(input);
  });
  outbox.add('message', 'bad');
  outbox.add('message', 'good');
  memory.isFull = true;
  await outbox.flush();
  assert.deepEqual(sent, ['good']);
  assert.deepEqual(outbox.entries.map(({ state, error }) => [state, error]), [['failed', 'too long']]);
});

test('with a full storage `add` throws and adds nothing', () => {
  const memory = new Memory();
  const outbox = outboxIn(memory, async () => {});
  memory.isFull = true;
  assert.throws(() => outbox.add('message', 'a'), { name: 'QuotaExceededError' });
  assert.deepEqual(outbox.entries, []);
});

test('an unpaired surrogate at any depth becomes U+FFFD before it is stored', () => {
  const memory = new Memory();
  const outbox = outboxIn(memory, async () => {});
  outbox.add('message', { content: 'x \ud83d', ticket: { title: '\ude00!' }, list: ['\ud800', '😀'] });
  assert.deepEqual(outbox.entries[0].input, { content: 'x \ufffd', ticket: { title: '\ufffd!' }, list: ['\ufffd', '😀'] });
  assert.deepEqual(wellFormed({ '\ud83d': null, n: 1, is: true }), { '\ufffd': null, n: 1, is: true });
});

test('if the browser denies locks, the outbox sends without a lock', async () => {
  const { locks } = globalThis.navigator ?? {};
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: { locks: { request: async () => { throw new DOMException('denied in this context', 'SecurityError'); } } },
  });
  try {
    const sent = [];
    const outbox = new Outbox({ storage: entriesIn(new Memory(), 'out.'), send: async ({ input }) => sent.push(input) });
    outbox.add('message', 'a');
    await outbox.flush();
    assert.deepEqual(sent, ['a']);
  } finally {
    Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { locks } });
  }
});
