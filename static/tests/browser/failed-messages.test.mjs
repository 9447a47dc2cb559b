// A message that the server never accepts fails alone: it does not block the messages behind it.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

const CODES = ['BAD_USER_INPUT', 'FORBIDDEN', 'NOT_FOUND', 'CONFLICT', 'QUERY_TOO_COMPLEX', 'INTERNAL_SERVER_ERROR'];
const CLOSES = [1009, 4400, 4500];

// Sets up the user ada, who creates a channel in `begin`. `closes()` resolves with the close codes of her sockets.
async function setUp(t, settings) {
  const fixture = await openFixture({ settings });
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  await ada.page.addInitScript(() => {
    window.closes = [];
    const { WebSocket } = window;
    window.WebSocket = class extends WebSocket {
      constructor(...parameters) {
        super(...parameters);
        this.addEventListener('close', ({ code }) => window.closes.push(code));
      }
    };
  });
  return {
    fixture,
    ada,
    closes: async () => (await ada.page.evaluate(() => window.closes)).filter((code) => CLOSES.includes(code)),
    async begin(intercept) {
      if (intercept) {
        await ada.page.routeWebSocket(/\/graphql$/, (socket) => {
          const server = socket.connectToServer();
          socket.onMessage((frame) => intercept(frame, socket, server) || server.send(frame));
        });
      }
      await ada.signIn();
      const id = await ada.channel('garden');
      await ada.goto(`#/channel/${id}`);
      await ada.page.getByText('Nothing has been written here yet.').waitFor();
      return id;
    },
  };
}

test('a text that is longer than a frame fails before it is sent, and can be edited', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, closes, begin } = await setUp(t);
  const id = await begin();
  for (const text of ['x'.repeat(300_000), `€${'€'.repeat(90_000)}`]) {
    await ada.paste(text);
    await ada.write(`after ${text[0]}`);
    await ada.waitForMessage(`after ${text[0]}`);
    const failed = ada.failedMessage(text.slice(0, 40));
    await failed.getByText('This is too long to be sent.').waitFor();
    // The list folds the failed message like any long text.
    await failed.getByRole('button', { name: 'Show all' }).waitFor();
    await failed.getByRole('button', { name: 'Edit' }).click();
    assert.equal(await ada.page.locator('.composer textarea').inputValue(), text);
    await failed.waitFor({ state: 'detached' });
    await ada.write('short enough');
    await ada.page.locator('.composer textarea', { hasText: /^$/ }).waitFor();
  }
  // The editor of a stored message rejects a text that is too long.
  const message = await ada.post({ channelId: id, content: 'To be changed' });
  await ada.goto(`#/message/${message}`);
  await ada.page.getByRole('button', { name: 'Edit' }).click();
  await ada.page.locator('.editor textarea').evaluate((area, text) => (area.value = text), 'y'.repeat(300_000));
  await ada.page.getByRole('button', { name: 'Save' }).click();
  await ada.page.locator('.editor .problem', { hasText: 'too long' }).waitFor();
  assert.deepEqual(await closes(), []);
  assert.deepEqual(fixture.errors(), []);
});

test('a text over a lowered frame limit of the server fails after three attempts', { timeout: 120_000 }, async (t) => {
  const { ada, closes, begin } = await setUp(t, { TIDINGS_MAX_FRAME: '32KiB' });
  await begin();
  await ada.paste('€'.repeat(15_000));
  await ada.write('later');
  await ada.failedMessage('€').getByText('closed the connection').waitFor({ timeout: 60_000 });
  await ada.waitForMessage('later');
  await ada.waitUntilLive();
  assert.deepEqual(await closes(), [1009, 1009, 1009]);
  await ada.failedMessage('€').getByRole('button', { name: 'Discard' }).click();
  await ada.page.reload();
  await ada.waitForMessage('later');
  assert.equal(await ada.page.locator('.message').count(), 1);
});

test('an unpaired surrogate arrives as U+FFFD, also from a stored entry', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, closes, begin } = await setUp(t);
  const channelId = await begin();
  await ada.paste('pasted \ud83d');
  await ada.write('later');
  await ada.waitForMessage('pasted \ufffd');
  await ada.waitForMessage('later');
  assert.deepEqual(await closes(), []);
  // An entry as an older version of the client stored it.
  await ada.page.evaluate(({ id, channelId }) => {
    const entry = { key: 'k1', kind: 'message', input: { channelId, content: 'kept \ude00' }, at: 1 };
    localStorage.setItem(`tidings.outbox.${id}.k1`, JSON.stringify(entry));
  }, { id: ada.id, channelId });
  await ada.page.reload();
  await ada.waitForMessage('kept \ufffd');
  // The same for a mutation that does not go through the outbox.
  await ada.page.locator('summary[aria-label="Templates"]').click();
  await ada.page.keyboard.press('Escape');
  await ada.page.locator('.composer textarea').evaluate((area) => {
    area.value = 'template \ud83d';
    area.dispatchEvent(new InputEvent('input', { bubbles: true }));
  });
  await ada.page.locator('summary[aria-label="Templates"]').click();
  await ada.page.getByRole('button', { name: 'Save this text as a template…' }).click();
  await ada.page.getByLabel('Name of the template').fill('T');
  await ada.page.getByRole('button', { name: 'Save' }).click();
  await ada.page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual(await closes(), []);
  assert.deepEqual(fixture.errors(), []);
});

test('an error or a close of the connection fails only the message that caused it', { timeout: 180_000 }, async (t) => {
  const { ada, begin } = await setUp(t);
  const tried = new Map();
  await begin((frame, socket, server) => {
    const { id, type, payload } = JSON.parse(frame);
    const [, what, code] = /^(answer|close) (\w+)$/.exec((type === 'subscribe' && payload.variables?.input?.content) || '') ?? [];
    if (!what) return false;
    tried.set(code, (tried.get(code) ?? 0) + 1);
    if (what === 'answer') socket.send(JSON.stringify({ id, type: 'error', payload: [{ message: `refused with ${code}`, extensions: { code } }] }));
    else {
      socket.close({ code: Number(code), reason: 'injected fault' });
      server.close();
    }
    return true;
  });
  const texts = [...CODES.map((code) => `answer ${code}`), ...CLOSES.map((code) => `close ${code}`)];
  for (const text of texts) await ada.write(text);
  await ada.write('the last one');
  await ada.page.locator('.message:not(.pending)', { hasText: 'the last one' }).waitFor({ timeout: 120_000 });
  for (const text of texts) await ada.failedMessage(text).waitFor();
  assert.equal(await ada.page.locator('.pending').count(), texts.length);
  for (const code of CODES) assert.equal(tried.get(code), code === 'INTERNAL_SERVER_ERROR' ? 3 : 1, code);
  for (const code of CLOSES) assert.equal(tried.get(String(code)), 3, `${code}`);
  await ada.waitUntilLive();
  // Failed messages survive a reload, and can be discarded one by one.
  await ada.page.reload();
  // Start at the end of the list, where the button "To the newest message" does not cover it.
  for (const text of texts.reverse()) await ada.failedMessage(text).getByRole('button', { name: 'Discard' }).click();
  await ada.page.locator('.pending').first().waitFor({ state: 'detached' });
});

test('a failed entry of a deleted channel and a damaged entry can be found and discarded', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, begin } = await setUp(t);
  const gone = await begin();
  const other = await ada.channel('orchard');
  await ada.page.evaluate(({ id, gone, other }) => {
    const keep = (key, value) => localStorage.setItem(`tidings.outbox.${id}.${key}`, typeof value === 'string' ? value : JSON.stringify(value));
    keep('k1', '{"key":"k1","kind":"message","inp');
    keep('k2', { key: 'k2', kind: 'message', input: { channelId: other, content: 7 }, at: 2 });
    keep('k3', { key: 'k3', kind: 'reaction', input: {}, at: 3 });
    keep('k4', { key: 'k4', kind: 'comment', input: { messageId: '999', content: 'to nobody' }, at: 4 });
    keep('k5', { key: 'k5', kind: 'message', input: { channelId: gone, content: 'to a gone channel' }, at: 5 });
    keep('k6', { key: 'k6', kind: 'message', input: { channelId: other, content: 'the sound one' }, at: 6 });
  }, { id: ada.id, gone, other });
  await ada.ask(`mutation { deleteChannel(id: ${gone}) }`);
  await ada.goto(`#/channel/${other}`);
  await ada.page.reload();
  await ada.waitForMessage('the sound one');
  await ada.page.getByText('5 things you wrote were not sent.').waitFor();
  await ada.page.getByRole('button', { name: 'Show', exact: true }).click();
  const dialog = ada.page.getByRole('dialog', { name: 'Not sent' });
  await dialog.getByText('to a gone channel').waitFor();
  await dialog.getByText('to nobody').waitFor();
  // The entries have no composer in which they could be edited.
  assert.equal(await dialog.getByRole('button', { name: 'Edit' }).count(), 0);
  assert.equal(await dialog.getByText('the stored form is damaged').count(), 3);
  for (let left = 5; left > 0; left -= 1) await dialog.getByRole('button', { name: 'Discard' }).first().click();
  await dialog.getByText('Everything has been sent or discarded.').waitFor();
  const kept = await ada.page.evaluate(() => Object.keys(localStorage).filter((name) => name.startsWith('tidings.outbox.')));
  assert.deepEqual(kept, []);
  assert.deepEqual(fixture.errors(), []);
});
