// Sessions, drafts and GraphiQL's storage with a blocked, full or damaged Web Storage.

import assert from 'node:assert/strict';
import test from 'node:test';
import { MemoryStorage, openStorage } from '../browser-storage.js';
import { Drafts } from '../app/data/drafts.js';
import { storageWithoutSecrets } from '../graphiql/storage.js';

globalThis.addEventListener ??= () => {};
const { Session } = await import('../app/data/session.js');

const throwing = (name) => () => {
  throw new DOMException('no', name);
};

test('a usable storage is used and left unchanged', () => {
  const storage = new MemoryStorage();
  assert.deepEqual(openStorage(() => storage), { storage, isPersistent: true });
  assert.equal(storage.length, 0);
});

test('without a usable storage memory replaces it', () => {
  const forbidden = { getItem: throwing('SecurityError'), setItem: throwing('SecurityError'), length: 0 };
  const neverKeeps = Object.assign(new MemoryStorage(), { setItem: throwing('QuotaExceededError') });
  for (const open of [throwing('SecurityError'), () => undefined, () => null, () => forbidden, () => neverKeeps]) {
    const { storage, isPersistent } = openStorage(open);
    assert.equal(isPersistent, false);
    storage.setItem('a', 1);
    assert.deepEqual([storage.getItem('a'), storage.getItem('b'), storage.length, storage.key(0), storage.key(1)], ['1', null, 1, 'a', null]);
    storage.removeItem('a');
    assert.equal(storage.length, 0);
  }
});

test('a full storage with items is used', () => {
  const full = new MemoryStorage();
  full.setItem('a', 'b');
  full.setItem = throwing('QuotaExceededError');
  assert.deepEqual(openStorage(() => full), { storage: full, isPersistent: true });
});

for (const stored of ['{"token":', '7', 'null', '[]', '{"token":7,"user":{"id":"1"}}', '{"token":"a.b.c"}', '{"token":"a.b.c","user":{"id":1}}', '{"user":"ada"}']) {
  test(`a damaged session (${stored}) counts as absent`, () => {
    const storage = new MemoryStorage();
    storage.setItem('tidings.session', stored);
    const session = new Session(storage);
    assert.equal(session.current, null);
    assert.equal(session.lastUser, null);
  });
}

test('an unreadable token is kept, and is not refreshed', async () => {
  const storage = new MemoryStorage();
  storage.setItem('tidings.session', JSON.stringify({ token: 'opaque', user: { id: '1', username: 'ada' } }));
  const session = new Session(storage);
  assert.equal(session.refreshEveryMs, 60_000);
  await session.refreshIfDue(() => assert.fail('a token of unknown age must not be refreshed'));
});

test('with a full storage the end of a session takes effect and removes the stored token', () => {
  const storage = new MemoryStorage();
  storage.setItem('tidings.session', JSON.stringify({ token: 'old', user: { id: '1', username: 'ada' } }));
  const session = new Session(storage);
  storage.setItem = throwing('QuotaExceededError');
  session.end('ended');
  assert.deepEqual([session.current, session.lastUser.username, session.isPersistent], [null, 'ada', false]);
  assert.equal(storage.getItem('tidings.session'), null);
});

test('with a full storage the previous draft stays, and an empty draft is removed', () => {
  const storage = new MemoryStorage();
  const { setItem } = storage;
  const drafts = new Drafts(storage, '1');
  assert.equal(drafts.set('message:1', 'a'), true);
  storage.setItem = throwing('QuotaExceededError');
  assert.equal(drafts.set('message:1', 'ab'), false);
  assert.equal(drafts.get('message:1'), 'a');
  assert.equal(drafts.set('message:1', ''), true);
  storage.setItem = setItem;
  assert.equal(drafts.get('message:1'), '');
});

test('an appended text is put after the draft, and the listener gets it', () => {
  const drafts = new Drafts(new MemoryStorage(), '1');
  const appended = [];
  const stop = drafts.onAppend('message:1', (text, { title }) => appended.push([text, title]));
  drafts.set('message:1', 'begun\n');
  drafts.append('message:1', { content: 'refused', title: 'A' });
  stop();
  drafts.append('message:1', { content: 'again' });
  assert.deepEqual(appended, [['begun\nrefused', 'A']]);
  assert.equal(drafts.get('message:1'), 'begun\nrefused\nagain');
});

test('damaged collections of GraphiQL count as absent', () => {
  const inner = new MemoryStorage();
  const storage = storageWithoutSecrets(inner);
  for (const stored of ['{', 'null', '{}', '{"queries":{}}', '{"queries":[null]}']) {
    inner.setItem('graphiql:queries', stored);
    assert.equal(storage.getItem('graphiql:queries'), null, stored);
  }
  inner.setItem('graphiql:tabState', '{"tabs":[7]}');
  assert.equal(storage.getItem('graphiql:tabState'), null);
  inner.setItem('graphiql:queries', '{"queries":[{"query":"{ me { id } }"}]}');
  assert.equal(storage.getItem('graphiql:queries'), '{"queries":[{"query":"{ me { id } }"}]}');
  inner.setItem('other', '1');
  assert.equal(storage.length, 2);
  storage.clear();
  assert.deepEqual([inner.length, inner.getItem('other')], [1, '1']);
});

// A token that expires at this time, in seconds.
const tokenUntil = (exp, more) => `a.${btoa(JSON.stringify({ iat: exp - 60, exp, ...more }))}.c`;

// A session in storage, and a server that answers `renewSession` with these answers.
function expiredSession(t, answers, stored = {}) {
  const storage = new MemoryStorage();
  const old = { token: tokenUntil(1), refreshToken: 'first', user: { id: '1', username: 'ada' }, ...stored };
  storage.setItem('tidings.session', JSON.stringify(old));
  const requests = [];
  t.mock.method(globalThis, 'fetch', async (_, { body }) => {
    requests.push(JSON.parse(body).variables);
    const answer = answers.shift();
    if (!answer) throw new TypeError('the server is not reachable');
    return { json: async () => answer };
  });
  useLocks(t, async (_, work) => work());
  return { session: new Session(storage), storage, requests };
}

// Gives the page the locks of a secure page.
function useLocks(t, request) {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { locks: { request } }, configurable: true });
  t.after(() => {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else delete globalThis.navigator;
  });
}

const renewed = (token) => ({ data: { renewSession: { token, refreshToken: 'second', user: { id: '1', username: 'ada' } } } });

test('an expired session is renewed once, with the refresh token of the last answer', async (t) => {
  const next = tokenUntil(4e9);
  const { session, storage, requests } = expiredSession(t, [renewed(next)]);
  assert.equal(session.isExpired, true);
  assert.equal(await session.renew(), true);
  assert.deepEqual([session.isExpired, session.current.token], [false, next]);
  assert.equal(JSON.parse(storage.getItem('tidings.session')).refreshToken, 'second');
  assert.deepEqual(requests, [{ refreshToken: 'first' }]);
});

test('a session without a refresh token, or with a refused one, is not renewed', async (t) => {
  const without = expiredSession(t, [], { refreshToken: undefined });
  assert.equal(await without.session.renew(), false);
  assert.deepEqual(without.requests, []);
  const refused = expiredSession(t, [{ errors: [{ message: 'no', extensions: { code: 'UNAUTHENTICATED' } }] }]);
  assert.equal(await refused.session.renew(), false);
});

test('if the server is not reachable, it is unknown whether the session continues', async (t) => {
  const { session } = expiredSession(t, []);
  await assert.rejects(session.renew(), { code: 'UNREACHABLE' });
  assert.equal(session.current.refreshToken, 'first');
});

test('a session that another tab renewed meanwhile is not renewed again', async (t) => {
  const { session, storage, requests } = expiredSession(t, []);
  let enter;
  useLocks(t, (_, work) => new Promise((resolve) => (enter = resolve)).then(work));
  const waiting = session.renew();
  // The other tab has the lock first.
  storage.setItem('tidings.session', JSON.stringify({ token: tokenUntil(4e9), refreshToken: 'second', user: { id: '1', username: 'ada' } }));
  enter();
  assert.equal(await waiting, true);
  assert.deepEqual(requests, []);
});

test('a refresh of the token keeps the refresh token', async (t) => {
  const { session } = expiredSession(t, []);
  await session.refreshIfDue(async () => ({ refreshToken: { token: tokenUntil(4e9), user: { id: '1', username: 'ada' } } }));
  assert.deepEqual([session.isExpired, session.current.refreshToken], [false, 'first']);
});
