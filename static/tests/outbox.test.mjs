// The outbox of live.js: kept over a reload, and in order.

import assert from 'node:assert/strict';
import test from 'node:test';
import { newKey, Outbox } from '../outbox.js';

function storage(items = new Map()) {
  return {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, text) => void items.set(name, text),
    removeItem: (name) => void items.delete(name),
  };
}

test('what was written is there after a reload, in order, until it is sent', () => {
  const kept = storage();
  const before = new Outbox({ storage: kept });
  const [one, two] = [before.add({ text: 'one' }), before.add({ text: 'two', key: 'mine' })];
  assert.equal(two.key, 'mine');
  before.add({ text: 'again', key: 'mine' });
  const after = new Outbox({ storage: kept });
  assert.deepEqual(after.entries, [one, two]);
  assert(after.remove(one.key));
  assert(!after.remove(one.key));
  assert.deepEqual(new Outbox({ storage: kept }).entries, [two]);
  after.remove('mine');
  assert.equal(kept.getItem('tidings.outbox'), null);
});

test('several outboxes in one storage do not mix', () => {
  const kept = storage();
  new Outbox({ storage: kept, name: 'a' }).add({ text: 'a' });
  assert.equal(new Outbox({ storage: kept, name: 'b' }).size, 0);
});

test('storage that is forbidden, full or somebody else\'s is no storage', () => {
  const forbidden = { getItem() { throw new Error('no'); }, setItem() { throw new Error('no'); }, removeItem() { throw new Error('no'); } };
  const outbox = new Outbox({ storage: forbidden });
  outbox.add({ text: 'in memory' });
  assert.equal(outbox.size, 1);
  assert.equal(new Outbox({ storage: storage(new Map([['tidings.outbox', 'nonsense']])) }).size, 0);
  assert.equal(new Outbox({ storage: undefined }).size, 0);
});

test('keys are unique', () => {
  const keys = new Set(Array.from({ length: 1_000 }, newKey));
  assert.equal(keys.size, 1_000);
});
