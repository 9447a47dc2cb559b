// The parser of routes. An invalid route is the page "unknown", and never an exception.

import assert from 'node:assert/strict';
import test from 'node:test';
import { parse, to } from '../app/ui/route.js';

test('every route that the client creates is valid', () => {
  assert.deepEqual(parse(''), { page: 'home', id: null, view: null });
  const token = 'A-random_token-of-a-link';
  assert.deepEqual(parse(`#/reset/${token}`), { page: 'reset', id: token, view: null });
  assert.deepEqual(parse(`#/invite/${token}`), { page: 'invite', id: token, view: null });
  assert.equal(parse('#/reset/').page, 'unknown');
  assert.deepEqual(parse(to.home()), { page: 'home', id: null, view: null });
  assert.deepEqual(parse(to.channel('3')), { page: 'channel', id: '3', view: null });
  assert.deepEqual(parse(to.channelBoard('3')), { page: 'channel', id: '3', view: 'tickets' });
  assert.deepEqual(parse(to.message('9223372036854775807')), { page: 'message', id: '9223372036854775807', view: null });
  for (const page of ['tickets', 'notifications', 'dashboard']) assert.deepEqual(parse(`#/${page}`), { page, id: null, view: null });
  assert.equal(parse('#/channel/3/').page, 'channel');
});

for (const hash of ['#/%', '#/channel/%E0%A4%A', '#/channel/100%', '#/message/abc', '#/message/0', '#/message/-1', '#/channel', '#/message/',
  '#/message/99999999999999999999', '#/channel/1/boards', '#/channel/1/tickets/2', '#/nowhere', '#/constructor', '#/__proto__/1', '#/tickets/1', '#/channel/1%2F2']) {
  test(`${hash} is an invalid route`, () => assert.equal(parse(hash).page, 'unknown'));
}
