// An operation that makes the server close the socket fails alone: the client of resume.mjs resumes all subscriptions.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import WebSocket from 'ws';
import { execute, follow } from './graphql-ws-recipe.mjs';
import { graphql, host, register, until } from './support.mjs';
import { connect } from './resume.mjs';
import { connectLegacy, followLegacy } from './resume-legacy.mjs';

const CREATE = 'mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id content } }';
const ADDED = 'subscription ($channelId: ID, $after: Cursor) { messageAdded(channelId: $channelId, after: $after) { content cursor } }';

const { token } = await register();
const { createChannel } = await graphql(token, 'mutation ($input: CreateChannelInput!) { createChannel(input: $input) { id } }', { input: { name: randomUUID() } });
const channelId = createChannel.id;
const { messages } = await graphql(token, 'query ($channelId: ID!) { messages(channelId: $channelId) { logCursor } }', { channelId });

/** Changes each frame before it is sent, to inject faults. */
let changeFrame = (frame) => frame;
const closes = [];
class FaultySocket extends WebSocket {
  constructor(...parameters) {
    super(...parameters);
    this.on('close', (code) => closes.push(code));
  }

  send(frame, ...more) {
    super.send(changeFrame(String(frame)), ...more);
  }
}

const client = connect({ url: `ws://${host}/graphql`, token: async () => token, webSocketImpl: FaultySocket });
const received = [];
const ended = [];
follow(client, ADDED, { channelId, after: messages.logCursor }, ({ content }) => received.push(content), (end) => ended.push(end));
const create = (content) => execute(client, CREATE, { input: { channelId, content, idempotencyKey: randomUUID() } });
const expected = [];
const post = async (content) => {
  expected.push(content);
  await graphql(token, CREATE, { input: { channelId, content } });
  await until(content.slice(0, 40), () => received.length === expected.length);
};

await post('first');
// An unpaired surrogate is replaced before the frame is sent.
expected.push('half \ufffd an emoji');
assert.equal((await create('half \ud83d an emoji')).data.createMessage.content, 'half \ufffd an emoji');
assert.deepEqual(closes, []);
// A mutation that is too large for a frame fails.
await assert.rejects(create('x'.repeat(300_000)), { code: 1009 });
await post('after 1009');
// A frame that is not JSON.
changeFrame = (frame) => frame.replace('"content":"corrupt me"', '"content":"corrupt me');
await assert.rejects(create('corrupt me'), { code: 4400 });
await post('after 4400');
// A text frame that is not UTF-8.
changeFrame = (frame) => (frame.includes('no text') ? Buffer.from([0x22, 0xff, 0x22]) : frame);
await assert.rejects(create('no text'), ({ code }) => [1007, 4400].includes(code));
changeFrame = (frame) => frame;
await post('after no text');
// An error with a code fails the mutation only, and the socket stays open.
const before = closes.length;
const { errors } = await create('').catch((errors) => ({ errors }));
assert.equal(errors[0].extensions.code, 'BAD_USER_INPUT');
await post('after a refusal');
assert.equal(closes.length, before);
assert.deepEqual(received, expected);
assert.deepEqual(ended, []);

await client.dispose(); // completes its subscriptions

// The library of the legacy sub-protocol sends all open operations again after every close.
const legacy = connectLegacy({ url: `ws://${host}/graphql`, token: () => token, webSocketImpl: WebSocket });
const { messages: now } = await graphql(token, 'query ($channelId: ID!) { messages(channelId: $channelId) { logCursor } }', { channelId });
received.length = expected.length = 0;
const endedLegacy = [];
followLegacy(legacy, ADDED, { channelId, after: now.logCursor }, ({ content }) => received.push(content), (end) => endedLegacy.push(end));
await post('over the legacy sub-protocol');
const lost = await new Promise((resolve) => {
  const variables = { input: { channelId, content: 'x'.repeat(300_000) } };
  legacy.request({ query: CREATE, variables }).subscribe({ next: resolve, error: resolve, complete: resolve });
});
assert.match(lost.message, /lost each time/);
await post('after it');
assert.deepEqual(received, expected);
assert.deepEqual(endedLegacy, []);
console.log(`proven: half an emoji, ${[...new Set(closes)].join(', ')} and a refusal end one mutation each, and no subscription`);
process.exit(0);
