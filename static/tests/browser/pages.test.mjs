// The size of the first load, and the accessibility of every page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'node:test';
import { createSampleData, pages, openPage } from './sample-data.mjs';
import { openFixture } from './fixture.mjs';

const MOST_BYTES = 300_000;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

test('the pages are small and accessible', { timeout: 600_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const ben = await fixture.openUser('ben', { viewport: { width: 360, height: 740 }, colorScheme: 'dark', hasTouch: true, isMobile: true });
  const places = await createSampleData(ada, ben, await fixture.admin('root'));

  await t.test('the first load with an empty cache is below the size limit', async () => {
    const page = await (await fixture.browser.newContext()).newPage();
    const protocol = await page.context().newCDPSession(page);
    await protocol.send('Network.enable');
    let bytes = 0;
    protocol.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
    await page.goto(fixture.server.origin, { waitUntil: 'networkidle' });
    await page.context().close();
    t.diagnostic(`first load: ${bytes} bytes on the wire, headers included`);
    assert.ok(bytes > 10_000 && bytes < MOST_BYTES, `${bytes} bytes`);
  });

  await t.test('axe reports no serious violation on any page, on a desktop and, in the dark theme, on a phone', async () => {
    const found = [];
    const checkPage = async (user, name) => {
      // Wait for transitions: axe would measure the colours in the middle of them.
      await user.page.waitForTimeout(200);
      await user.page.evaluate(axe);
      const { violations } = await user.page.evaluate(() => window.axe.run());
      for (const { id, impact, nodes } of violations) found.push(`${user.username}, ${name}: ${impact} ${id}: ${nodes[0].html.slice(0, 160)}`);
    };
    for (const user of [ada, ben]) {
      for (const each of pages(places)) {
        await openPage(user, each);
        await checkPage(user, each.name);
      }
    }
    const newUser = await fixture.openUser('eve', { signIn: false });
    await newUser.goto('');
    await checkPage(newUser, 'sign in');
    await newUser.page.getByRole('button', { name: 'Create an account' }).click();
    await checkPage(newUser, 'register');
    await newUser.submitSignIn('Create account');
    await newUser.waitUntilLive();
    await newUser.page.locator('.account-name', { hasText: 'eve' }).waitFor();
    for (const line of found) t.diagnostic(line);
    assert.deepEqual(found.filter((line) => /: (serious|critical) /.test(line)), []);
  });

  t.diagnostic(`requests that left the machine: ${fixture.foreignRequests().length}; console errors: ${fixture.errors().length}`);
  assert.deepEqual(fixture.foreignRequests(), []);
  assert.deepEqual(fixture.errors(), []);
});
