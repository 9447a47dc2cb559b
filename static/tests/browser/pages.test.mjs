// The size of the first load, and the accessibility of every page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'node:test';
import { furnish, pages, show } from './pages.mjs';
import { openStage } from './stage.mjs';

const MOST_BYTES = 300_000;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

test('the pages are small and accessible', { timeout: 600_000 }, async (t) => {
  const stage = await openStage();
  t.after(() => stage.close());
  const ada = await stage.enter('ada');
  const ben = await stage.enter('ben', { viewport: { width: 360, height: 740 }, colorScheme: 'dark', hasTouch: true, isMobile: true });
  const places = await furnish(ada, ben, await stage.admin('root'));

  await t.test('the first load with an empty cache is below the size limit', async () => {
    const page = await (await stage.browser.newContext()).newPage();
    const protocol = await page.context().newCDPSession(page);
    await protocol.send('Network.enable');
    let bytes = 0;
    protocol.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
    await page.goto(stage.server.origin, { waitUntil: 'networkidle' });
    await page.context().close();
    t.diagnostic(`first load: ${bytes} bytes on the wire, headers included`);
    assert.ok(bytes > 10_000 && bytes < MOST_BYTES, `${bytes} bytes`);
  });

  await t.test('axe reports no serious violation on any page, on a desktop and, in the dark theme, on a phone', async () => {
    const found = [];
    const look = async (person, name) => {
      // Wait for transitions: axe would measure the colours in the middle of them.
      await person.page.waitForTimeout(200);
      await person.page.evaluate(axe);
      const { violations } = await person.page.evaluate(() => window.axe.run());
      for (const { id, impact, nodes } of violations) found.push(`${person.username}, ${name}: ${impact} ${id}: ${nodes[0].html.slice(0, 160)}`);
    };
    for (const person of [ada, ben]) {
      for (const each of pages(places)) {
        await show(person, each);
        await look(person, each.name);
      }
    }
    const stranger = await stage.enter('eve', { signIn: false });
    await stranger.goto('');
    await look(stranger, 'sign in');
    await stranger.page.getByRole('button', { name: 'Create an account' }).click();
    await look(stranger, 'register');
    await stranger.fillIn('Create account');
    await stranger.isLive();
    await stranger.page.locator('.account-name', { hasText: 'eve' }).waitFor();
    for (const line of found) t.diagnostic(line);
    assert.deepEqual(found.filter((line) => /: (serious|critical) /.test(line)), []);
  });

  t.diagnostic(`requests that left the machine: ${stage.strangers().length}; console errors: ${stage.errors().length}`);
  assert.deepEqual(stage.strangers(), []);
  assert.deepEqual(stage.errors(), []);
});
