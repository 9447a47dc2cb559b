// The one scenario that every client library must pass; stage.mjs plays the other users in it.
// A recipe script calls `prove({ open })`; what `open` returns is the library in a few lines:
//   query(document, variables), mutate(document, variables) → data
//   subscribe(document, variables, { next(event), error(code), complete() }) → stop()
//   close()
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { ADDED, CREATE, CREATE_CHANNEL, EVENTS, ME, START } from './documents.mjs';
import { Stage, within } from './stage.mjs';

const PATHS = ['/graphql', '/subscriptions'];
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
    if (http && gaps.includes('revoke')) proven.add(await renew(stage, client));
    await client.close();
  }
  console.log(`proven: ${label}${[...proven, `over ${paths.join(' and ')}`].join(', ')}`);
  if (!more) process.exit(0); // the libraries keep timers and sockets
}

/** Queries, subscribes after the query's cursor, and goes through all gaps. */
async function follow(stage, client, { gaps, sockets, asks }) {
  const proven = ['subscription'];
  const { cursor, messages } = await client.query(START, { channelId: stage.channelId });
  assert.deepEqual(messages.nodes.map(({ id, content }) => [id, content]), [...stage.messages].reverse());
  stage.settle();
  stage.forget();
  stage.watch(client, cursor);

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
  if (gap === 'revoke') await stage.signOutEverywhere();
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
  // The library has tried in vain at least once, and must try again; where a session ends with a stream, its line stays.
  if (gap !== 'revoke' || sockets) await stage.control('/refused');
  if (gap === 'cut' && sockets) await stage.control('/stumble');
  await stage.control('/open');
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

/** A request with a dead token is answered 401: the library gets a fresh one and asks again. */
async function renew(stage, client) {
  const { renewed } = stage;
  stage.holdRevoked();
  const name = `room-${randomUUID()}`; // a query might be answered by the library's cache
  const { createChannel } = await client.mutate(CREATE_CHANNEL, { input: { name } });
  assert.equal(createChannel.name, name);
  assert(stage.renewed > renewed, 'the server took a token of a session that was ended');
  return 'renew';
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
