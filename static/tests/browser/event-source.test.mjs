// The EventSource that Chromium has built in, on a page of the server: it comes back by itself, and goes on where it was.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openStage } from './stage.mjs';

const ADDED = 'subscription ($after: Cursor) { messageAdded(after: $after) { content cursor } }';

test('a plain EventSource loses and repeats nothing when the server is killed', { timeout: 120_000 }, async (t) => {
  const stage = await openStage();
  t.after(() => stage.close());
  const ada = await stage.enter('ada', { signIn: false });
  await ada.register();
  // Strangers hear nothing of what is private: what comes, comes by the token in the address.
  const { createChannel } = await ada.ask('mutation { createChannel(input: { name: "own", visibility: PRIVATE }) { id } }');
  const post = (content) => ada.post({ channelId: createChannel.id, content });
  const { cursor } = await ada.ask('{ cursor }');
  const { page, line, context } = ada;
  await context.unrouteAll(); // Chromium shows what it really sends where nobody else holds its requests
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
  await post('four'); // behind it comes nothing that was still to come twice
  const events = await heard(page, 4);

  assert.deepEqual(events.map(({ content }) => content), ['one', 'two', 'three', 'four']);
  for (const { id, cursor } of events) assert.equal(id, cursor);
  const ids = await Promise.all(tried.map((request) => request.headerValue('last-event-id')));
  assert.deepEqual([ids.at(0), ids.at(-1)], [null, events[0].id], 'what the browser said at first, and when it was let in again');
});

// On the page: keeps what it hears. Nothing here comes back or resumes; the browser does.
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
