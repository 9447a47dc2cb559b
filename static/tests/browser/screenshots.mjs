// Takes screenshots of every page, at three widths and in both themes. They go to target/screenshots, and the two of the
// README to docs/images. `make screenshots` runs this script.

import { mkdirSync } from 'node:fs';
import { furnish, pages, show } from './pages.mjs';
import { openStage } from './stage.mjs';

const root = new URL('../../../', import.meta.url).pathname;
const directory = `${root}target/screenshots`;
const WIDTHS = [360, 768, 1280];
const THEMES = ['light', 'dark'];
const IN_README = { 'support-1280-light': 'channel.png', 'board-1280-dark': 'board.png' };

mkdirSync(directory, { recursive: true });
mkdirSync(`${root}docs/images`, { recursive: true });
const stage = await openStage();
try {
  const ada = await stage.enter('ada');
  const ben = await stage.enter('ben');
  const places = await furnish(ada, ben, await stage.admin('root'));
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
        await show(ada, each);
        await take(ada.page, `${each.name}-${width}-${colorScheme}`);
      }
      if (width === WIDTHS[0]) {
        await ada.goto('#/');
        await take(ada.page, `home-${width}-${colorScheme}`);
      }
    }
  }
  const stranger = await stage.enter('eve', { signIn: false });
  await stranger.goto('');
  for (const width of WIDTHS) {
    for (const colorScheme of THEMES) {
      await stranger.page.setViewportSize({ width, height: 800 });
      await stranger.page.emulateMedia({ colorScheme });
      await take(stranger.page, `sign-in-${width}-${colorScheme}`);
    }
  }
  console.log(`${taken} pictures are in ${directory}`);
} finally {
  await stage.close();
}
