// A late answer does not navigate away from the page that the user opened, and does not close a dialog or an editor.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openFixture } from './fixture.mjs';

// Opens a page for a user whose server frames can be delayed. After hold(pattern), every operation with a matching
// frame is held until release(). isHeld resolves at the first held frame. A frame of the page is held too if it
// matches.
async function setUp(t) {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  const { page } = ada;
  let pattern = null;
  let onHeld = () => {};
  let waiting = [];
  const ids = new Set();
  // The frames that the page has sent.
  const sent = [];
  const sendHeld = () => {
    ids.clear();
    for (const send of waiting) send();
    waiting = [];
  };
  await page.routeWebSocket(/\/graphql$/, (socket) => {
    const server = socket.connectToServer();
    const pass = (frame, send) => {
      const { id } = JSON.parse(frame);
      if (pattern?.test(frame)) ids.add(id);
      if (!ids.has(id)) return send();
      waiting.push(send);
      return onHeld();
    };
    socket.onMessage((frame) => {
      sent.push(frame);
      pass(frame, () => server.send(frame));
    });
    server.onMessage((frame) => pass(frame, () => socket.send(frame)));
  });
  page.on('dialog', (dialog) => dialog.accept());
  return {
    fixture,
    ada,
    page,
    sent,
    hold(one) {
      pattern = one;
      return { isHeld: new Promise((resolve) => (onHeld = resolve)) };
    },
    // Releases the held frames and holds those that match another pattern.
    holdInstead(other) {
      pattern = other;
      sendHeld();
    },
    // Resolves when the page has handled the frames: it shows a channel that was created after them.
    async release(name) {
      pattern = null;
      sendHeld();
      await ada.channel(name);
      await page.getByRole('navigation', { name: 'Channels' }).getByRole('link', { name }).waitFor();
    },
    goTo: (name) => page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name }).click(),
    hash: () => page.evaluate(() => location.hash),
  };
}

// The address changes after a rendering and before the effects of that rendering.
for (const [moment, selector] of [['as it appears', '.shell'], ['as the channels appear', '.channels li a']]) {
  test(`the home page does not redirect a user who opens another page ${moment}`, { timeout: 120_000 }, async (t) => {
    const { fixture, ada, page, hash } = await setUp(t);
    await ada.register();
    await ada.channel('garden');
    await ada.goto('');
    await page.evaluate((selector) => new MutationObserver((_, observer) => {
      if (!document.querySelector(selector)) return;
      observer.disconnect();
      location.hash = '#/dashboard';
    }).observe(document.body, { subtree: true, childList: true }), selector);
    await ada.submitSignIn();
    await page.locator('.metric').first().waitFor();
    await page.getByRole('link', { name: 'garden' }).waitFor();
    assert.equal(await hash(), '#/dashboard');
    assert.deepEqual(fixture.errors(), []);
  });
}

test('a channel that is created after its dialog was closed is not opened', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page, hold, release, goTo, hash } = await setUp(t);
  await ada.signIn();
  const create = async (name) => {
    await page.getByRole('button', { name: 'New channel or room' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill(name);
  };
  const { isHeld } = hold(/"createChannel"/);
  await create('garden');
  await page.getByRole('button', { name: 'Create' }).click();
  await isHeld;
  await page.keyboard.press('Escape');
  await goTo('Tickets');
  await create('orchard');
  await release('meadow');
  assert.equal(await page.getByRole('dialog').getByLabel('Name').inputValue(), 'orchard');
  assert.equal(await hash(), '#/tickets');
  // The dialog that is still open does navigate.
  await page.getByRole('button', { name: 'Create' }).click();
  await page.getByRole('heading', { name: 'orchard' }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('a dialog that is closed before the lookup of the name is answered creates no channel', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page, sent, hold, release } = await setUp(t);
  await ada.signIn();
  const { isHeld } = hold(/"data":\{"channel":null/);
  await page.getByRole('button', { name: 'New channel or room' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('garden');
  await page.getByRole('button', { name: 'Create' }).click();
  await isHeld;
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await release('meadow');
  assert.deepEqual(sent.filter((frame) => frame.includes('createChannel(')), []);
  assert.equal((await ada.ask('{ channel(name: "garden") { id } }')).channel, null);
  assert.deepEqual(fixture.errors(), []);
});

async function deleteMessage({ ada, page }, id) {
  await ada.goto(`#/message/${id}`);
  await page.getByRole('button', { name: 'Delete' }).click();
}

async function deleteChannel({ ada, page }, id) {
  await ada.goto(`#/channel/${id}`);
  await page.getByRole('button', { name: 'Channel details' }).click();
  await page.getByRole('button', { name: 'Delete this channel' }).click();
}

for (const [what, remove, answer] of [['message', deleteMessage, /"deleteMessage"/], ['channel', deleteChannel, /"deleteChannel"/]]) {
  test(`the deletion of a ${what} leads away from its own page only`, { timeout: 120_000 }, async (t) => {
    const context = await setUp(t);
    const { fixture, ada, page, hold, release, goTo, hash } = context;
    await ada.signIn();
    const make = async (name) => {
      const channelId = await ada.channel(name);
      return what === 'channel' ? channelId : ada.post({ channelId, content: 'To be deleted' });
    };
    const [first, second] = [await make('apples'), await make('pears')];
    const { isHeld } = hold(answer);
    await remove(context, first);
    await isHeld;
    await page.keyboard.press('Escape');
    await goTo('Dashboard');
    await release('plums');
    assert.equal(await hash(), '#/dashboard');
    await remove(context, second);
    await page.getByRole('heading', { name: what === 'channel' ? 'plums' : 'pears' }).waitFor();
    assert.deepEqual(fixture.errors(), []);
  });
}

test('the home page does not choose a channel that was just deleted', { timeout: 120_000 }, async (t) => {
  const context = await setUp(t);
  const { fixture, ada, page, hold } = context;
  await ada.signIn();
  await ada.channel('apples');
  const pears = await ada.channel('pears');
  // The answer arrives before the event.
  hold(/"ChannelDeleted"/);
  await deleteChannel(context, pears);
  await page.getByRole('heading', { name: 'apples' }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('a change of a channel that arrives while the channel is deleted does not insert it again', { timeout: 120_000 }, async (t) => {
  const context = await setUp(t);
  const { fixture, ada, page, hold, holdInstead } = context;
  await ada.signIn();
  await ada.channel('apples');
  const id = await ada.channel('pears');
  const { isHeld } = hold(/deleteChannel\(/);
  await deleteChannel(context, id);
  await isHeld;
  await ada.ask('mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { id } }', { input: { id, name: 'quinces' } });
  const channels = page.getByRole('navigation', { name: 'Channels' });
  await channels.getByRole('link', { name: 'quinces' }).waitFor();
  // The answer arrives before the event of the deletion.
  holdInstead(/"ChannelDeleted"/);
  await page.getByRole('heading', { name: 'apples' }).waitFor();
  assert.equal(await channels.getByRole('link', { name: 'quinces' }).count(), 0);
  assert.deepEqual(fixture.errors(), []);
});

test('the editor cannot be changed or saved again while a save waits for its answer', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page, hold, release } = await setUp(t);
  await ada.signIn();
  const channelId = await ada.channel('garden');
  await ada.goto(`#/message/${await ada.post({ channelId, content: 'As it was' })}`);
  await page.getByRole('button', { name: 'Edit' }).click();
  const editor = page.locator('.editor textarea');
  await editor.fill('Saved');
  const { isHeld } = hold(/"updateMessage"/);
  await page.getByRole('button', { name: 'Save' }).click();
  await isHeld;
  assert.equal(await page.getByRole('button', { name: 'Save' }).isDisabled(), true);
  assert.equal(await page.locator('.editor input').isEditable(), false);
  await editor.focus();
  await page.keyboard.type(' and more');
  assert.equal(await editor.inputValue(), 'Saved');
  await release('released');
  await editor.waitFor({ state: 'detached' });
  await page.locator('.original-text', { hasText: /^Saved$/ }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('an editor whose save was refused can be saved again', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page } = await setUp(t);
  await ada.signIn();
  const channelId = await ada.channel('garden');
  const id = await ada.post({ channelId, content: 'As it was' });
  await ada.goto(`#/message/${id}`);
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.locator('.editor textarea').fill('Mine');
  await ada.ask('mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { id } }', { input: { id, content: 'From elsewhere' } });
  await page.getByText('From elsewhere').waitFor({ state: 'attached' });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('alert').waitFor();
  await page.locator('.editor textarea').fill('Mine after all');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('.original-text', { hasText: 'Mine after all' }).waitFor();
  assert.deepEqual(fixture.errors(), []);
});

test('an answer does not close an editor that was opened after the request', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page, hold, release } = await setUp(t);
  await ada.signIn();
  const channelId = await ada.channel('garden');
  const id = await ada.post({ channelId, content: 'As it was' });
  await ada.goto(`#/message/${id}`);
  const editor = page.locator('.editor textarea');
  const edit = async (text) => {
    await page.getByRole('button', { name: 'Edit' }).click();
    await editor.fill(text);
  };
  const { isHeld } = hold(/"updateMessage"/);
  await edit('Saved');
  await page.getByRole('button', { name: 'Save' }).click();
  await isHeld;
  await page.getByRole('button', { name: 'Cancel' }).click();
  await edit('Still being written');
  await release('released');
  assert.equal(await editor.inputValue(), 'Still being written');
  assert.deepEqual(fixture.errors(), []);
});

test('an answer does not close a dialog that was opened after the request', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page, hold, release } = await setUp(t);
  await ada.signIn();
  const channelId = await ada.channel('garden');
  await ada.goto(`#/channel/${channelId}`);
  await page.locator('.composer textarea').fill('A text');
  const name = page.getByLabel('Name of the template');
  const save = async (text) => {
    await page.locator('summary[aria-label="Templates"]').click();
    await page.getByRole('button', { name: 'Save this text as a template…' }).click();
    await name.fill(text);
  };
  const { isHeld } = hold(/"addTemplate"/);
  await save('One');
  await page.getByRole('button', { name: 'Save' }).click();
  await isHeld;
  await page.keyboard.press('Escape');
  await save('Another');
  await release('released');
  assert.equal(await name.inputValue(), 'Another');
  assert.deepEqual(fixture.errors(), []);
});

test('a ticket is offered to the readers of the channel that was chosen last', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page, hold, release } = await setUp(t);
  const ben = await fixture.openUser('ben', { signIn: false });
  await ben.register();
  await ada.signIn();
  const make = async (name) =>
    (await ada.ask('mutation ($input: CreateChannelInput!) { createChannel(input: $input) { id } }', { input: { name, visibility: 'PRIVATE' } })).createChannel.id;
  await make('alone');
  const channelId = await make('both');
  await ada.ask('mutation ($channelId: ID!, $userId: ID!) { addMember(channelId: $channelId, userId: $userId) { id } }', { channelId, userId: ben.id });
  await ada.goto('#/tickets');
  const { isHeld } = hold(/"name":"both".*"members"/);
  await page.getByRole('button', { name: 'New ticket' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('combobox', { name: 'Channel' }).selectOption('both');
  await isHeld;
  await dialog.getByRole('combobox', { name: 'Channel' }).selectOption('alone');
  const assignees = dialog.getByRole('combobox', { name: 'Assignee' }).locator('option');
  await assignees.filter({ hasText: 'Ada' }).waitFor({ state: 'attached' });
  await release('released');
  assert.deepEqual(await assignees.allTextContents(), ['Nobody', 'Ada Ahlgren']);
  assert.deepEqual(fixture.errors(), []);
});

test('a moved card takes the focus only if the user has not moved it', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page } = await setUp(t);
  await ada.signIn();
  const channelId = await ada.channel('garden');
  await ada.post({ channelId, title: 'Printer on fire', content: 'Help', ticket: {} });
  await ada.goto('#/tickets');
  await page.locator('.card a').focus();
  const focused = await page.evaluate(async () => {
    const key = { key: 'ArrowRight', shiftKey: true, bubbles: true, cancelable: true };
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', key));
    document.querySelector('.jump-button').focus();
    // The focus follows the card after two frames.
    for (let frames = 0; frames < 4; frames += 1) await new Promise(requestAnimationFrame);
    return document.activeElement.className;
  });
  await page.locator('.column[data-status="IN_PROGRESS"] .card').waitFor();
  assert.equal(focused, 'jump-button');
  assert.deepEqual(fixture.errors(), []);
});

test('the sign-in page has its own title', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page } = await setUp(t);
  await ada.signIn();
  const channelId = await ada.channel('garden');
  await ada.goto(`#/channel/${channelId}`);
  await page.waitForFunction(() => document.title === 'garden – tidings');
  await page.locator('summary[aria-label="Account"]').click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
  assert.equal(await page.title(), 'tidings');
  assert.deepEqual(fixture.errors(), []);
});

test('the error of a sign-in form that was left is not shown in the next form', { timeout: 120_000 }, async (t) => {
  const { fixture, ada, page } = await setUp(t);
  await ada.register();
  await ada.goto('');
  let release;
  const isReleased = new Promise((resolve) => (release = resolve));
  const refusal = { errors: [{ message: 'no', extensions: { code: 'UNAUTHENTICATED' } }] };
  await page.route('**/graphql', (route) => isReleased.then(() => route.fulfill({ json: refusal })));
  await page.getByLabel('Username').fill('ada');
  await page.getByLabel('Password').fill('not the password');
  const isLogin = (request) => request.postData()?.includes('login(');
  const ended = page.waitForEvent('requestfailed', isLogin);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByRole('button', { name: 'Create account', exact: true }).and(page.locator(':enabled')).waitFor();
  release();
  await ended;
  assert.equal(await page.getByRole('alert').count(), 0);
  assert.deepEqual(fixture.errors(), []);
});

test('a page that was left does not subscribe again after an internal error of the server', { timeout: 120_000 }, async (t) => {
  const fixture = await openFixture();
  t.after(() => fixture.close());
  const ada = await fixture.openUser('ada', { signIn: false });
  const { page } = ada;
  const sockets = [];
  const subscribed = [];
  let isRefusing = false;
  await page.routeWebSocket(/\/graphql$/, (socket) => {
    sockets.push(socket);
    // A socket that is never acknowledged until the test closes it.
    if (isRefusing) return;
    const server = socket.connectToServer();
    socket.onMessage((frame) => {
      subscribed.push(/presenceChanged|metricUpdated/.exec(frame)?.[0]);
      server.send(frame);
    });
  });
  await ada.signIn();
  const channelId = await ada.channel('garden');
  await ada.goto(`#/channel/${channelId}`);
  await page.locator('.presence').waitFor();
  isRefusing = true;
  const before = sockets.length;
  await sockets.at(-1).close({ code: 1012, reason: 'Service restart' });
  await page.waitForSelector('.connection-indicator:not([data-name="live"])', { state: 'attached' });
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Dashboard' }).click();
  await page.getByRole('heading', { name: 'Dashboard' }).waitFor();
  while (sockets.length === before) await new Promise((resolve) => setTimeout(resolve, 20));
  subscribed.length = 0;
  isRefusing = false;
  await sockets.at(-1).close({ code: 4500, reason: 'Internal server error' });
  await ada.waitUntilLive();
  // The dashboard subscribes after the same delay as the channel would.
  await page.locator('.metric').first().waitFor();
  assert.deepEqual(subscribed.filter(Boolean), ['metricUpdated']);
});
