// The tabs of GraphiQL's first visit run as they are: without an account as far as that goes, and signed in.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openStage } from './stage.mjs';

// What the page shows as the answer, as data; null while there is none.
const ANSWER = `(() => {
  const text = document.querySelector('.graphiql-response .CodeMirror')?.CodeMirror.getValue();
  try { return text ? JSON.parse(text) : null; } catch { return null; }
})()`;

test('every example runs as it is', { timeout: 240_000 }, async (t) => {
  const stage = await openStage();
  t.after(() => stage.close());
  const ada = await stage.enter('ada');
  const channelId = await ada.channel('first');
  await ada.post({ channelId, content: 'Hello' });
  const eve = await stage.enter('eve', { signIn: false });
  const { page } = eve;
  await eve.goto('graphiql');
  const tab = (name) => page.locator('.graphiql-tab', { hasText: name }).first().click();
  const stop = async () => {
    if (await page.locator('.graphiql-execute-button[aria-label^="Stop"]').count()) await page.locator('.graphiql-execute-button').click();
  };
  // Runs the tab, by name of the operation where it has several, and waits for an answer of which `isDue` holds.
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

  await t.test('without an account', async () => {
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

  await t.test('with the account that the last tab makes', async () => {
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
  // GraphiQL sends the name of the tab before once, when a tab is opened and run at once: 400, unknown operation.
  assert.deepEqual(stage.errors().filter((line) => !/status of 40[01]/.test(line)), []);
});
