// The outbox: in order, once, across failures and reloads.

import assert from 'node:assert/strict';
import test from 'node:test';
import { entriesIn, Outbox, Refused } from '../outbox.js';

// A Web Storage as browsers have it: its items are its own properties.
class Memory {
  getItem(name) {
    return this[name] ?? null;
  }
  setItem(name, value) {
    this[name] = value;
  }
  removeItem(name) {
    delete this[name];
  }
}

function outboxIn(memory, send, more) {
  return new Outbox({ storage: entriesIn(memory, 'out.'), send, alone: (work) => work(), ...more });
}

const inputs = (outbox) => outbox.entries.map(({ input }) => input);

test('entries go out in the order in which they were written, one at a time', async () => {
  const sent = [];
  let underWay = 0;
  const outbox = outboxIn(new Memory(), async ({ input }) => {
    assert.equal((underWay += 1), 1);
    await null;
    underWay -= 1;
    sent.push(input);
  }, { now: () => 5 });
  for (const input of ['a', 'b', 'c']) outbox.add('message', input);
  assert.equal(outbox.waiting, 3);
  await Promise.all([outbox.flush(), outbox.flush()]);
  assert.deepEqual(sent, ['a', 'b', 'c']);
  assert.equal(outbox.waiting, 0);
});

test('what cannot be sent now stays at its place, with its key, and holds back what is behind it', async () => {
  const tried = [];
  let isThere = false;
  const outbox = outboxIn(new Memory(), async ({ input, key }) => {
    tried.push([input, key]);
    if (!isThere) throw new Error('no line');
  });
  outbox.add('message', 'a');
  outbox.add('message', 'b');
  await outbox.flush();
  assert.deepEqual(inputs(outbox), ['a', 'b']);
  isThere = true;
  await outbox.flush();
  assert.deepEqual(tried.map(([input]) => input), ['a', 'a', 'b']);
  assert.equal(tried[0][1], tried[1][1]);
});

test('a refused entry says why, lets the others pass, and can be tried again or thrown away', async () => {
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

test('the state says what is on its way, and a change is told', async () => {
  const states = [];
  const outbox = outboxIn(new Memory(), async () => {}, { onSent: () => states.push('sent') });
  outbox.onChange(() => states.push(outbox.entries.map(({ state }) => state).join()));
  outbox.add('message', 'a');
  await outbox.flush();
  assert.deepEqual(states.filter((state, index) => state !== states[index - 1]), ['waiting', 'sending', 'sent', '']);
});
