// All functions of the web client can be used with the keyboard alone.

import assert from 'node:assert/strict';
import test from 'node:test';
import { createSampleData } from './sample-data.mjs';
import { openFixture } from './fixture.mjs';

test('the web client can be used with the keyboard alone', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const ben = await fixture.openUser('ben', { signIn: false });
  await ben.register();
  await createSampleData(ada, ben, await fixture.admin('root'));
  const { page } = ada;
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  const focused = (selector) => page.waitForFunction((selector) => document.activeElement.matches(selector), selector);

  await t.test('Ctrl+K opens a channel by a part of its name and focuses its composer', async () => {
    await press('Control+k');
    await page.keyboard.type('gener');
    await press('Enter');
    await page.getByRole('heading', { name: 'general' }).waitFor();
    await focused('.composer textarea');
    await page.keyboard.type('By hand,');
    await press('Shift+Enter');
    await page.keyboard.type('in two lines');
    await press('Enter');
    await page.locator('.message:not(.pending)', { hasText: 'By hand,\nin two lines' }).waitFor();
  });

  await t.test('arrow keys, Enter and Escape move between the composer, the messages and a message page', async () => {
    await press('ArrowUp');
    await focused('.message');
    await press('ArrowUp');
    assert.match(await page.evaluate(() => document.activeElement.textContent), /Let us talk about it tomorrow/);
    await press('Escape');
    await focused('.composer textarea');
    await press('Alt+ArrowDown');
    await page.getByRole('heading', { name: 'support' }).waitFor();
    await focused('.composer textarea');
    await page.locator('.message', { hasText: 'price list' }).waitFor();
    await press('ArrowUp', 'ArrowUp', 'Enter');
    await page.getByRole('heading', { name: 'New chairs' }).waitFor();
  });

  await t.test('arrow keys move between cards, and Shift with an arrow key moves a card', async () => {
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Tickets' }).focus();
    await press('Enter');
    await page.locator('.card a').first().focus();
    await press('ArrowDown', 'ArrowRight');
    assert.match(await page.evaluate(() => document.activeElement.textContent), /The till forgets/);
    await press('ArrowLeft', 'Shift+ArrowRight');
    await page.locator('.column[data-status="IN_PROGRESS"] .card', { hasText: 'Door of the cold room' }).waitFor();
    await page.getByRole('status').filter({ hasText: 'moved to In progress' }).waitFor();
    await page.waitForFunction(() => document.activeElement.closest('.card')?.dataset.title.startsWith('Door'));
    await press('Enter');
    await page.getByRole('heading', { name: 'Door of the cold room does not close' }).waitFor();
  });

  await t.test('the composer creates a ticket', async () => {
    await press('Alt+ArrowDown');
    await focused('.composer textarea');
    await press('Tab', 'Tab', 'Enter');
    await focused('.ticket-title');
    await page.keyboard.type('Written without a mouse');
    await press('Tab', 'u', 'Tab', 'Tab', 'Tab');
    await focused('.composer textarea');
    await page.keyboard.type('Nobody touched one.');
    await press('Enter');
    const ticket = page.locator('.message:not(.pending)', { hasText: 'Written without a mouse' });
    await ticket.locator('.chip', { hasText: 'Urgent' }).waitFor();
  });

  await t.test('a dialog takes the focus and restores it when it closes', async () => {
    const help = page.getByRole('button', { name: 'New channel or room' });
    await help.focus();
    await press('Enter');
    await focused('dialog input[name="name"]');
    await press('Escape');
    await page.waitForFunction(() => !document.querySelector('dialog'));
    await focused('.sidebar-title button');
    await press('?');
    await page.getByRole('heading', { name: 'Keyboard' }).waitFor();
  });
  assert.deepEqual(fixture.errors(), []);
});
