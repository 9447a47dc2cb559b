// Signing in at a real OpenID Connect provider, with a real browser.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { installNode } from '../../../tests/clients/runner/install.mjs';
import { Server } from '../../../tests/clients/runner/server.mjs';

const BINARY = process.env.TIDINGS_BIN ?? fileURLToPath(new URL('../../../target/debug/tidings', import.meta.url));
const PROVIDER = fileURLToPath(new URL('../../../tests/identity-provider', import.meta.url));

async function startProvider(t) {
  installNode(PROVIDER);
  const child = spawn(process.execPath, ['provider.mjs'], { cwd: PROVIDER, stdio: ['pipe', 'pipe', 'ignore'] });
  t.after(() => child.kill());
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, 'line');
  return JSON.parse(line);
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

test('a user signs in at a provider and returns to the same page', { timeout: 120_000 }, async (t) => {
  const provider = await startProvider(t);
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  await fetch(`${provider.control}/client?redirect=${encodeURIComponent(`${origin}/auth/oidc/callback`)}`, { method: 'POST' });
  const server = new Server(BINARY, {
    TIDINGS_PUBLIC_URL: origin,
    TIDINGS_OIDC_ISSUERS: provider.issuer,
    TIDINGS_OIDC_AUDIENCE: 'tidings',
    TIDINGS_OIDC_CLIENT_ID: 'web',
    TIDINGS_OIDC_CLIENT_SECRET: 'the secret of the client, for tests only',
  });
  server.port = port;
  t.after(() => server.remove());
  await server.start();
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
  t.after(() => browser.close());
  const context = await browser.newContext();
  context.setDefaultTimeout(20_000);
  // The pages of the provider load fonts from elsewhere.
  await context.route((url) => url.hostname !== '127.0.0.1', (route) => route.abort());
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));

  await page.goto(`${origin}/#/dashboard`);
  await page.getByRole('link', { name: 'Sign in with 127.0.0.1' }).click();
  await page.locator('input[name=login]').fill('ann');
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  // The page that asks for consent.
  await page.locator('input[name=prompt][value=consent]').waitFor({ state: 'attached' });
  await page.locator('button[type=submit]').click();
  await page.waitForURL(`${origin}/#/dashboard`);
  await page.locator('.account-name', { hasText: 'ann of the provider' }).waitFor();

  const stored = await page.evaluate(() => JSON.parse(localStorage.getItem('tidings.session')));
  assert.equal(stored.user.username, 'ann');
  // The provider has the same host, so its cookies are in this list, too.
  const cookies = (await context.cookies(`${origin}/auth/oidc`)).map(({ name }) => name);
  assert.ok(!cookies.includes('tidings_oidc'), 'the cookie of the sign-in is not removed');
  const other = await (await browser.newContext()).newPage();
  await other.goto(`${origin}/#/signed-in/${stored.refreshToken}`);
  // This tab has not begun a sign-in: the link may come from someone else.
  await other.getByRole('button', { name: 'Continue' }).waitFor();
  assert.equal(await other.evaluate(() => localStorage.getItem('tidings.session')), null);
  await other.context().close();
  await page.reload();
  await page.locator('.account-name', { hasText: 'ann of the provider' }).waitFor();
  assert.deepEqual(errors, []);
});
