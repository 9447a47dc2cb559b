// The applyEvents: events over what queries answered.

import assert from 'node:assert/strict';
import test from 'node:test';
import * as reducer from '../app/data/reducer.js';
import { pendingIn, ticketNow } from '../app/data/pending.js';

const { emptyState, applyEvents } = reducer;

const message = (id, more) => ({ id: String(id), channelId: '1', authorId: '2', content: `text ${id}`, commentCount: 0, ticket: null, ...more });
const comment = (id, more) => ({ id: String(id), messageId: '5', authorId: '2', content: `text ${id}`, message: { id: '5', commentCount: 1 }, ...more });
const added = (id, more) => ({ __typename: 'MessageAdded', message: message(id, more) });
const page = (ids, hasNextPage) => ({ edges: ids.map((id) => ({ cursor: `at ${id}`, node: message(id) })), pageInfo: { hasNextPage } });
const base = { me: { id: '1' }, channels: [{ id: '1', name: 'a' }, { id: '2', name: 'b', unreadCount: 3 }], templates: [], notifications: [] };

const start = reducer.mergeBase(emptyState, base);
const opened = reducer.mergeMessages(start, '1', page([9, 8, 7], true), true);
const idsIn = (state, channel = '1') => state.timelines.get(channel).ids;

test('ids are compared as numbers, however long', () => {
  assert.deepEqual(['10', '9', '100000000000000000001', '100000000000000000000'].sort(reducer.compareIds),
    ['9', '10', '100000000000000000000', '100000000000000000001']);
});

test('a page is shown oldest first, and the one before it goes before it', () => {
  assert.deepEqual(idsIn(opened), ['7', '8', '9']);
  const more = reducer.mergeMessages(opened, '1', page([6, 5], false), false);
  assert.deepEqual(idsIn(more), ['5', '6', '7', '8', '9']);
  assert.equal(more.timelines.get('1').hasMore, false);
});

test('events put messages where they belong, once', () => {
  const state = applyEvents(opened, [added(11), added(10), added(11)]);
  assert.deepEqual(idsIn(state), ['7', '8', '9', '10', '11']);
});

test('to apply the same events again changes nothing', () => {
  const events = [
    added(10), added(11), { __typename: 'MessageUpdated', message: message(8, { content: 'new' }) },
    { __typename: 'MessageDeleted', messageId: '7', channelId: '1' }, { __typename: 'ChannelAdded', channel: { id: '3', name: 'c' } },
  ];
  const once = applyEvents(opened, events);
  assert.deepEqual(applyEvents(once, events), once);
});

test('events that came while a page was on its way are applied over it', () => {
  // The page knows 10 as it was; the events, which overtook it, say that it was changed and that 9 is gone.
  const missed = [{ __typename: 'MessageUpdated', message: message(10, { content: 'new' }) }, { __typename: 'MessageDeleted', messageId: '9', channelId: '1' }];
  const state = applyEvents(reducer.mergeMessages(start, '1', page([10, 9], false), true), missed);
  assert.deepEqual(idsIn(state), ['10']);
  assert.equal(state.messages.get('10').content, 'new');
});

test('a message older than what is shown leaves no gap in the list', () => {
  const state = applyEvents(opened, [{ __typename: 'MessageUpdated', message: message(3, { ticket: { status: 'OPEN' } }) }]);
  assert.deepEqual(idsIn(state), ['7', '8', '9']);
  assert.ok(state.tickets.has('3'));
  assert.equal(applyEvents(opened, [{ __typename: 'MessageUpdated', message: message(3) }]).messages.has('3'), false);
});

test('what did not change is the same object', () => {
  const state = applyEvents(opened, [added(10)]);
  assert.equal(state.channels, opened.channels);
  assert.equal(state.messages.get('9'), opened.messages.get('9'));
  assert.notEqual(state.messages, opened.messages);
  assert.deepEqual(idsIn(opened), ['7', '8', '9']);
});

test('others’ messages are unread until somebody looks, one’s own never', () => {
  const state = applyEvents(start, [added(10), added(10), added(11, { authorId: '1' }), added(12, { channelId: '2' })]);
  assert.equal(reducer.unreadIn(state, '1'), 1);
  assert.equal(reducer.unreadIn(state, '2'), 4);
  const seen = reducer.viewChannel(state, '1');
  assert.equal(reducer.unreadIn(seen, '1'), 0);
  assert.equal(reducer.unreadIn(applyEvents(seen, [added(13)]), '1'), 0);
  assert.equal(reducer.unreadIn(applyEvents(reducer.viewChannel(seen, null), [added(13)]), '1'), 1);
  assert.equal(reducer.unreadIn(applyEvents(state, [{ __typename: 'MessageDeleted', messageId: '10', channelId: '1' }]), '1'), 0);
});

test('what nobody looks at does not grow without end', () => {
  const many = Array.from({ length: 1_000 }, (_, index) => added(index + 10));
  const unseen = applyEvents(opened, many);
  assert.equal(unseen.timelines.has('1'), false);
  assert.ok(unseen.messages.size < 500);
  assert.equal(reducer.unreadIn(unseen, '1'), 1_000);
  assert.equal(reducer.unreadIn(applyEvents(unseen, many.slice(-3)), '1'), 1_000);
  assert.equal(idsIn(applyEvents(reducer.openChannel(opened, '1'), many)).length, 1_003);
});

test('what was read in another window is read here, except where somebody looks', () => {
  const state = reducer.viewChannel(applyEvents(start, [added(10), added(11, { channelId: '2' })]), '1');
  const glanced = reducer.mergeReadMarkers(state, [{ id: '1', unreadCount: 5 }, { id: '2', unreadCount: 1 }], [{ id: '7', readAt: 'now' }]);
  assert.deepEqual(['1', '2'].map((id) => reducer.unreadIn(glanced, id)), [0, 1]);
  assert.equal(glanced.notifications.get('7').readAt, 'now');
});

test('comments are counted by the server, and shown where their message is open', () => {
  const thread = { ...message(5), comments: { edges: [{ cursor: 'x', node: comment(1) }], pageInfo: { hasPreviousPage: false } } };
  const state = reducer.mergeThread(start, thread, true);
  const more = applyEvents(state, [{ __typename: 'CommentAdded', comment: comment(2, { message: { id: '5', commentCount: 2 } }) }]);
  assert.deepEqual(more.threads.get('5').ids, ['1', '2']);
  assert.equal(more.messages.get('5').commentCount, 2);
  const less = applyEvents(more, [{ __typename: 'CommentDeleted', commentId: '1', messageId: '5' }]);
  assert.deepEqual(less.threads.get('5').ids, ['2']);
  assert.deepEqual([...less.recount], ['5']);
  assert.equal(reducer.mergeCounts(less, [{ id: '5', commentCount: 1 }]).messages.get('5').commentCount, 1);
});

test('a deleted channel takes everything in it along', () => {
  const state = applyEvents(opened, [added(12, { ticket: { status: 'OPEN' } }), { __typename: 'ChannelDeleted', channelId: '1' }]);
  assert.deepEqual([...state.channels.keys()], ['2']);
  assert.equal(state.messages.size + state.tickets.size + state.timelines.size, 0);
});

test('when access has changed, what is no longer there goes, and the rest is loaded anew', () => {
  const told = applyEvents(opened, [{ __typename: 'AccessChanged', changedChannelId: '1' }]);
  assert.deepEqual(told.requery, ['1']);
  assert.equal(applyEvents(told, [{ __typename: 'AccessChanged', changedChannelId: null }]).requery, 'everything');
  const without = reducer.mergeBase(told, { ...base, channels: base.channels.slice(1) });
  assert.equal(without.timelines.size + without.messages.size, 0);
  const again = reducer.invalidateChannels(reducer.mergeBase(told, base), ['1']);
  assert.equal(again.timelines.has('1'), false);
  assert.equal(again.epoch, opened.epoch + 1);
});

test('kinds of events that nobody knows yet are passed by', () => {
  assert.deepEqual(applyEvents(opened, [{ __typename: 'SomethingNew', cursor: 'x' }]), opened);
});

test('a timeline that begins anew forgets what lies before it, but not tickets', () => {
  const long = reducer.mergeMessages(applyEvents(opened, [added(6, { ticket: { status: 'OPEN' } })]), '1', page([20, 19], true), true);
  assert.deepEqual(idsIn(long), ['19', '20']);
  assert.deepEqual([...long.messages.keys()].sort(reducer.compareIds), ['6', '19', '20']);
});

test('what waits is shown until it has arrived, by answer or by event', () => {
  const entry = (content, state) => ({ key: content, kind: 'message', state, since: '9', input: { channelId: '1', content } });
  const entries = [entry('one', 'sending'), entry('two', 'waiting'), { ...entry('x', 'waiting'), input: { channelId: '2', content: 'x' } }];
  const own = (id, content) => message(id, { authorId: '1', content });
  const shown = (written) => pendingIn(entries, 'message', '1', written, '1').map(({ key }) => key);
  assert.deepEqual(shown([]), ['one', 'two']);
  assert.deepEqual(shown([own(10, 'one')]), ['two']);
  assert.deepEqual(shown([own(8, 'one')]), ['one', 'two'], 'the same text, written before');
});

test('a ticket shows the changes that wait, one over the other', () => {
  const change = (ticket, state) => ({ kind: 'ticket', state, input: { id: '5', ticket } });
  const five = message(5, { ticket: { status: 'OPEN', priority: 'LOW' } });
  const entries = [change({ status: 'CLOSED' }, 'sending'), change({ priority: 'HIGH' }, 'waiting'), change({ status: 'OPEN' }, 'failed')];
  assert.deepEqual(ticketNow(entries, five), { status: 'CLOSED', priority: 'HIGH' });
});
