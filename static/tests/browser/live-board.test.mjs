// Two users in two browsers, and a server that is killed and restarted.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

async function eventually(isSo) {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50));
}

test('the board is live in every browser', { timeout: 180_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const [ada, ben] = [await fixture.openUser('ada'), await fixture.openUser('ben')];
  const { server } = fixture;
  const inSupport = (user) => user.page.getByRole('navigation', { name: 'Channels' }).getByRole('link', { name: 'support' });
  const card = (user, status, title) => user.page.locator(`.column[data-status="${status}"] .card`, { hasText: title });
  // A reload would remove this property, so it proves that there was none.
  for (const { page } of [ada, ben]) await page.evaluate(() => (window.isTheSamePage = true));

  await t.test('a channel that one user creates appears in the other browser', async () => {
    await ada.page.getByRole('button', { name: 'New channel or room' }).click();
    await ada.page.getByLabel('Name', { exact: false }).first().fill('support');
    await ada.page.getByRole('button', { name: 'Create' }).click();
    await inSupport(ben).click();
    await ben.page.getByRole('heading', { name: 'support' }).waitFor();
  });

  await t.test('a ticket that one user creates appears on the board of the other', async () => {
    await ben.page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Tickets' }).click();
    await ada.page.getByRole('button', { name: 'Make it a ticket' }).click();
    await ada.page.getByLabel('Title').fill('Printer on fire');
    await ada.write('Please have a look.');
    await card(ben, 'OPEN', 'Printer on fire').waitFor();
    await ada.page.locator('.message .message-title', { hasText: 'Printer on fire' }).waitFor();
  });

  await t.test('a comment appears in both browsers', async () => {
    await card(ben, 'OPEN', 'Printer on fire').getByRole('link').click();
    await ada.page.locator('.message-title a', { hasText: 'Printer on fire' }).click();
    await ben.write('On my way, with a bucket.');
    for (const { page } of [ada, ben]) await page.locator('.comment:not(.pending)', { hasText: 'with a bucket' }).waitFor();
    assert.equal(await ben.page.locator('.comment').count(), 1);
  });

  await t.test('moving a card by keyboard moves it in both browsers', async () => {
    for (const user of [ada, ben]) await user.page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Tickets' }).click();
    await card(ada, 'OPEN', 'Printer on fire').getByRole('link').focus();
    await ada.page.keyboard.press('Shift+ArrowRight');
    for (const user of [ada, ben]) await card(user, 'IN_PROGRESS', 'Printer on fire').waitFor();
    assert.equal(await ada.page.evaluate(() => document.activeElement.closest('.card')?.dataset.title), 'Printer on fire');
  });

  await t.test('dragging a card moves it in both browsers', async () => {
    await card(ben, 'IN_PROGRESS', 'Printer on fire').dragTo(ben.page.locator('.column[data-status="RESOLVED"]'));
    for (const user of [ada, ben]) await card(user, 'RESOLVED', 'Printer on fire').waitFor();
  });

  await t.test('after the server was killed and restarted, both browsers catch up without a reload', async () => {
    await inSupport(ada).click();
    await server.kill();
    await ada.page.locator('.connection-indicator', { hasText: /reconnecting/ }).first().waitFor();
    await ada.write('Written while the server was dead');
    await ada.page.locator('.message.pending', { hasText: 'was dead' }).waitFor();
    await ada.page.locator('.connection-indicator', { hasText: /1 message waiting/ }).first().waitFor();
    await server.start();
    // A program writes a message and moves the ticket before the browsers reconnect.
    const { messages } = await ada.ask('{ messages(ticketsOnly: true) { nodes { id channelId } } }');
    const [{ id, channelId }] = messages.nodes;
    await ada.post({ channelId, content: 'Written while nobody listened' });
    await ada.ask(`mutation { updateMessage(input: { id: ${id}, ticket: { status: CLOSED } }) { id } }`);
    await card(ben, 'CLOSED', 'Printer on fire').waitFor({ timeout: 30_000 });
    await inSupport(ben).click();
    for (const { page } of [ada, ben]) {
      for (const text of ['was dead', 'nobody listened']) await page.locator('.message:not(.pending)', { hasText: text }).waitFor();
      assert.equal(await page.locator('.message', { hasText: 'was dead' }).count(), 1);
      assert.equal(await page.evaluate(() => window.isTheSamePage), true);
    }
    await Promise.all([ada.waitUntilLive(), ben.waitUntilLive()]);
  });

  await t.test('messages written offline arrive once and in order after the reconnect', async () => {
    await ben.goOffline();
    await ben.page.locator('.connection-indicator[data-name="offline"]').first().waitFor();
    await ben.write('First from the train');
    await ben.write('Second from the train');
    await ben.page.locator('.connection-indicator', { hasText: 'offline: 2 messages waiting' }).first().waitFor();
    assert.equal(await ada.page.locator('.message', { hasText: 'from the train' }).count(), 0);
    await ben.goOnline();
    for (const { page } of [ada, ben]) {
      await page.locator('.message:not(.pending)', { hasText: 'Second from the train' }).waitFor();
      const texts = await page.locator('.message .message-text', { hasText: 'from the train' }).allTextContents();
      assert.deepEqual(texts, ['First from the train', 'Second from the train']);
    }
    await ben.waitUntilLive();
  });

  await t.test('an unsent message survives a reload and is sent once', async () => {
    await ben.goOffline();
    await ben.write('Written, then reloaded');
    await ben.page.locator('.message.pending', { hasText: 'then reloaded' }).waitFor();
    await ben.goOnline();
    await ben.page.reload();
    for (const { page } of [ada, ben]) {
      await page.locator('.message:not(.pending)', { hasText: 'then reloaded' }).waitFor();
      assert.equal(await page.locator('.message', { hasText: 'then reloaded' }).count(), 1);
    }
  });

  await t.test('the presence list shows who has the channel open', async () => {
    const here = (number) => ada.page.locator(`.presence summary[aria-label="${number} here now"]`);
    await here(2).click();
    await ada.page.locator('.presence .people', { hasText: 'Ben Baker' }).waitFor();
    await ada.page.keyboard.press('Escape');
    await ben.page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Dashboard' }).click();
    // The server that was killed above has left a presence entry for Ben. It is valid until it expires.
    await here(1).waitFor({ timeout: 30_000 });
  });

  await t.test('the dashboard shows live values', async () => {
    const metric = (name, value) => ben.page.locator('.metric', { hasText: name }).locator('.metric-value', { hasText: value });
    await metric('Active users', '2').waitFor();
    await metric('Open tickets', '0').waitFor();
    const { messages } = await ada.ask('{ messages(ticketsOnly: true) { nodes { id } } }');
    await ada.ask(`mutation { updateMessage(input: { id: ${messages.nodes[0].id}, ticket: { status: OPEN } }) { id } }`);
    await metric('Open tickets', '1').waitFor();
    await inSupport(ben).click();
  });

  await t.test('a message in another channel is unread, also on the server, until the user opens the channel', async () => {
    const channelId = await ada.channel('garden');
    const link = ben.page.getByRole('navigation', { name: 'Channels' }).getByRole('link', { name: /^garden/ });
    const unread = async () => (await ben.ask(`{ channel(id: ${channelId}) { unreadCount } }`)).channel.unreadCount;
    await link.waitFor();
    for (const content of ['The peas are up', 'So are the beans']) await ada.post({ channelId, content });
    await link.filter({ hasText: '2 unread' }).waitFor();
    await ben.page.waitForFunction(() => document.title.startsWith('(2)'));
    await ben.page.reload();
    await link.filter({ hasText: '2 unread' }).waitFor();
    await link.click();
    await ben.page.locator('.message', { hasText: 'beans' }).waitFor();
    await link.filter({ hasNotText: 'unread' }).waitFor();
    await eventually(async () => (await unread()) === 0);
    await ada.post({ channelId, content: 'And the tomatoes' });
    await ben.page.locator('.message', { hasText: 'tomatoes' }).waitFor();
    await eventually(async () => (await unread()) === 0);
    await inSupport(ben).click();
  });

  await t.test('a notification is counted as unread until the user marks it as read', async () => {
    const root = await fixture.admin('root');
    const notify = (input) => root.ask('mutation ($input: NotifyUserInput!) { notifyUser(input: $input) { id } }', { input });
    await notify({ userId: ben.id, title: 'Your oven is hot', message: '220 degrees', priority: 'HIGH' });
    await notify({ title: 'Holiday', message: 'Closed on Friday' });
    const bell = ben.page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: /Notifications/ });
    await bell.filter({ hasText: '2 unread' }).click();
    await ben.page.getByRole('button', { name: 'Mark as read: Your oven is hot' }).click();
    await bell.filter({ hasText: '1 unread' }).waitFor();
    await ben.page.reload();
    await bell.filter({ hasText: '1 unread' }).waitFor();
    await ben.page.getByRole('button', { name: 'Mark all as read' }).click();
    await bell.filter({ hasNotText: 'unread' }).waitFor();
    // The announcement to all users also reaches the other user.
    await ada.page.getByRole('link', { name: /Notifications.*unread/ }).waitFor();
    await root.ask('mutation ($input: BroadcastInput!) { broadcast(input: $input) }', { input: { room: 'support', data: { oven: 220 } } });
    await inSupport(ben).click();
    await ben.page.locator('.broadcast', { hasText: 'oven 220' }).waitFor();
  });

  await t.test('a private channel appears and disappears with the membership', async () => {
    const input = { name: 'leads', visibility: 'PRIVATE' };
    const { createChannel } = await ada.ask('mutation ($input: CreateChannelInput!) { createChannel(input: $input) { id } }', { input });
    const member = { channelId: createChannel.id, userId: ben.id };
    await ada.post({ channelId: createChannel.id, content: 'Nobody else may know' });
    await ada.ask('mutation ($channelId: ID!, $userId: ID!) { addMember(channelId: $channelId, userId: $userId) { id } }', member);
    await ben.page.getByRole('link', { name: /^leads/ }).click();
    await ben.page.locator('.message', { hasText: 'Nobody else may know' }).waitFor();
    await ada.ask('mutation ($channelId: ID!, $userId: ID!) { removeMember(channelId: $channelId, userId: $userId) { id } }', member);
    await ben.page.getByText('This channel does not exist, or you cannot read it.').waitFor();
    assert.equal(await ben.page.getByRole('link', { name: /^leads/ }).count(), 0);
    await inSupport(ben).click();
  });

  await t.test('a message that the server rejects is marked as failed and can be retried', async () => {
    const channelId = await ada.channel('short-lived');
    await ben.page.getByRole('link', { name: 'short-lived' }).click();
    await ben.page.getByText('Nothing has been written here yet.').waitFor();
    await ben.page.evaluate(() => {
      const { send } = WebSocket.prototype;
      // Empties the text of the mutation, because the server rejects an empty message.
      WebSocket.prototype.send = function (text) {
        return send.call(this, text.replace('"content":"Refuse me"', '"content":""'));
      };
    });
    await ben.write('Refuse me');
    const failed = ben.page.locator('.message.pending[data-state="failed"]', { hasText: 'Refuse me' });
    await failed.getByRole('button', { name: 'Try again' }).click();
    await failed.waitFor();
    await ben.write('This one passes it');
    await ben.page.locator('.message:not(.pending)', { hasText: 'passes it' }).waitFor();
    await failed.getByRole('button', { name: 'Discard' }).click();
    await failed.waitFor({ state: 'detached' });
    await ada.ask(`mutation { deleteChannel(id: ${channelId}) }`);
    await ben.page.getByText('This channel does not exist, or you cannot read it.').waitFor();
    await inSupport(ben).click();
  });

  await t.test('the end of the session leads to the sign-in page, and the draft is kept', async () => {
    await ben.waitUntilLive();
    await ben.page.locator('.composer textarea').fill('Half a thought');
    await ben.ask('mutation { logoutEverywhere }');
    await ben.page.getByText('what you wrote is kept').waitFor();
    assert.equal(await ben.page.getByLabel('Username').inputValue(), 'ben');
    await ben.submitSignIn();
    await ben.waitUntilLive();
    assert.equal(await ben.page.locator('.composer textarea').inputValue(), 'Half a thought');
    await ben.page.getByRole('heading', { name: 'support' }).waitFor();
  });

  t.diagnostic(`requests that left the machine: ${fixture.foreignRequests().length}; console errors: ${fixture.errors().length}`);
  assert.deepEqual(fixture.foreignRequests(), []);
  assert.deepEqual(fixture.errors(), []);
});
