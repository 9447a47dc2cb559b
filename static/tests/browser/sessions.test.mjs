// Sessions that outlive their tokens, and names that change.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

const stored = (page) => page.evaluate(() => JSON.parse(localStorage.getItem('tidings.session')));

test('a session continues after its token has expired, in all tabs at once', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture({ settings: { TIDINGS_TOKEN_LIFETIME: '4s' } });
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const pages = [ada.page, await ada.context.newPage(), await ada.context.newPage()];
  const first = await stored(ada.page);

  await t.test('after all pages were closed for longer than the token is valid', async () => {
    await Promise.all(pages.map((page) => page.goto('about:blank')));
    await ada.page.waitForFunction((until) => Date.now() > until, Date.parse(first.expiresAt) + 1_000, { timeout: 20_000 });
    await Promise.all(pages.map((page) => page.goto(`${ada.proxy.origin}/`)));
    for (const page of pages) await page.waitForSelector('.connection-indicator[data-name="live"]', { state: 'attached' });
    const now = await stored(ada.page);
    assert.notEqual(now.token, first.token);
    assert.notEqual(now.refreshToken, first.refreshToken);
  });

  await t.test('after a page was without a network for longer than the token is valid', async () => {
    const before = await stored(ada.page);
    await ada.goOffline();
    await ada.page.waitForFunction((until) => Date.now() > until, Date.parse(before.expiresAt) + 1_000, { timeout: 20_000 });
    await ada.goOnline();
    for (const page of pages) await page.waitForSelector('.connection-indicator[data-name="live"]', { state: 'attached' });
    assert.notEqual((await stored(ada.page)).token, before.token);
  });

  await t.test('signing out ends the session on the server, in all tabs', async () => {
    const { refreshToken } = await stored(ada.page);
    await ada.page.locator('.account .menu > summary').click();
    await ada.page.getByRole('button', { name: 'Sign out' }).click();
    for (const page of pages) await page.getByLabel('Password').waitFor();
    const renew = 'mutation ($t: String!) { renewSession(refreshToken: $t) { token } }';
    const ended = async () => (await fetch(`${fixture.server.origin}/graphql`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query: renew, variables: { t: refreshToken } }),
    })).json();
    assert.equal((await ended()).errors[0].extensions.code, 'UNAUTHENTICATED');
  });
  assert.deepEqual(fixture.errors(), []);
});

test('a new name of a user appears on open pages', { timeout: 60_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const ben = await fixture.openUser('ben');
  const channel = await ben.channel('garden');
  await ben.post({ channelId: channel, content: 'hello' });
  await ada.goto(`#/channel/${channel}`);
  await ada.waitForMessage('hello');
  await ben.ask('mutation { updateProfile(input: { displayName: "Benjamin Baker" }) { id } }');
  await ada.page.locator('.message', { hasText: 'Benjamin Baker' }).waitFor();
  await ben.page.locator('.account-name', { hasText: 'Benjamin Baker' }).waitFor();
});
