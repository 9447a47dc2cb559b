// The server closes the socket with 4500 (internal error). graphql-ws does not reconnect after this code, so the page
// must.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

const FAULT = { code: 4500, reason: 'Internal server error' };

test('after an internal error of the server the page is live again without a reload', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  const { page } = ada;
  const sockets = [];
  await page.routeWebSocket(/\/graphql$/, (socket) => sockets.push({ socket, server: socket.connectToServer() }));
  await ada.signIn();
  const channelId = await ada.channel('support');
  const open = (count) => page.locator('.metric', { hasText: 'Open tickets' }).locator('.metric-value', { hasText: count });
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Dashboard' }).click();
  await open('0').waitFor();
  await page.evaluate(() => (window.isTheSamePage = true));

  const { socket, server } = sockets.at(-1);
  await Promise.all([socket.close(FAULT), server.close()]);
  await page.waitForSelector('.connection-indicator:not([data-name="live"])', { state: 'attached' });
  await ada.post({ channelId, title: 'Printer on fire', content: 'It smokes', ticket: {} });
  await ada.waitUntilLive();
  await page.getByRole('navigation', { name: 'Channels' }).getByRole('link', { name: 'support' }).waitFor();
  await open('1').waitFor();
  assert.equal(await page.evaluate(() => window.isTheSamePage), true);
});
