// The EventSource of Chromium reconnects by itself and resumes with `Last-Event-ID`.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

const ADDED = 'subscription ($after: Cursor) { messageAdded(after: $after) { content cursor } }';

test('a plain EventSource loses and repeats nothing when the server is killed', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  await ada.register();
  // The channel is private, so the events prove that the server accepted the token in the URL.
  const { createChannel } = await ada.ask('mutation { createChannel(input: { name: "own", visibility: PRIVATE }) { id } }');
  const post = (content) => ada.post({ channelId: createChannel.id, content });
  const { cursor } = await ada.ask('{ cursor }');
  const { page, proxy, context } = ada;
  await context.unrouteAll(); // without interception Chromium reports the headers that it really sends
  const tried = [];
  page.on('request', (request) => request.resourceType() === 'eventsource' && tried.push(request));
  await ada.goto('');
  await page.evaluate(recordEvents, { query: ADDED, variables: JSON.stringify({ after: cursor }), token: ada.token });

  await post('one');
  await received(page, 1);
  proxy.rejectConnections();
  await fixture.server.kill();
  await proxy.waitForRejection();
  await fixture.server.start();
  for (const content of ['two', 'three']) await post(content);
  proxy.acceptConnections();
  await received(page, 3);
  await post('four'); // after this event no duplicate of an earlier one can arrive
  const events = await received(page, 4);

  assert.deepEqual(events.map(({ content }) => content), ['one', 'two', 'three', 'four']);
  for (const { id, cursor } of events) assert.equal(id, cursor);
  const ids = await Promise.all(tried.map((request) => request.headerValue('last-event-id')));
  assert.deepEqual([ids.at(0), ids.at(-1)], [null, events[0].id], 'Last-Event-ID of the first and of the last request');
});

// Runs in the page and records the events. It has no code that reconnects or resumes: the browser does that.
function recordEvents(parameters) {
  window.received = [];
  const source = new EventSource(`/graphql?${new URLSearchParams(parameters)}`);
  source.addEventListener('next', ({ data, lastEventId }) => {
    window.received.push({ id: lastEventId, ...JSON.parse(data).data.messageAdded });
  });
}

async function received(page, count) {
  await page.waitForFunction((count) => window.received.length >= count, count);
  return page.evaluate(() => window.received);
}
