// What one operation does to a socket stays with that operation: the client of resume.mjs goes on with all subscriptions.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import WebSocket from 'ws';
import { execute, follow } from './graphql-ws-recipe.mjs';
import { graphql, host, register, until } from './plain.mjs';
import { connect } from './resume.mjs';
import { connectLegacy, followLegacy } from './resume-legacy.mjs';

const CREATE = 'mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id content } }';
const ADDED = 'subscription ($channelId: ID, $after: Cursor) { messageAdded(channelId: $channelId, after: $after) { content cursor } }';

const { token } = await register();
const { createChannel } = await graphql(token, 'mutation ($input: CreateChannelInput!) { createChannel(input: $input) { id } }', { input: { name: randomUUID() } });
const channelId = createChannel.id;
const { messages } = await graphql(token, 'query ($channelId: ID!) { messages(channelId: $channelId) { logCursor } }', { channelId });

/** The real socket; what is sent can be spoilt on its way. */
let spoil = (frame) => frame;
const closes = [];
class Spoilt extends WebSocket {
  constructor(...parameters) {
    super(...parameters);
    this.on('close', (code) => closes.push(code));
  }

  send(frame, ...more) {
    super.send(spoil(String(frame)), ...more);
  }
}

const client = connect({ url: `ws://${host}/graphql`, token: async () => token, webSocketImpl: Spoilt });
const heard = [];
const ended = [];
follow(client, ADDED, { channelId, after: messages.logCursor }, ({ content }) => heard.push(content), (end) => ended.push(end));
const create = (content) => execute(client, CREATE, { input: { channelId, content, idempotencyKey: randomUUID() } });
const due = [];
const post = async (content) => {
  due.push(content);
  await graphql(token, CREATE, { input: { channelId, content } });
  await until(content.slice(0, 40), () => heard.length === due.length);
};

await post('first');
// Half an emoji: replaced before it is sent.
due.push('half \ufffd an emoji');
assert.equal((await create('half \ud83d an emoji')).data.createMessage.content, 'half \ufffd an emoji');
assert.deepEqual(closes, []);
// Too large for a frame: this mutation fails.
await assert.rejects(create('x'.repeat(300_000)), { code: 1009 });
await post('after 1009');
// Nothing that the server can read.
spoil = (frame) => frame.replace('"content":"spoil me"', '"content":"spoil me');
await assert.rejects(create('spoil me'), { code: 4400 });
await post('after 4400');
// Text that is no UTF-8.
spoil = (frame) => (frame.includes('no text') ? Buffer.from([0x22, 0xff, 0x22]) : frame);
await assert.rejects(create('no text'), ({ code }) => [1007, 4400].includes(code));
spoil = (frame) => frame;
await post('after no text');
// An error with a code belongs to the mutation alone, and closes nothing.
const before = closes.length;
const { errors } = await create('').catch((errors) => ({ errors }));
assert.equal(errors[0].extensions.code, 'BAD_USER_INPUT');
await post('after a refusal');
assert.equal(closes.length, before);
assert.deepEqual(heard, due);
assert.deepEqual(ended, []);

await client.dispose(); // which completes what it followed

// The legacy sub-protocol, whose library sends everything again after every close.
const legacy = connectLegacy({ url: `ws://${host}/graphql`, token: () => token, webSocketImpl: WebSocket });
const { messages: now } = await graphql(token, 'query ($channelId: ID!) { messages(channelId: $channelId) { logCursor } }', { channelId });
heard.length = due.length = 0;
const endedLegacy = [];
followLegacy(legacy, ADDED, { channelId, after: now.logCursor }, ({ content }) => heard.push(content), (end) => endedLegacy.push(end));
await post('over the legacy sub-protocol');
const lost = await new Promise((resolve) => {
  const variables = { input: { channelId, content: 'x'.repeat(300_000) } };
  legacy.request({ query: CREATE, variables }).subscribe({ next: resolve, error: resolve, complete: resolve });
});
assert.match(lost.message, /lost each time/);
await post('after it');
assert.deepEqual(heard, due);
assert.deepEqual(endedLegacy, []);
console.log(`proven: half an emoji, ${[...new Set(closes)].join(', ')} and a refusal end one mutation each, and no subscription`);
process.exit(0);
