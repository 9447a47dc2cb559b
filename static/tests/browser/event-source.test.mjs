// The EventSource of Chromium reconnects by itself and resumes with `Last-Event-ID`.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openStage } from './stage.mjs';

const ADDED = 'subscription ($after: Cursor) { messageAdded(after: $after) { content cursor } }';

test('a plain EventSource loses and repeats nothing when the server is killed', { timeout: 120_000 }, async (t) => {
  const stage = await openStage();
  t.after(() => stage.close());
  const ada = await stage.enter('ada', { signIn: false });
  await ada.register();
  // The channel is private, so the events prove that the server accepted the token in the URL.
  const { createChannel } = await ada.ask('mutation { createChannel(input: { name: "own", visibility: PRIVATE }) { id } }');
  const post = (content) => ada.post({ channelId: createChannel.id, content });
  const { cursor } = await ada.ask('{ cursor }');
  const { page, line, context } = ada;
  await context.unrouteAll(); // without interception Chromium reports the headers that it really sends
  const tried = [];
  page.on('request', (request) => request.resourceType() === 'eventsource' && tried.push(request));
  await ada.goto('');
  await page.evaluate(follow, { query: ADDED, variables: JSON.stringify({ after: cursor }), token: ada.token });

  await post('one');
  await heard(page, 1);
  line.shut();
  await stage.server.kill();
  await line.refused();
  await stage.server.start();
  for (const content of ['two', 'three']) await post(content);
  line.open();
  await heard(page, 3);
  await post('four'); // after this event no duplicate of an earlier one can arrive
  const events = await heard(page, 4);

  assert.deepEqual(events.map(({ content }) => content), ['one', 'two', 'three', 'four']);
  for (const { id, cursor } of events) assert.equal(id, cursor);
  const ids = await Promise.all(tried.map((request) => request.headerValue('last-event-id')));
  assert.deepEqual([ids.at(0), ids.at(-1)], [null, events[0].id], 'Last-Event-ID of the first and of the last request');
});

// Runs in the page and records the events. It has no code that reconnects or resumes: the browser does that.
function follow(parameters) {
  window.heard = [];
  const source = new EventSource(`/graphql?${new URLSearchParams(parameters)}`);
  source.addEventListener('next', ({ data, lastEventId }) => {
    window.heard.push({ id: lastEventId, ...JSON.parse(data).data.messageAdded });
  });
}

async function heard(page, count) {
  await page.waitForFunction((count) => window.heard.length >= count, count);
  return page.evaluate(() => window.heard);
}
