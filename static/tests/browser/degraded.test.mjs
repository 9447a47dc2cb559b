// Pages with a blocked or full storage, an invalid URL, or a failing query show an error and stay usable.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

const FULL = 'This was not sent: the storage that this browser has for this page is full.';

test('with blocked site data the client works until a reload and shows a banner', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const channelId = await ada.channel('garden');
  const ben = await fixture.openBlockedUser('ben', { signIn: false });
  await ben.register();
  await ben.goto('');
  assert.equal(await ben.page.evaluate(() => {
    try {
      return String(localStorage);
    } catch (error) {
      return error.name;
    }
  }), 'SecurityError');
  await ben.page.getByText('blocks cookies and site data').waitFor();
  await ben.submitSignIn();
  await ben.waitUntilLive();
  await ben.page.locator('.banner', { hasText: 'blocks cookies and site data' }).waitFor();
  await ben.goto(`#/channel/${channelId}`);
  await ben.write('Written without a storage');
  await ben.waitForMessage('Written without a storage');
  await ada.goto(`#/channel/${channelId}`);
  await ada.waitForMessage('Written without a storage');
  // A draft survives navigation, but not a reload.
  await ben.page.locator('.composer textarea').fill('half a thought');
  await ben.goto('#/tickets');
  await ben.goto(`#/channel/${channelId}`);
  assert.equal(await ben.page.locator('.composer textarea').inputValue(), 'half a thought');
  await ben.page.reload();
  await ben.page.getByRole('button', { name: 'Sign in', exact: true }).waitFor();

  await ben.goto('graphiql');
  await ben.page.getByText('nothing is kept').waitFor();
  await ben.page.locator('#sign-in-button').click();
  await ben.page.locator('#token-form textarea').fill(ben.token);
  await ben.page.getByRole('button', { name: 'Use token' }).click();
  await ben.page.locator('#who', { hasText: 'ben' }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('with a full storage an action is not sent, its text stays, and the page shows why', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const { page } = ada;
  const channelId = await ada.channel('garden');
  const ticket = await ada.post({ channelId, title: 'Printer on fire', content: 'Help', ticket: {} });
  await ada.goto(`#/channel/${channelId}`);
  await ada.waitForMessage('Printer on fire');
  const fill = () => page.evaluate(() => {
    for (let size = 1 << 20; size >= 1; size = size > 1 ? size >> 1 : 0) {
      try {
        for (;;) localStorage.setItem(`fill.${Math.random()}`, 'x'.repeat(size));
      } catch {
        // This size does not fit: try half of it.
      }
    }
  });
  const empty = () => page.evaluate(() => Object.keys(localStorage).forEach((name) => name.startsWith('fill.') && localStorage.removeItem(name)));
  await fill();
  await ada.write('It does not fit');
  await page.getByText(FULL).waitFor();
  assert.equal(await page.locator('.composer textarea').inputValue(), 'It does not fit');
  assert.equal(await page.locator('.message.pending').count(), 0);
  await page.keyboard.type('!');
  await page.getByText('not kept over a reload').waitFor();
  await empty();
  await page.keyboard.press('Enter');
  await ada.waitForMessage('It does not fit!');

  await fill();
  await ada.goto('#/tickets');
  await page.locator('.card a').focus();
  await page.keyboard.press('Shift+ArrowRight');
  await page.locator('.board-frame .problem', { hasText: FULL }).waitFor();
  await ada.goto(`#/message/${ticket}`);
  await page.getByRole('combobox', { name: 'Status' }).selectOption('RESOLVED');
  await page.locator('.ticket-panel .problem', { hasText: FULL }).waitFor();
  await ada.goto('#/tickets');
  await page.getByRole('button', { name: 'New ticket' }).click();
  await page.getByLabel('Title').fill('Another');
  await page.getByLabel('What is to be done').fill('Something');
  await page.getByRole('button', { name: 'Create ticket' }).click();
  await page.getByRole('dialog').getByText(FULL).waitFor();
  await empty();
  await page.getByRole('button', { name: 'Create ticket' }).click();
  await page.locator('.card', { hasText: 'Another' }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('a sign-in with a full storage lasts until a reload', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  await ada.register();
  await ada.goto('');
  await ada.page.evaluate(() => {
    for (let size = 1 << 20; size >= 1; size = size > 1 ? size >> 1 : 0) {
      try {
        for (;;) localStorage.setItem(`fill.${Math.random()}`, 'x'.repeat(size));
      } catch {
        // This size does not fit: try half of it.
      }
    }
  });
  await ada.submitSignIn();
  await ada.waitUntilLive();
  await ada.page.locator('.banner', { hasText: 'when you reload, you are signed out' }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('an invalid URL shows a link to the channels', { timeout: 180_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const channelId = await ada.channel('garden');
  const { page } = ada;
  const nowhere = ['#/%', '#/channel/%E0%A4%A', '#/channel/100%', '#/message/abc', '#/message/99999999999999999999', '#/channel', '#/nothing/here', '#/__proto__'];
  const gone = ['#/channel/4711', '#/message/4711', '#/message/9223372036854775808'];
  for (const viewport of [{ width: 1280, height: 800 }, { width: 360, height: 740 }]) {
    await page.setViewportSize(viewport);
    for (const hash of [...nowhere, ...gone]) {
      await ada.goto(hash);
      if (hash === nowhere[0]) await page.reload();
      if (nowhere.includes(hash)) await page.getByText('There is nothing at this address.').waitFor();
      await page.locator('.empty').getByRole('link', { name: 'Go to the channels' }).click();
      await page.getByRole('navigation', { name: 'Channels' }).getByRole('link', { name: 'garden' }).click();
      await page.getByRole('heading', { name: 'garden' }).waitFor();
    }
  }
  await ada.goto(`#/channel/${channelId}/`);
  await page.getByRole('heading', { name: 'garden' }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('a query is retried after a temporary error; a final error is shown', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  const { page } = ada;
  const once = [];
  let always;
  await page.routeWebSocket(/\/graphql$/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((frame) => {
      const { id, payload } = JSON.parse(frame);
      const isAsked = /query \(\$(channelId: ID!, \$first|id: ID!, \$before|status)/.test(payload?.query ?? '');
      const code = isAsked && (always ?? once.shift());
      if (code) socket.send(JSON.stringify({ id, type: 'error', payload: [{ message: `no: ${code}`, extensions: { code } }] }));
      else server.send(frame);
    });
  });
  await ada.signIn();
  const channelId = await ada.channel('garden');
  const id = await ada.post({ channelId, title: 'Printer on fire', content: 'Help', ticket: {} });
  once.push('UNAVAILABLE', 'RATE_LIMITED');
  await ada.goto(`#/channel/${channelId}`);
  await ada.waitForMessage('Printer on fire');
  for (const hash of [`#/channel/${channelId}`, `#/message/${id}`, '#/tickets']) {
    always = 'QUERY_TOO_COMPLEX';
    await ada.goto(hash);
    await page.reload();
    await page.getByText('no: QUERY_TOO_COMPLEX').first().waitFor();
    always = undefined;
  }
});

const DAMAGED = ['{"token":', '7', '{"token":"a.b.c","user":7}', '{"token":{},"user":{"id":"1"}}'];
test('a damaged session leads to the sign-in page, and damaged GraphiQL tabs are replaced by the examples', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const { page } = ada;
  for (const stored of DAMAGED) {
    await page.evaluate((stored) => localStorage.setItem('tidings.session', stored), stored);
    await page.reload();
    await page.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
  }
  await ada.submitSignIn();
  await ada.waitUntilLive();
  // The client does not judge an unreadable token: the server rejects it.
  await page.evaluate(() => localStorage.setItem('tidings.session', JSON.stringify({ token: 'opaque', user: { id: '1', username: 'ada' } })));
  await page.reload();
  await page.getByText('Your session has ended.').waitFor();
  await page.evaluate(() => {
    for (const name of ['tabState', 'queries', 'favorites']) localStorage.setItem(`graphiql:${name}`, '{"tabs":[null],"que');
  });
  await page.goto(`${ada.proxy.origin}/graphiql`);
  await page.locator('.graphiql-tab', { hasText: 'Messages' }).first().waitFor();
  assert.deepEqual(fixture.errors(), []);
});
