// Layout with long names, names of other scripts, and long texts; highlighting of mentions; assignees of private
// tickets.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

const LONG = 'planning-the-garden-for-next-year'.repeat(3);
const WIDTHS = [360, 768, 1280];

// An expression for the elements that are wider than the window or outside the part of the page that contains them.
const OUTSIDE = `(() => {
  const found = [];
  const { innerWidth } = window;
  if (document.scrollingElement.scrollWidth > innerWidth) found.push('the page is wider than the window');
  const parts = [['.sidebar > *, .page-head, .message-list, .thread, .composer, .dialog-body, .notifications, .menu[open] > .menu-list, .banner, .column, .ticket-panel, .filters', innerWidth]];
  for (const [selector] of parts) {
    for (const part of document.querySelectorAll(selector)) {
      const { left, right, width } = part.getBoundingClientRect();
      if (!width) continue;
      // A board scrolls horizontally.
      if (!part.closest('.board') && (left < -1 || right > innerWidth + 1)) found.push(part.className + ' is outside the window');
      for (const element of part.querySelectorAll('*')) {
        if (element.closest('.visually-hidden, .card-move, .message-open, .menu-list, .skip-link') && !part.matches('.menu-list')) continue;
        const box = element.getBoundingClientRect();
        if (!box.width || getComputedStyle(element).opacity === '0') continue;
        // Text that is cut off with "…" is not visible outside its line.
        const clipped = element.closest('.nav-text, .account-name, .page-title, .card-channel, .menu-preview, .broadcast, select');
        if (clipped && clipped !== element) continue;
        if (box.left < left - 1 || box.right > right + 1) found.push((element.className || element.tagName) + ' sticks out of ' + part.className);
      }
    }
  }
  return [...new Set(found)];
})()`;

test('names of any length stay inside their part of the page, at every width', { timeout: 240_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  const input = { username: 'ada', password: 'correct horse battery', displayName: 'Wolfeschlegelsteinhausenbergerdorff'.repeat(2) };
  const { register } = await ada.ask('mutation ($input: RegisterInput!) { register(input: $input) { token user { id } } }', { input });
  Object.assign(ada, { token: register.token, id: register.user.id });
  const { page } = ada;
  await ada.goto('');
  await ada.submitSignIn();
  await ada.waitUntilLive();
  const ben = await fixture.openUser('ben');
  const long = await ada.channel(LONG.slice(0, 99), 'd'.repeat(400));
  const garden = await ben.channel('garden');
  const message = await ada.post({ channelId: long, content: `${'w'.repeat(3_000)} ${'https://example.org/'.padEnd(500, 'a')}` });
  const ticket = await ada.post({ channelId: long, title: 'T'.repeat(200), content: 'x', ticket: { priority: 'URGENT', assigneeId: ada.id } });
  const comment = 'mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }';
  await ada.ask(comment, { input: { messageId: ticket, content: 'c'.repeat(2_000) } });
  await ben.ask(comment, { input: { messageId: ticket, content: `Look, @ada: ${'y'.repeat(400)}` } });
  await ada.ask('mutation ($input: AddTemplateInput!) { addTemplate(input: $input) { id } }', { input: { name: 'n'.repeat(90), content: 'm'.repeat(300) } });
  const root = await fixture.admin('root');
  await root.ask('mutation ($input: NotifyUserInput!) { notifyUser(input: $input) { id } }', { input: { userId: ada.id, title: 'N'.repeat(180), message: 'n'.repeat(900), priority: 'URGENT' } });
  await ada.goto('#/dashboard');
  for (let count = 0; count < 3; count += 1) await ben.post({ channelId: garden, content: `news ${count}` });

  await t.test('the badges of channels stay inside the sidebar, also beside a long name', async () => {
    const link = page.getByRole('navigation', { name: 'Channels' }).getByRole('link', { name: /^garden/ });
    await link.filter({ hasText: '3 unread' }).waitFor();
    const [badge, sidebar] = await Promise.all([link.locator('.badge').boundingBox(), page.locator('.sidebar').boundingBox()]);
    assert.ok(badge.x + badge.width <= sidebar.x + sidebar.width, `${badge.x + badge.width} in ${sidebar.width}`);
    const name = page.getByRole('navigation', { name: 'Channels' }).getByText(LONG.slice(0, 99));
    assert.equal(await name.evaluate((element) => getComputedStyle(element.closest('.nav-text')).textOverflow), 'ellipsis');
  });

  const places = [
    ['home', '#/', '.channels .nav-link'],
    ['channel', `#/channel/${long}`, '.message'],
    ['channel board', `#/channel/${long}/tickets`, '.card'],
    ['board', '#/tickets', '.card'],
    ['ticket', `#/message/${ticket}`, '.comment'],
    ['message', `#/message/${message}`, '.original'],
    ['notifications', '#/notifications', '.notification'],
    ['details', `#/channel/${long}`, '.message', () => page.getByRole('button', { name: 'Channel details' }).click()],
    ['jump', `#/channel/${long}`, '.message', () => page.keyboard.press('Control+k')],
    ['templates', `#/channel/${long}`, '.message', () => page.locator('summary[aria-label="Templates"]').click()],
    ['new ticket', '#/tickets', '.card', () => page.getByRole('button', { name: 'New ticket' }).click()],
    ['nowhere', '#/channel/100%', '.empty'],
  ];
  const found = [];
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    for (const [name, hash, ready, open] of places) {
      await ada.goto('#/dashboard');
      await ada.goto(hash);
      await page.locator(ready).first().waitFor();
      await open?.();
      for (const what of await page.evaluate(OUTSIDE)) found.push(`${name} at ${width} px: ${what}`);
      if (open) await page.keyboard.press('Escape');
    }
  }
  assert.deepEqual(found, []);
  assert.deepEqual(fixture.errors(), []);
});

test('a long message is folded, and unfolds on demand', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const { page } = ada;
  const channelId = await ada.channel('garden');
  const lines = Array.from({ length: 6_000 }, (_, index) => `l ${index}`).join('\n').slice(0, 39_999);
  await ada.goto(`#/channel/${channelId}`);
  await page.getByText('Nothing has been written here yet.').waitFor();
  await ada.paste(lines);
  const row = page.locator('.message:not(.pending)');
  await row.getByRole('button', { name: /Show all [\d]+ lines/ }).waitFor();
  assert.ok((await row.boundingBox()).height < 600);
  await row.getByRole('button', { name: /Show all/ }).click();
  await row.getByRole('button', { name: 'Show less', expanded: true }).waitFor();
  assert.ok((await row.boundingBox()).height > 20_000);
  assert.ok((await row.locator('.message-text').textContent()).endsWith(lines.slice(-10)));
  await row.getByRole('button', { name: 'Show less' }).click();
  await row.getByRole('button', { name: /Show all/ }).waitFor();
  // A long message without line breaks and a long comment are folded, a short message is not.
  await ada.post({ channelId, content: 'word '.repeat(5_000) });
  const id = await ada.post({ channelId, content: 'short' });
  await ada.ask('mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }', { input: { messageId: id, content: lines } });
  await page.locator('.message', { hasText: 'word word' }).getByRole('button', { name: 'Show all', exact: true }).waitFor();
  assert.equal(await page.locator('.message', { hasText: 'short' }).getByRole('button').count(), 0);
  await ada.goto(`#/message/${id}`);
  await page.locator('.comment').getByRole('button', { name: /Show all/ }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('a right-to-left name does not reorder the text around it', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const { page } = ada;
  const channelId = await ada.channel('שלום 7');
  await ada.post({ channelId, content: 'short' });
  const ticket = await ada.post({ channelId, title: 'ערבית', content: 'x', ticket: {} });
  await ada.goto(`#/channel/${channelId}`);
  await ada.waitForMessage('short');
  const isolated = (selector) => page.locator(selector).first().evaluate((element) =>
    Boolean(element.querySelector('bdi')) && getComputedStyle(element.querySelector('bdi')).unicodeBidi === 'isolate');
  for (const selector of ['.page-title h1', '.channels .nav-text', '.message-head b', '.message-title a', '.account-name']) {
    assert.ok(await isolated(selector), selector);
  }
  await ada.goto('#/tickets');
  await page.locator('.card').waitFor();
  for (const selector of ['.card-title', '.card-channel']) assert.ok(await isolated(selector), selector);
  await ada.goto(`#/message/${ticket}`);
  await page.locator('.original').waitFor();
  for (const selector of ['.page-title h1', '.page-title p', '.original-head b']) assert.ok(await isolated(selector), selector);
  assert.deepEqual(fixture.errors(), []);
});

test('mentions are highlighted; code, addresses and packages are not', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const { page } = ada;
  const channelId = await ada.channel('garden');
  await ada.post({ channelId, content: 'Ask @ben, ＠zoe or (@eva.) but not `@code`, npm i @zoe/core, a@b.example or https://blog.example/@zoe/post' });
  await ada.goto(`#/channel/${channelId}`);
  await ada.waitForMessage('Ask');
  assert.deepEqual(await page.locator('.mention').allTextContents(), ['@ben', '＠zoe', '@eva']);
  assert.deepEqual(await page.locator('.message-text a').allTextContents(), ['https://blog.example/@zoe/post']);
});

test('a ticket of a private channel can be assigned to its readers only, and an assignee who is no reader is reported', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const ben = await fixture.openUser('ben');
  await fixture.openUser('eve');
  const { page } = ada;
  const { createChannel } = await ada.ask('mutation { createChannel(input: { name: "leads", visibility: PRIVATE }) { id } }');
  const channelId = createChannel.id;
  await ada.ask('mutation ($channelId: ID!, $userId: ID!) { addMember(channelId: $channelId, userId: $userId) { id } }', { channelId, userId: ben.id });
  const ticket = await ada.post({ channelId, title: 'Secret', content: 'x', ticket: { assigneeId: ben.id } });
  const names = async (select) => {
    // The assignee is an option before the members are loaded.
    await select.locator('option', { hasText: 'Ada Ahlgren' }).waitFor({ state: 'attached' });
    return (await select.locator('option').allTextContents()).sort();
  };
  await ada.goto(`#/message/${ticket}`);
  assert.deepEqual(await names(page.getByRole('combobox', { name: 'Assignee' })), ['Ada Ahlgren', 'Ben Baker', 'Nobody']);
  await ada.goto(`#/channel/${channelId}`);
  await page.getByRole('button', { name: 'Make it a ticket' }).click();
  assert.deepEqual(await names(page.getByRole('combobox', { name: 'Assignee' })), ['Ada Ahlgren', 'Ben Baker', 'Nobody']);
  // The assignee leaves the channel after the assignment.
  await ada.ask('mutation ($channelId: ID!, $userId: ID!) { removeMember(channelId: $channelId, userId: $userId) { id } }', { channelId, userId: ben.id });
  await ada.goto(`#/message/${ticket}`);
  await page.getByText('Ben Baker is not a member of this private channel, and does not see this ticket.').waitFor();
  assert.deepEqual(fixture.errors(), []);
});
