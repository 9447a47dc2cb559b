// The state machine of the connection and the model of its indicator.

import assert from 'node:assert/strict';
import test from 'node:test';
import { connectionIndicator, initialConnectivity, nextConnectivity } from '../app/data/connection.js';

const after = (...events) => events.reduce((state, event) => nextConnectivity(state, typeof event === 'string' ? { type: event } : event), initialConnectivity);
const shown = (state, waiting = 0, now = 0) => {
  const { tone, name, seconds } = connectionIndicator(state, waiting, now);
  return `${tone} ${name}${seconds ? ` ${seconds}` : ''}`;
};

test('the indicator shows each phase from the start to live', () => {
  assert.equal(shown(after()), 'busy connecting');
  assert.equal(shown(after('connecting', 'connected')), 'busy catching-up');
  assert.equal(shown(after('connecting', 'connected', 'live')), 'good live');
});

test('a lost connection shows a countdown, and "reconnecting" until it is live again', () => {
  const lost = after('live', { type: 'lost', until: 3_000 });
  assert.equal(shown(lost, 0, 0), 'busy reconnecting 3');
  assert.equal(shown(lost, 0, 2_100), 'busy reconnecting 1');
  assert.equal(shown(lost, 0, 9_000), 'busy reconnecting');
  assert.equal(shown(nextConnectivity(lost, { type: 'connecting' })), 'busy reconnecting');
  assert.equal(shown(after('live', { type: 'lost', until: 3_000 }, 'connecting', 'connected', 'live')), 'good live');
});

test('offline is shown when the browser reports it, until the connection is live', () => {
  assert.equal(shown(after('live', 'offline')), 'bad offline');
  assert.equal(shown(after('live', 'offline', { type: 'lost', until: 3_000 })), 'bad offline');
  assert.equal(shown(after('offline', 'online')), 'busy connecting');
  assert.equal(shown(after('offline', 'live')), 'good live');
});

test('unsent entries are counted in every state', () => {
  assert.equal(connectionIndicator(after('live', 'offline'), 2, 0).waiting, 2);
  assert.equal(shown(after('live'), 2), 'busy live');
});
