// Takes screenshots of every page, at three widths and in both themes. They go to target/screenshots, and the two of
// the README to docs/images. `make screenshots` runs this script.

import { mkdirSync } from 'node:fs';
import { createSampleData, pages, openPage } from './sample-data.mjs';
import { openFixture } from './fixture.mjs';

const root = new URL('../../../', import.meta.url).pathname;
const directory = `${root}target/screenshots`;
const WIDTHS = [360, 768, 1280];
const THEMES = ['light', 'dark'];
const IN_README = { 'support-1280-light': 'channel.png', 'board-1280-dark': 'board.png' };

mkdirSync(directory, { recursive: true });
mkdirSync(`${root}docs/images`, { recursive: true });
const fixture = await openFixture();
try {
  const ada = await fixture.openUser('ada');
  const ben = await fixture.openUser('ben');
  const places = await createSampleData(ada, ben, await fixture.admin('root'));
  await ben.goto(`#/channel/${places.support}`);
  let taken = 0;
  const take = async (page, name) => {
    // Wait for the transitions of dialogs and menus.
    await page.waitForTimeout(250);
    await page.screenshot({ path: `${directory}/${name}.png` });
    if (IN_README[name]) await page.screenshot({ path: `${root}docs/images/${IN_README[name]}` });
    taken += 1;
  };
  for (const width of WIDTHS) {
    await ada.page.setViewportSize({ width, height: width < 500 ? 740 : 800 });
    for (const colorScheme of THEMES) {
      await ada.page.emulateMedia({ colorScheme });
      for (const each of pages(places)) {
        await openPage(ada, each);
        await take(ada.page, `${each.name}-${width}-${colorScheme}`);
      }
      if (width === WIDTHS[0]) {
        await ada.goto('#/');
        await take(ada.page, `home-${width}-${colorScheme}`);
      }
    }
  }
  const newUser = await fixture.openUser('eve', { signIn: false });
  await newUser.goto('');
  for (const width of WIDTHS) {
    for (const colorScheme of THEMES) {
      await newUser.page.setViewportSize({ width, height: 800 });
      await newUser.page.emulateMedia({ colorScheme });
      await take(newUser.page, `sign-in-${width}-${colorScheme}`);
    }
  }
  console.log(`${taken} pictures are in ${directory}`);
} finally {
  await fixture.close();
}
