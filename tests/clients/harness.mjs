// The one scenario that every client library must pass; stage.mjs plays the other users in it.
// A recipe script calls `prove({ open })`; what `open` returns is the library in a few lines:
//   query(document, variables), mutate(document, variables) → data
//   subscribe(document, variables, { next(event), error(code), complete() }) → stop()
//   live(channelId, show(messages), onError(error)) → stop(), optional: the recipe's way to show a list and follow it
//   threads(channelId) → [[content, contents of its comments]], optional
//   close()
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { ADDED, CREATE, CREATE_CHANNEL, EVENTS, ME, START } from './documents.mjs';
import { List } from './list-scene.mjs';
import { Stage, within } from './stage.mjs';

const PATHS = ['/graphql', '/subscriptions'];
/** So many requests are refused at the same moment. */
const AT_ONCE = 14;
const GAPS = ['cut', 'restart', 'storm', 'revoke', 'dead', 'expire'];

/**
 * Runs the scenario over each path, prints what was proven, and ends the process unless there is `more` to come.
 * `http: false` is for libraries whose queries go over the socket, `sockets: false` for those that have none; `asks` names
 * the gaps after which the library asks for a token; `label` tells apart what one script proves in several ways.
 */
export async function prove({ open, paths = PATHS, gaps = GAPS, http = true, sockets = true, asks = gaps, label = '', more = false }) {
  const [origin, control] = process.argv.slice(2);
  assert(control, 'usage: node SCRIPT HTTP_ORIGIN CONTROL_URL; run.mjs does it');
  const proven = new Set(['query', 'mutation']);
  for (const path of paths) {
    const stage = new Stage(control);
    await stage.enter();
    const client = await open({
      http: `${origin}/graphql`,
      socket: `${origin.replace('http', 'ws')}${path}`,
      token: (refused) => stage.clientToken(refused),
      socketToken: (refused) => stage.socketToken(refused),
    });
    const { me } = await client.query(ME);
    assert.deepEqual([me.id, me.username], [stage.user.id, stage.user.username]);
    const { createChannel } = await client.mutate(CREATE_CHANNEL, { input: { name: `room-${randomUUID()}` } });
    stage.channelId = createChannel.id;
    await live(stage, client);
    for (const what of await follow(stage, client, { gaps, sockets, asks })) proven.add(what);
    if (client.live) for (const what of await lists(stage, client)) proven.add(what);
    if (client.threads) proven.add(await identities(stage, client));
    if (http && gaps.includes('revoke')) proven.add(await renew(stage, client));
    await client.close();
    proven.add(await anonymous(stage, open, { http: `${origin}/graphql`, socket: `${origin.replace('http', 'ws')}${path}` }));
  }
  console.log(`proven: ${label}${[...proven, `over ${paths.join(' and ')}`].join(', ')}`);
  if (!more) process.exit(0); // the libraries keep timers and sockets
}

/** Queries, subscribes after the query's cursor, and goes through all gaps. */
async function follow(stage, client, { gaps, sockets, asks }) {
  const proven = ['subscription'];
  const { messages } = await client.query(START, { channelId: stage.channelId });
  assert.deepEqual(messages.nodes.map(({ id, content }) => [id, content]), [...stage.messages].reverse());
  stage.settle();
  stage.forget();
  stage.watch(client, messages.logCursor);

  await stage.seesCheckpoint(0);
  for (let round = 0; round < 3; round += 1) await live(stage, client);
  for (const gap of gaps) {
    if (gap === 'revoke' && !(await stage.offers('logoutEverywhere'))) continue;
    const { asked, checkpoints } = stage;
    if (gap === 'storm') await storm(stage);
    else if (gap === 'expire') await expire(stage);
    else await lose(stage, gap, sockets);
    await stage.caughtUp(gap);
    await stage.seesCheckpoint(checkpoints);
    await live(stage, client);
    assert(stage.asked > asked || !asks.includes(gap), `${gap}: the library has not connected again`);
    proven.push(gap);
  }
  await refusals(stage, client);
  await live(stage, client); // after this everything that could still come twice has come
  stage.stop();
  return proven;
}

/** One message is written through the library, edited and another deleted by somebody else; each is seen before the next. */
async function live(stage, client) {
  const input = { channelId: stage.channelId, content: stage.text(), idempotencyKey: randomUUID() };
  const { createMessage } = await client.mutate(CREATE, { input });
  stage.wrote('MessageAdded', createMessage.id, input.content);
  await stage.caughtUp('live');
  await stage.edit(createMessage.id);
  await stage.caughtUp('live');
  const old = await stage.post();
  await stage.caughtUp('live');
  await stage.remove(old);
  await stage.caughtUp('live');
}

/** The client is off the line while others write, edit and delete; only then is it let in again. */
async function lose(stage, gap, sockets) {
  const known = await stage.post();
  const doomed = await stage.post();
  await stage.caughtUp('live');
  await stage.control('/shut');
  if (gap === 'revoke') await revoke(stage, sockets);
  else if (gap === 'dead') await stage.control('/cut').then(() => stage.signOutEverywhere()); // so it comes back with a dead token
  else await stage.control(`/${gap}`);
  const edited = await stage.post();
  const gone = await stage.post();
  await stage.edit(known);
  await stage.edit(edited);
  await stage.edit(edited); // twice: two events, both with the text of now
  await stage.edit(gone);
  await stage.remove(gone); // written and deleted unseen: only its deletion is news
  await stage.remove(doomed);
  await stage.post();
  // The library has tried in vain at least once, and must try again.
  await stage.control('/refused');
  if (gap === 'cut' && sockets) await stage.control('/stumble');
  await stage.control('/open');
}

/** The server ends what the session had open. Over HTTP the line itself stays open, and the client would come back on it. */
async function revoke(stage, sockets) {
  const { asked } = stage;
  await stage.signOutEverywhere();
  if (sockets) return;
  await stage.until(() => stage.asked > asked, 'the end of the streams');
  await stage.control('/cut');
}

/** The server is killed, then the line is cut again and again while the client is still catching up. */
async function storm(stage) {
  await stage.control('/restart');
  for (let round = 0; round < 3; round += 1) {
    const seen = stage.seen;
    for (let count = 0; count < 20; count += 1) await stage.post();
    await stage.seesMoreThan(seen);
    await stage.control('/cut');
    for (let count = 0; count < 10; count += 1) await stage.post();
  }
}

/** The client comes back with a token that expires while others write: it comes back once more, with a fresh one. */
async function expire(stage) {
  const { asked } = stage;
  await stage.holdBrief();
  await stage.control('/cut');
  await stage.writesUntilAsked(asked + 2);
}

/** Requests with a dead token are answered 401: the library gets one fresh token for all of them, and asks again. */
async function renew(stage, client) {
  await stage.signOutEverywhere();
  stage.holdRevoked();
  const { renewed, asked } = stage;
  // Mutations: a query might be answered by the library's cache.
  const names = Array.from({ length: AT_ONCE }, () => `room-${randomUUID()}`);
  const made = await Promise.all(names.map((name) => client.mutate(CREATE_CHANNEL, { input: { name } })));
  assert.deepEqual(made.map(({ createChannel }) => createChannel.name), names);
  // A socket that was still about to close may have asked once more.
  const [shared, late] = [stage.renewed - renewed, stage.asked - asked];
  assert(shared === 1 || (late < AT_ONCE && shared <= 1 + late), `${AT_ONCE} requests that were refused cost ${shared} renewals`);
  return `one renewal for ${AT_ONCE} requests`;
}

/** A list that is kept in a cache, and the position kept with it: nothing is left out, whatever was on the screen meanwhile. */
async function lists(stage, client) {
  const channels = [await stage.channel(), await stage.channel()];
  const [a, b] = channels.map((channelId) => new List(stage, client, channelId));
  // Two channels in turn, with one event between.
  await a.post();
  await a.open();
  a.close();
  await a.post();
  await b.open();
  b.close();
  await a.open();
  await a.post();
  await a.shown('two channels in turn');
  // Both at once, and a second component that begins with what the first has put into the cache.
  await b.open();
  await b.post();
  await b.shown('two channels at once');
  const second = new List(stage, client, channels[0], a.due);
  await second.open();
  await a.post();
  await Promise.all([a, second].map((list) => list.shown('two components with one list')));
  for (const list of [a, b, second]) list.close();
  // A position that the server does not know any more, in the cache: the list is read again, once.
  const c = new List(stage, client, await stage.channel());
  await c.post();
  const read = await stage.withDeadCursor(() => c.open());
  await c.post();
  await c.shown('an expired cursor');
  assert.equal(read.count, 2, 'the list is read anew once');
  c.close();
  return ['lists in a cache', 'CURSOR_EXPIRED'];
}

async function identities(stage, client) {
  const channelId = await stage.channel();
  const due = await stage.threads(channelId);
  assert.deepEqual(await client.threads(channelId), due);
  return 'identities';
}

/** Without a token: a public channel can be read and followed. */
async function anonymous(stage, open, { http, socket }) {
  const nobody = async () => null;
  const client = await open({ http, socket, token: nobody, socketToken: nobody });
  const channelId = await stage.channel();
  const { messages } = await client.query(START, { channelId });
  assert.deepEqual(messages.nodes, []);
  const text = stage.text();
  await within('an event for an anonymous reader', (resolve, reject) => {
    const stop = client.subscribe(ADDED, { channelId, after: messages.logCursor }, {
      next: ({ content }) => (content === text ? resolve() : reject(new Error(content))),
      error: (code) => reject(new Error(`ended with the error ${code}`)),
      complete: () => {},
    });
    stage.write(channelId, text).catch(reject);
    return () => stop();
  });
  await client.close();
  return 'anonymous';
}

/** A refused subscription is an error with a code; the others on the same socket go on. */
async function refusals(stage, client) {
  const { cursor: foreign } = await stage.control('/stranger');
  assert.equal(await refusal(client, EVENTS, { channelId: stage.channelId, after: foreign }), 'CURSOR_EXPIRED');
  assert.equal(await refusal(client, ADDED, { channelId: '999999999' }), 'NOT_FOUND');
}

function refusal(client, document, variables) {
  return within(`an error for ${JSON.stringify(variables)}`, (resolve, reject) => {
    const stop = client.subscribe(document, variables, {
      next: (event) => reject(new Error(`an event instead of an error: ${JSON.stringify(event)}`)),
      error: (code) => resolve(code),
      complete: () => {},
    });
    return () => stop();
  });
}
