// The GraphiQL page: the examples run unchanged, and sessions and operations are handled correctly.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

// An expression for the JSON in the response editor; null if there is none yet.
const ANSWER = `(() => {
  const text = document.querySelector('.graphiql-response .CodeMirror')?.CodeMirror.getValue();
  try { return text ? JSON.parse(text) : null; } catch { return null; }
})()`;

test('every example runs unchanged', { timeout: 240_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada');
  const channelId = await ada.channel('first');
  await ada.post({ channelId, content: 'Hello' });
  const eve = await fixture.openUser('eve', { signIn: false });
  const { page } = eve;
  await eve.goto('graphiql');
  // A click on the open tab resets its editors to the texts that GraphiQL stored last, up to 100 ms ago.
  const tab = async (name) => {
    const found = page.locator('.graphiql-tab', { hasText: name }).first();
    if (!/graphiql-tab-active/.test(await found.getAttribute('class'))) await found.click();
  };
  const stop = async () => {
    if (await page.locator('.graphiql-execute-button[aria-label^="Stop"]').count()) await page.locator('.graphiql-execute-button').click();
  };
  // Runs a tab (and selects an operation if it has several), and waits for an answer for which `isDue` returns true.
  const run = async (name, isDue, operation) => {
    await tab(name);
    await page.evaluate(`document.querySelector('.graphiql-response .CodeMirror').CodeMirror.setValue('')`);
    await page.locator('.graphiql-execute-button').click();
    if (operation) await page.getByRole('menuitem', { name: operation }).click();
    let answer;
    for (const deadline = Date.now() + 20_000; ; ) {
      answer = await page.evaluate(ANSWER);
      if (answer && isDue(answer)) return answer;
      assert.ok(Date.now() < deadline, `${name}: ${JSON.stringify(answer)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const variables = (values) => page.evaluate((text) =>
    document.querySelectorAll('.graphiql-editor-tool .CodeMirror')[0].CodeMirror.setValue(text), JSON.stringify(values));

  await t.test('anonymous users can run queries and subscriptions, and no mutation', async () => {
    const { data } = await run('Messages', ({ data, errors }) => data && !errors);
    const list = Object.values(data).find((value) => value?.nodes);
    assert.equal(list.nodes[0].content, 'Hello');
    const started = run('MessageAdded', ({ newestFirst }) => newestFirst?.[0]?.data?.messageAdded?.content === 'live');
    await page.locator('#status[data-state="live"]').waitFor();
    await ada.post({ channelId, content: 'live' });
    await started;
    await stop();
    await run('Events', ({ newestFirst }) => newestFirst?.some(({ data }) => data?.events.__typename === 'Checkpoint'));
    await stop();
    const refused = await run('Create', ({ errors }) => errors, 'CreateChannel');
    assert.equal(refused.errors[0].extensions.code, 'UNAUTHENTICATED');
  });

  await t.test('the example that registers an account signs the user in', async () => {
    await tab('Register');
    await variables({ name: 'eve', password: 'correct horse battery' });
    await run('Register', ({ data }) => data?.register?.token, 'Register');
    await page.locator('#who', { hasText: 'eve' }).waitFor();
    const { data } = await run('Create', ({ data }) => data?.createChannel, 'CreateChannel');
    assert.equal(data.createChannel.name, 'general');
    await run('Create', ({ data }) => data?.createMessage?.id, 'CreateMessage');
    const read = await run('Messages', ({ data, errors }) => data && !errors);
    const list = Object.values(read.data).find((value) => value?.nodes);
    assert.ok(list.nodes.some(({ content, author }) => content === 'Hello from GraphiQL' && author.displayName === 'eve'));
    await run('Events', ({ newestFirst }) => newestFirst?.some(({ data }) => data?.events.__typename === 'Checkpoint'));
    await stop();
  });
  assert.deepEqual(fixture.errors().filter((line) => !/status of 401/.test(line)), []);
});

// Opens a tab and presses the play button before any timer of the page can run. Resolves with the operations in the
// menu of the button. A tab with a single operation has no menu: then the list is empty and the operation runs.
function runAtOnce(page, name) {
  return page.evaluate(async (name) => {
    const found = [...document.querySelectorAll('.graphiql-tab')].find((tab) => tab.textContent.includes(name));
    found.querySelector('button').click();
    await Promise.resolve(); // React renders in a microtask
    const button = document.querySelector('.graphiql-execute-button');
    button.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true, button: 0 }));
    button.click();
    await Promise.resolve();
    return [...document.querySelectorAll('[role="menuitem"]')].map(({ textContent }) => textContent);
  }, name);
}

test('a tab that is run as soon as it is opened runs its own operation', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const eve = await fixture.openUser('eve', { signIn: false });
  const { page } = eve;
  const requestOf = (name) => page.waitForRequest((request) => request.postDataJSON()?.operationName === name);
  await eve.goto('graphiql');
  const open = async (name, operation) => {
    await page.locator('.graphiql-tab', { hasText: name }).first().click();
    // Wait for the delayed handler of GraphiQL that stores the text, so that it does not run during the next step.
    await page.waitForFunction((operation) => {
      const { CodeMirror: editor } = document.querySelector('.graphiql-query-editor .CodeMirror');
      return editor.operationName === operation && localStorage.getItem('graphiql:query') === editor.getValue();
    }, operation);
  };

  await open('Events', 'Events');
  assert.deepEqual(await runAtOnce(page, 'Create'), ['CreateChannel', 'CreateMessage']);
  await Promise.all([requestOf('CreateChannel'), page.getByRole('menuitem', { name: 'CreateChannel' }).click()]);

  assert.deepEqual(await runAtOnce(page, 'Register'), ['Register', 'Login']);
  // The menu handles keys only after it has got the focus.
  await page.waitForFunction(() => document.activeElement.closest('[role="menu"]'));
  await page.keyboard.press('Escape');
  await page.getByRole('menu').waitFor({ state: 'detached' });
  await open('Create', 'CreateChannel');
  assert.deepEqual((await Promise.all([runAtOnce(page, 'Messages'), requestOf('Messages')]))[0], []);

  // Ctrl+Enter runs the operation at the cursor.
  await open('Events', 'Events');
  const sent = requestOf('CreateMessage');
  await page.evaluate((name) => {
    [...document.querySelectorAll('.graphiql-tab')].find((tab) => tab.textContent.includes(name)).querySelector('button').click();
    const { CodeMirror: editor } = document.querySelector('.graphiql-query-editor .CodeMirror');
    editor.focus();
    editor.setCursor(editor.lineCount(), 0);
    editor.execCommand('goLineUp');
    editor.getInputField().dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 13, ctrlKey: true, bubbles: true }));
  }, 'Create');
  await sent;
  assert.deepEqual(fixture.errors().filter((line) => !/status of 401/.test(line)), []);
});

test('a sign-in dialog that is closed before the answer does not sign the user in', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  await ada.register();
  const { page } = ada;
  let release;
  const isReleased = new Promise((resolve) => (release = resolve));
  const answer = { data: { login: { token: ada.token } } };
  await page.route('**/graphql', (route) => {
    if (!route.request().postData()?.includes('login')) return route.fallback();
    return isReleased.then(() => route.fulfill({ json: answer }));
  });
  await ada.goto('graphiql');
  await page.locator('#sign-in-button').click();
  const sent = page.waitForRequest((request) => request.postData()?.includes('login'));
  await page.getByLabel('Username').fill('ada');
  await page.getByLabel('Password').fill('correct horse battery');
  await page.locator('#password-form button').click();
  const request = await sent;
  const ended = page.waitForEvent('requestfailed', (failed) => failed === request);
  await page.keyboard.press('Escape');
  await page.locator('#sign-in-button').click();
  release();
  await ended;
  await page.locator('#password-form button:enabled').waitFor();
  assert.equal(await page.locator('#sign-in').evaluate((dialog) => dialog.open), true);
  assert.equal(await page.locator('#sign-in-error').textContent(), '');
  assert.equal(await page.locator('#who').textContent(), 'anonymous');
});
