// The application of docs/live-order-list.md, as it is on the page except for the addresses: its table, its transactions and
// its HTML page in Chromium.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { BINARY, openFixture } from './fixture.mjs';

const PAGE = readFileSync(new URL('../../../docs/live-order-list.md', import.meta.url), 'utf8');
/** The fenced blocks of a language, in the order of the page. */
const blocks = (language) => [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code);

test('the live order list of the documentation loses and repeats no order when the server is killed', { timeout: 120_000 }, async (t) => {
  let html;
  const pages = http.createServer((request, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  t.after(() => pages.close());
  const origin = `http://localhost:${pages.address().port}`;
  const fixture = await openFixture({ settings: { TIDINGS_ALLOWED_ORIGINS: origin } });
  t.after(() => fixture.close());
  const { server } = fixture;
  const database = server.database.replace('sqlite://', '');
  const directory = path.dirname(database);
  mkdirSync(path.join(directory, 'bin'));
  symlinkSync(path.resolve(BINARY), path.join(directory, 'bin', 'tidings'));

  /** Runs a block in the directory of the application, with `tidings` in the path. */
  const run = (program, ...words) => {
    const env = { ...process.env, PATH: `${path.join(directory, 'bin')}:${process.env.PATH}`, DATABASE_URL: server.database, NO_PROXY: '*' };
    return spawnSync(program, words, { cwd: directory, env, encoding: 'utf8' });
  };
  const succeeds = (...words) => {
    const { status, stdout, stderr } = run(...words);
    assert.equal(status, 0, `${words.join(' ')}\n${stdout}${stderr}`);
    return stdout;
  };
  const [setUp, tryIt] = blocks('sh');
  const [shop] = blocks('python');
  [html] = blocks('html').map((code) => code.replaceAll('http://localhost:8000', server.origin));
  const made = succeeds('sh', '-e', '-c', setUp.replaceAll('http://localhost:8000', server.origin));
  assert.match(made, /"name":"orders"/);
  writeFileSync(path.join(directory, 'shop.py'), shop);

  const page = await fixture.browser.newPage();
  t.after(() => page.close());
  await page.goto(`${origin}/orders.html`);
  const shows = (...orders) =>
    page.waitForFunction((expected) => [...document.querySelectorAll('#orders li')].map((item) => item.textContent).join('; ') === expected, orders.join('; '));
  const isLive = () => page.waitForFunction(() => document.querySelector('#state').textContent === 'live');
  await isLive();
  succeeds('sh', '-e', '-c', tryIt);
  await shows('2: Ben, 20.00', '1: Ada, 129.90');

  const failed = run('python3', 'shop.py', 'Eve', '0');
  assert.match(failed.stderr, /an order costs something/);
  await server.kill();
  succeeds('python3', 'shop.py', 'Fay', '7');
  await server.start();
  succeeds('python3', 'shop.py', 'Gus', '8');
  const all = ['4: Gus, 8.00', '3: Fay, 7.00', '2: Ben, 20.00', '1: Ada, 129.90'];
  await shows(...all);
  await page.reload();
  await shows(...all);
  await isLive();
  succeeds('python3', 'shop.py', 'Hal', '9');
  await shows('5: Hal, 9.00', ...all);
});
