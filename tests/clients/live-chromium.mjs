// static/live.js, served by the server, in a page of Chromium that is never reloaded. The server is killed and
// restarted 20 times at random moments while the page and another client send messages.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { control, graphql, host, pause, register, until } from './support.mjs';

const KILLS = 20;
const ROOM = 'project_123';

/** A headless Chromium with one page, controlled by the Chrome DevTools Protocol. */
class Browser {
  #answers = new Map();
  #ids = 0;

  static async open(url) {
    const profile = mkdtempSync(path.join(os.tmpdir(), 'tidings-chromium-'));
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-proxy-server', '--remote-debugging-port=0', `--user-data-dir=${profile}`];
    const child = spawn(process.env.TIDINGS_CLIENTS_CHROMIUM, [...flags, url], { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    // The processes of Chromium write to the profile until they have ended.
    process.on('exit', () => (child.kill('SIGKILL'), rmSync(profile, { recursive: true, force: true, maxRetries: 10 })));
    const port = await new Promise((resolve) =>
      createInterface({ input: child.stderr }).on('line', (line) => {
        const [, port] = line.match(/DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)/) ?? [];
        if (port) resolve(port);
      }),
    );
    let target;
    await until('the page', async () => {
      const targets = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
      target = targets.find((one) => one.type === 'page' && one.url.startsWith('http'));
      return target;
    });
    const browser = new Browser();
    browser.child = child;
    browser.ended = ended;
    browser.socket = new WebSocket(target.webSocketDebuggerUrl);
    browser.socket.onmessage = ({ data }) => {
      const { id, ...answer } = JSON.parse(data);
      browser.#answers.get(id)?.(answer);
    };
    await new Promise((resolve) => (browser.socket.onopen = resolve));
    return browser;
  }

  /** Evaluates an expression in the page and resolves with its value; a promise is awaited. */
  async run(expression) {
    const id = (this.#ids += 1);
    const params = { expression, awaitPromise: true, returnByValue: true };
    this.socket.send(JSON.stringify({ id, method: 'Runtime.evaluate', params }));
    const { result, error } = await new Promise((resolve) => this.#answers.set(id, resolve));
    const failed = error ?? result.exceptionDetails;
    if (failed) throw new Error(JSON.stringify(failed));
    return result.result.value;
  }

  /** Resolves when Chromium has ended, also if it ended before the call. */
  async close() {
    this.socket.close();
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

const [page, writer] = [await register(), await register()];
const { createChannel } = await graphql(writer.token, `mutation { createChannel(input: { name: "${ROOM}" }) { id } }`);
const browser = await Browser.open(`http://${host}/graphiql`);

await until('the page', () => browser.run(`document.readyState === 'complete' && location.pathname === '/graphiql'`));
await browser.run(`(async () => {
  const { Live } = await import(location.origin + '/live.js');
  window.received = [];
  window.written = 0;
  window.lines = [];
  const log = (...words) => lines.push(words.join(' '));
  window.live = new Live({
    url: 'ws://${host}/api/v1/websocket/connect', token: () => ${JSON.stringify(page.token)},
    console: { log, error: log }, minWait: 20, maxWait: 200, heartbeat: 2000,
  });
  live.on('message', ({ text }) => received.push(text));
  live.join('${ROOM}');
  live.connect();
  await new Promise((resolve) => live.on('joined', resolve));
  window.writing = setInterval(() => live.send('${ROOM}', 'page ' + written++), 15);
})()`);

let isWriting = true;
let posted = 0;
const posting = (async () => {
  while (isWriting) {
    const input = { channelId: createChannel.id, content: `outside ${posted}`, idempotencyKey: `key ${posted}` };
    const query = 'mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }';
    // Retried until it is answered: because of its idempotency key the server stores it once.
    const done = await graphql(writer.token, query, { input }).then(() => true, () => false);
    if (done) posted += 1;
    await pause(Math.random() * 20);
  }
})();
for (let kill = 0; kill < KILLS; kill += 1) {
  await pause(Math.random() * 300);
  await control('/restart');
}
isWriting = false;
await posting;
await browser.run('clearInterval(writing)');
await until('an empty outbox', () => browser.run('live.unsent.length === 0'));
const written = await browser.run('written');
await until('all messages', () => browser.run(`received.length >= ${written + posted}`));
await pause(200); // time for duplicates to arrive
const received = await browser.run('received');
assert.equal(received.length, written + posted, 'each message arrives once');
const from = (name) => received.filter((text) => text.startsWith(name));
assert.deepEqual(from('page'), Array.from({ length: written }, (_, number) => `page ${number}`), 'in order');
assert.deepEqual(from('outside'), Array.from({ length: posted }, (_, number) => `outside ${number}`));
const lines = await browser.run('lines');
for (const line of ['🔌 Connecting to WebSocket', '✅ WebSocket connected', '❌ WebSocket error', '🔄 Reconnecting']) {
  assert(lines.some((logged) => logged.startsWith(line)), line);
}
await browser.close();
console.log(`proven: ${KILLS} kills, ${written} messages from the page and ${posted} from outside, nothing lost, nothing twice, no reload`);
process.exit(0);
