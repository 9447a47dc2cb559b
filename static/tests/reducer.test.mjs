// The reducer: answers of queries and events.

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

test('ids of any length are compared as numbers', () => {
  assert.deepEqual(['10', '9', '100000000000000000001', '100000000000000000000'].sort(reducer.compareIds),
    ['9', '10', '100000000000000000000', '100000000000000000001']);
});

test('a page is stored oldest first, and an older page is put before it', () => {
  assert.deepEqual(idsIn(opened), ['7', '8', '9']);
  const more = reducer.mergeMessages(opened, '1', page([6, 5], false), false);
  assert.deepEqual(idsIn(more), ['5', '6', '7', '8', '9']);
  assert.equal(more.timelines.get('1').hasMore, false);
});

test('events insert messages once and in order of their ids', () => {
  const state = applyEvents(opened, [added(11), added(10), added(11)]);
  assert.deepEqual(idsIn(state), ['7', '8', '9', '10', '11']);
});

test('applying the same events again changes nothing', () => {
  const events = [
    added(10), added(11), { __typename: 'MessageUpdated', message: message(8, { content: 'new' }) },
    { __typename: 'MessageDeleted', messageId: '7', channelId: '1' }, { __typename: 'ChannelAdded', channel: { id: '3', name: 'c' } },
  ];
  const once = applyEvents(opened, events);
  assert.deepEqual(applyEvents(once, events), once);
});

test('events that arrived before an older page change the page', () => {
  // The page has the old version of 10. The events arrived before it: they change 10 and delete 9.
  const missed = [{ __typename: 'MessageUpdated', message: message(10, { content: 'new' }) }, { __typename: 'MessageDeleted', messageId: '9', channelId: '1' }];
  const state = applyEvents(reducer.mergeMessages(start, '1', page([10, 9], false), true), missed);
  assert.deepEqual(idsIn(state), ['10']);
  assert.equal(state.messages.get('10').content, 'new');
});

test('a message that is older than the timeline is not inserted in it', () => {
  const state = applyEvents(opened, [{ __typename: 'MessageUpdated', message: message(3, { ticket: { status: 'OPEN' } }) }]);
  assert.deepEqual(idsIn(state), ['7', '8', '9']);
  assert.ok(state.tickets.has('3'));
  assert.equal(applyEvents(opened, [{ __typename: 'MessageUpdated', message: message(3) }]).messages.has('3'), false);
});

test('unchanged parts of the state are the same objects', () => {
  const state = applyEvents(opened, [added(10)]);
  assert.equal(state.channels, opened.channels);
  assert.equal(state.messages.get('9'), opened.messages.get('9'));
  assert.notEqual(state.messages, opened.messages);
  assert.deepEqual(idsIn(opened), ['7', '8', '9']);
});

test('messages of others are unread until the user views the channel; own messages are never unread', () => {
  const state = applyEvents(start, [added(10), added(10), added(11, { authorId: '1' }), added(12, { channelId: '2' })]);
  assert.equal(reducer.unreadIn(state, '1'), 1);
  assert.equal(reducer.unreadIn(state, '2'), 4);
  const seen = reducer.viewChannel(state, '1');
  assert.equal(reducer.unreadIn(seen, '1'), 0);
  assert.equal(reducer.unreadIn(applyEvents(seen, [added(13)]), '1'), 0);
  assert.equal(reducer.unreadIn(applyEvents(reducer.viewChannel(seen, null), [added(13)]), '1'), 1);
  assert.equal(reducer.unreadIn(applyEvents(state, [{ __typename: 'MessageDeleted', messageId: '10', channelId: '1' }]), '1'), 0);
});

test('a timeline that is not on the screen is dropped when it grows too long', () => {
  const many = Array.from({ length: 1_000 }, (_, index) => added(index + 10));
  const unseen = applyEvents(opened, many);
  assert.equal(unseen.timelines.has('1'), false);
  assert.ok(unseen.messages.size < 500);
  assert.equal(reducer.unreadIn(unseen, '1'), 1_000);
  assert.equal(reducer.unreadIn(applyEvents(unseen, many.slice(-3)), '1'), 1_000);
  assert.equal(idsIn(applyEvents(reducer.openChannel(opened, '1'), many)).length, 1_003);
});

test('read markers of the server are merged, except for the viewed channel', () => {
  const state = reducer.viewChannel(applyEvents(start, [added(10), added(11, { channelId: '2' })]), '1');
  const glanced = reducer.mergeReadMarkers(state, [{ id: '1', unreadCount: 5 }, { id: '2', unreadCount: 1 }], [{ id: '7', readAt: 'now' }]);
  assert.deepEqual(['1', '2'].map((id) => reducer.unreadIn(glanced, id)), [0, 1]);
  assert.equal(glanced.notifications.get('7').readAt, 'now');
});

test('the server counts comments, and events update a loaded thread', () => {
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

test('the deletion of a channel removes its content', () => {
  const state = applyEvents(opened, [added(12, { ticket: { status: 'OPEN' } }), { __typename: 'ChannelDeleted', channelId: '1' }]);
  assert.deepEqual([...state.channels.keys()], ['2']);
  assert.equal(state.messages.size + state.tickets.size + state.timelines.size, 0);
});

test('after a change of permissions, channels that are no longer readable are removed and the others are loaded again', () => {
  const changed = applyEvents(opened, [{ __typename: 'AccessChanged', changedChannelId: '1' }]);
  assert.deepEqual(changed.requery, ['1']);
  assert.equal(applyEvents(changed, [{ __typename: 'AccessChanged', changedChannelId: null }]).requery, 'everything');
  const without = reducer.mergeBase(changed, { ...base, channels: base.channels.slice(1) });
  assert.equal(without.timelines.size + without.messages.size, 0);
  const again = reducer.invalidateChannels(reducer.mergeBase(changed, base), ['1']);
  assert.equal(again.timelines.has('1'), false);
  assert.equal(again.epoch, opened.epoch + 1);
});

test('unknown kinds of events are skipped', () => {
  assert.deepEqual(applyEvents(opened, [{ __typename: 'SomethingNew', cursor: 'x' }]), opened);
});

test('a reloaded timeline drops older messages, but no tickets', () => {
  const long = reducer.mergeMessages(applyEvents(opened, [added(6, { ticket: { status: 'OPEN' } })]), '1', page([20, 19], true), true);
  assert.deepEqual(idsIn(long), ['19', '20']);
  assert.deepEqual([...long.messages.keys()].sort(reducer.compareIds), ['6', '19', '20']);
});

test('an unsent message is shown until its event has arrived', () => {
  const entry = (content, state) => ({ key: content, kind: 'message', state, since: '9', input: { channelId: '1', content } });
  const entries = [entry('one', 'sending'), entry('two', 'waiting'), { ...entry('x', 'waiting'), input: { channelId: '2', content: 'x' } }];
  const own = (id, content) => message(id, { authorId: '1', content });
  const shown = (written) => pendingIn(entries, 'message', '1', written, '1').map(({ key }) => key);
  assert.deepEqual(shown([]), ['one', 'two']);
  assert.deepEqual(shown([own(10, 'one')]), ['two']);
  assert.deepEqual(shown([own(8, 'one')]), ['one', 'two'], 'the same text in an older message');
});

test('a ticket shows its unsent changes in order, and no failed ones', () => {
  const change = (ticket, state) => ({ kind: 'ticket', state, input: { id: '5', ticket } });
  const five = message(5, { ticket: { status: 'OPEN', priority: 'LOW' } });
  const entries = [change({ status: 'CLOSED' }, 'sending'), change({ priority: 'HIGH' }, 'waiting'), change({ status: 'OPEN' }, 'failed')];
  assert.deepEqual(ticketNow(entries, five), { status: 'CLOSED', priority: 'HIGH' });
});

test('the names of a user are replaced everywhere, and other objects stay the same', () => {
  const old = { id: '2', username: 'ben', displayName: 'Ben' };
  const other = { id: '3', username: 'cleo', displayName: 'Cleo' };
  let state = applyEvents(opened, [
    added(10, { author: old }), added(11, { author: other, ticket: { status: 'OPEN', assigneeId: '2', assignee: old } }),
    added(12, { author: other }), { __typename: 'ChannelAdded', channel: { id: '4', name: 'd', owner: { id: '2', displayName: 'Ben' } } },
    { __typename: 'UserUpdated', userId: '2' },
  ]);
  assert.deepEqual([...state.renamed], ['2']);
  const untouched = state.messages.get('12');
  state = reducer.mergeUser(state, { ...old, displayName: 'Benjamin' });
  assert.equal(state.messages.get('10').author.displayName, 'Benjamin');
  assert.equal(state.messages.get('11').ticket.assignee.displayName, 'Benjamin');
  assert.equal(state.messages.get('11').author.displayName, 'Cleo');
  assert.equal(state.channels.get('4').owner.displayName, 'Benjamin');
  assert.equal(state.messages.get('12'), untouched);
  assert.equal(reducer.mergeUser(state, { id: '1', displayName: 'Ada' }).me.displayName, 'Ada');
});
