// A page with a channel of thousands of messages, in which a program writes 50 messages per second.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

const MESSAGES = 5_000;
const PER_SECOND = 50;
const SECONDS = 8;
const LONG_TASK_MS = 50;

test(`${MESSAGES} messages, and ${PER_SECOND} more a second`, { timeout: 240_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const ben = await fixture.openUser('ben', { signIn: false });
  await ben.register();
  const channelId = await ada.channel('busy');
  await fill(ben, channelId);
  // The operations of a batch run concurrently, so their order is random. This message is certainly the last one.
  await ben.post({ channelId, content: 'This is the last one.' });
  const { page } = ada;
  await ada.goto(`#/channel/${channelId}`);
  await page.locator('.message', { hasText: 'This is the last one.' }).waitFor();

  await t.test('scrolling back loads all messages', async () => {
    await watch(page);
    const started = Date.now();
    await page.evaluate(async () => {
      const list = document.querySelector('.message-list');
      while (!document.querySelector('.message-list > .hint')?.textContent.includes('beginning')) {
        list.scrollTop = 0;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      list.scrollTop = 0;
    });
    assert.equal(await page.locator('.message').count(), MESSAGES + 1);
    t.diagnostic(`scrolled back through ${MESSAGES} messages in ${Date.now() - started} ms: ${await longTasks(page)}`);
  });

  await t.test('the scroll position stays the same while messages arrive', async () => {
    await page.evaluate(() => document.querySelectorAll('.message')[1000].scrollIntoView());
    await page.waitForTimeout(300);
    const place = () => page.evaluate(() => document.querySelectorAll('.message')[1000].getBoundingClientRect().top);
    const before = await place();
    await watch(page);
    await pour(ben, channelId, 'while reading');
    t.diagnostic(`all ${MESSAGES} on the page, ${PER_SECOND} a second for ${SECONDS} s: ${await longTasks(page)}`);
    assert.ok(Math.abs((await place()) - before) < 2, `moved from ${before} to ${await place()}`);
  });

  await t.test('at the end the list follows new messages, and typing is not disturbed', async () => {
    await page.getByRole('button', { name: /new messages/ }).click();
    await watch(page);
    const pouring = pour(ben, channelId, 'while writing');
    await page.locator('.composer textarea').pressSequentially('Is anybody writing as much as I do?', { delay: 60 });
    await pouring;
    await page.locator('.message', { hasText: `while writing ${PER_SECOND * SECONDS}.` }).waitFor();
    t.diagnostic(`following, ${PER_SECOND} a second for ${SECONDS} s: ${await longTasks(page)}`);
    assert.equal(await page.locator('.composer textarea').inputValue(), 'Is anybody writing as much as I do?');
    const distance = await page.evaluate(() => {
      const list = document.querySelector('.message-list');
      return list.scrollHeight - list.scrollTop - list.clientHeight;
    });
    assert.ok(distance < 40, `${distance} px from the end`);
  });
  assert.deepEqual(fixture.errors(), []);
});

// Creates the messages with 25 mutations per operation and 10 operations per request, within the limits of the server.
async function fill(user, channelId) {
  const operation = (from) => ({
    query: `mutation {${Array.from({ length: 25 }, (_, index) =>
      `m${index}: createMessage(input: { channelId: ${channelId}, content: "This is message number ${from + index}. ${'It says something. '.repeat((from + index) % 7)}" }) { id }`).join('\n')}}`,
  });
  for (let from = 1; from <= MESSAGES; from += 250) {
    const body = JSON.stringify(Array.from({ length: 10 }, (_, index) => operation(from + index * 25)));
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${user.token}` };
    const answers = await (await fetch(`${user.server.origin}/graphql`, { method: 'POST', headers, body })).json();
    assert.ok(answers.every(({ errors }) => !errors), JSON.stringify(answers[0].errors));
  }
}

async function pour(user, channelId, text) {
  const posts = [];
  for (let number = 1; number <= PER_SECOND * SECONDS; number += 1) {
    posts.push(user.post({ channelId, content: `${text} ${number}.` }));
    await new Promise((resolve) => setTimeout(resolve, 1000 / PER_SECOND));
  }
  await Promise.all(posts);
}

function watch(page) {
  return page.evaluate(() => {
    window.longTasks = [];
    window.observer?.disconnect();
    window.observer = new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map(({ duration }) => Math.round(duration))));
    window.observer.observe({ type: 'longtask' });
  });
}

async function longTasks(page) {
  const tasks = await page.evaluate(() => window.longTasks);
  const longest = Math.max(0, ...tasks);
  return `${tasks.length} tasks over ${LONG_TASK_MS} ms, the longest ${longest} ms, ${tasks.reduce((sum, each) => sum + each, 0)} ms in all`;
}
