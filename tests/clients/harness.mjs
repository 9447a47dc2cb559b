// The scenario that every client library must pass; fixture.mjs acts for the other users.
// A recipe script calls `runScenario({ open })`. `open` returns an adapter of the library:
//   query(document, variables), mutate(document, variables) → data
//   subscribe(document, variables, { next(event), error(code), complete() }) → stop()
//   live(channelId, show(messages), onError(error)) → stop(), optional: the recipe that shows a list and its updates
//   threads(channelId) → [[content of a message, contents of its comments]], optional
//   close()
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { ADDED, CREATE, CREATE_CHANNEL, EVENTS, ME, START } from './documents.mjs';
import { ListComponent } from './list-component.mjs';
import { Fixture, within } from './fixture.mjs';

const PATHS = ['/graphql', '/subscriptions'];
/** Number of concurrent requests with a rejected token in the test of renewals. */
const CONCURRENT_REQUESTS = 14;
const GAPS = ['cut', 'restart', 'storm', 'revoke', 'dead', 'expire'];

/**
 * Runs the scenario over each path, prints which parts were proven, and ends the process unless `hasMore` is true: then
 * the script runs the scenario again. `http: false` is for libraries that send queries over the socket, `sockets:
 * false` for libraries that use no socket. `gaps` are the interruptions of the connection. `tokenGaps` are those after
 * which the library must call the token function. `label` is a prefix of the output.
 */
export async function runScenario({ open, paths = PATHS, gaps = GAPS, http = true, sockets = true, tokenGaps = gaps, label = '', hasMore = false }) {
  const [origin, controlUrl] = process.argv.slice(2);
  assert(controlUrl, 'usage: node SCRIPT HTTP_ORIGIN CONTROL_URL (run.mjs starts this script)');
  const proven = new Set(['query', 'mutation']);
  for (const path of paths) {
    const fixture = new Fixture(controlUrl);
    await fixture.enter();
    const client = await open({
      http: `${origin}/graphql`,
      socket: `${origin.replace('http', 'ws')}${path}`,
      token: (refused) => fixture.clientToken(refused),
      socketToken: (refused) => fixture.socketToken(refused),
    });
    const { me } = await client.query(ME);
    assert.deepEqual([me.id, me.username], [fixture.user.id, fixture.user.username]);
    const { createChannel } = await client.mutate(CREATE_CHANNEL, { input: { name: `room-${randomUUID()}` } });
    fixture.channelId = createChannel.id;
    await changeAndVerify(fixture, client);
    for (const what of await testSubscriptions(fixture, client, { gaps, sockets, tokenGaps })) proven.add(what);
    if (client.live) for (const what of await testLists(fixture, client)) proven.add(what);
    if (client.threads) proven.add(await testIdentities(fixture, client));
    if (http && gaps.includes('revoke')) proven.add(await testRenewals(fixture, client));
    await client.close();
    proven.add(await testAnonymous(fixture, open, { http: `${origin}/graphql`, socket: `${origin.replace('http', 'ws')}${path}` }));
  }
  console.log(`proven: ${label}${[...proven, `over ${paths.join(' and ')}`].join(', ')}`);
  if (!hasMore) process.exit(0); // libraries leave timers and sockets open
}

/** Queries, subscribes after the cursor of the query, and runs all interruptions. */
async function testSubscriptions(fixture, client, { gaps, sockets, tokenGaps }) {
  const proven = ['subscription'];
  const { messages } = await client.query(START, { channelId: fixture.channelId });
  assert.deepEqual(messages.nodes.map(({ id, content }) => [id, content]), [...fixture.messages].reverse());
  fixture.expectChanges();
  fixture.resetExpected();
  fixture.startSubscriptions(client, messages.logCursor);

  await fixture.waitForCheckpoint(0);
  for (let round = 0; round < 3; round += 1) await changeAndVerify(fixture, client);
  for (const gap of gaps) {
    if (gap === 'revoke' && !(await fixture.hasMutation('logoutEverywhere'))) continue;
    const { tokenRequests, checkpoints } = fixture;
    if (gap === 'storm') await storm(fixture);
    else if (gap === 'expire') await expire(fixture);
    else await interrupt(fixture, gap, sockets);
    await fixture.verifyEvents(gap);
    await fixture.waitForCheckpoint(checkpoints);
    await changeAndVerify(fixture, client);
    assert(fixture.tokenRequests > tokenRequests || !tokenGaps.includes(gap), `${gap}: the library did not call the token function again`);
    proven.push(gap);
  }
  await testRejections(fixture, client);
  await changeAndVerify(fixture, client); // after these events no duplicate of an earlier one can arrive
  fixture.stop();
  return proven;
}

/**
 * Creates a message through the library. Another user edits it, and creates and deletes a second message. Each event
 * must arrive before the next change.
 */
async function changeAndVerify(fixture, client) {
  const input = { channelId: fixture.channelId, content: fixture.text(), idempotencyKey: randomUUID() };
  const { createMessage } = await client.mutate(CREATE, { input });
  fixture.recordChange('MessageAdded', createMessage.id, input.content);
  await fixture.verifyEvents('live');
  await fixture.edit(createMessage.id);
  await fixture.verifyEvents('live');
  const old = await fixture.post();
  await fixture.verifyEvents('live');
  await fixture.remove(old);
  await fixture.verifyEvents('live');
}

/** Interrupts the connection, lets another user write, edit and delete, and then accepts connections again. */
async function interrupt(fixture, gap, sockets) {
  const known = await fixture.post();
  const doomed = await fixture.post();
  await fixture.verifyEvents('live');
  await fixture.control('/reject');
  if (gap === 'revoke') await revoke(fixture, sockets);
  // The library reconnects with the revoked token.
  else if (gap === 'dead') await fixture.control('/cut').then(() => fixture.signOutEverywhere());
  else await fixture.control(`/${gap}`);
  const edited = await fixture.post();
  const gone = await fixture.post();
  await fixture.edit(known);
  await fixture.edit(edited);
  await fixture.edit(edited); // a second edit: the replay has two events, both with the current text
  await fixture.edit(gone);
  await fixture.remove(gone); // created and deleted during the gap: the replay has only its deletion
  await fixture.remove(doomed);
  await fixture.post();
  // Wait for one failed attempt of the library to connect: it must try again after it.
  await fixture.control('/wait-rejected');
  if (gap === 'cut' && sockets) await fixture.control('/cut-handshake');
  await fixture.control('/accept');
}

/**
 * Ends the session, so that the server closes its sockets and streams. Without sockets the HTTP connection stays open
 * and the client could use it again, so it is cut.
 */
async function revoke(fixture, sockets) {
  const { tokenRequests } = fixture;
  await fixture.signOutEverywhere();
  if (sockets) return;
  await fixture.until(() => fixture.tokenRequests > tokenRequests, 'the end of the streams');
  await fixture.control('/cut');
}

/** Kills the server, then cuts the connection three times while the client catches up. */
async function storm(fixture) {
  await fixture.control('/restart');
  for (let round = 0; round < 3; round += 1) {
    const receivedCount = fixture.receivedCount;
    for (let count = 0; count < 20; count += 1) await fixture.post();
    await fixture.waitForEvents(receivedCount);
    await fixture.control('/cut');
    for (let count = 0; count < 10; count += 1) await fixture.post();
  }
}

/** Makes the client reconnect with a token that expires while others write: it must reconnect again with a new one. */
async function expire(fixture) {
  const { tokenRequests } = fixture;
  await fixture.useShortLivedToken();
  await fixture.control('/cut');
  await fixture.writeUntilTokenRequests(tokenRequests + 2);
}

/**
 * Sends concurrent requests with a revoked token: the library must get one new token for all and repeat the requests.
 */
async function testRenewals(fixture, client) {
  await fixture.signOutEverywhere();
  fixture.useRevokedToken();
  const { renewals, tokenRequests } = fixture;
  // Mutations, because the library could answer queries from its cache.
  const names = Array.from({ length: CONCURRENT_REQUESTS }, () => `room-${randomUUID()}`);
  const made = await Promise.all(names.map((name) => client.mutate(CREATE_CHANNEL, { input: { name } })));
  assert.deepEqual(made.map(({ createChannel }) => createChannel.name), names);
  // A socket that was still closing may have caused one more renewal.
  const [shared, late] = [fixture.renewals - renewals, fixture.tokenRequests - tokenRequests];
  assert(shared === 1 || (late < CONCURRENT_REQUESTS && shared <= 1 + late), `${CONCURRENT_REQUESTS} rejected requests caused ${shared} renewals`);
  return `one renewal for ${CONCURRENT_REQUESTS} requests`;
}

/**
 * Lists in the library's cache, with their positions: no message is missing after a component was closed and reopened.
 */
async function testLists(fixture, client) {
  const channels = [await fixture.channel(), await fixture.channel()];
  const [a, b] = channels.map((channelId) => new ListComponent(fixture, client, channelId));
  // Two channels one after the other, with an event while the first one is closed.
  await a.post();
  await a.open();
  a.close();
  await a.post();
  await b.open();
  b.close();
  await a.open();
  await a.post();
  await a.shown('two channels in turn');
  // Both channels at once, and a second component that starts with the list in the cache.
  await b.open();
  await b.post();
  await b.shown('two channels at once');
  const second = new ListComponent(fixture, client, channels[0], a.expected);
  await second.open();
  await a.post();
  await Promise.all([a, second].map((list) => list.shown('two components with one list')));
  for (const list of [a, b, second]) list.close();
  // The server refuses the cursor in the client's cache with CURSOR_EXPIRED. The client must then query the list exactly once.
  const c = new ListComponent(fixture, client, await fixture.channel());
  await c.post();
  const read = await fixture.withExpiredCursor(() => c.open());
  await c.post();
  await c.shown('an expired cursor');
  assert.equal(read.count, 2, 'the list is read again exactly once');
  c.close();
  return ['lists in a cache', 'CURSOR_EXPIRED'];
}

async function testIdentities(fixture, client) {
  const channelId = await fixture.channel();
  const expected = await fixture.threads(channelId);
  assert.deepEqual(await client.threads(channelId), expected);
  return 'identities';
}

/** Without a token a public channel can be read and subscribed to. */
async function testAnonymous(fixture, open, { http, socket }) {
  const nobody = async () => null;
  const client = await open({ http, socket, token: nobody, socketToken: nobody });
  const channelId = await fixture.channel();
  const { messages } = await client.query(START, { channelId });
  assert.deepEqual(messages.nodes, []);
  const text = fixture.text();
  await within('an event for an anonymous reader', (resolve, reject) => {
    const stop = client.subscribe(ADDED, { channelId, after: messages.logCursor }, {
      next: ({ content }) => (content === text ? resolve() : reject(new Error(content))),
      error: (code) => reject(new Error(`ended with the error ${code}`)),
      complete: () => {},
    });
    fixture.write(channelId, text).catch(reject);
    return () => stop();
  });
  await client.close();
  return 'anonymous';
}

/** A rejected subscription ends with an error code, and the others on the same socket continue. */
async function testRejections(fixture, client) {
  const { cursor: foreign } = await fixture.control('/foreign-cursor');
  assert.equal(await rejectionCode(client, EVENTS, { channelId: fixture.channelId, after: foreign }), 'CURSOR_EXPIRED');
  assert.equal(await rejectionCode(client, ADDED, { channelId: '999999999' }), 'NOT_FOUND');
}

function rejectionCode(client, document, variables) {
  return within(`an error for ${JSON.stringify(variables)}`, (resolve, reject) => {
    const stop = client.subscribe(document, variables, {
      next: (event) => reject(new Error(`an event instead of an error: ${JSON.stringify(event)}`)),
      error: (code) => resolve(code),
      complete: () => {},
    });
    return () => stop();
  });
}
