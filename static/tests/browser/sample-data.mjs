// Sample data, and the list of all pages that show it. Used by the tests and the screenshots.

export async function createSampleData(ada, ben, root) {
  const general = await ada.channel('general', 'What everybody should know');
  const support = await ada.channel('support', 'What customers report');
  await ada.channel('bakery', 'Orders and ovens');
  const users = { ada: ada.id, ben: ben.id };
  await ada.post({ channelId: general, title: 'Welcome', content: 'This board is live: open it twice and write.\nWhat you write here is there for everybody at once, also for those who come back later.' });
  await ben.post({ channelId: general, content: 'It is, @ada! I saw this without a reload.' });
  await ben.post({ channelId: general, content: 'The plan for the autumn is at https://example.org/autumn' });
  await ben.post({ channelId: general, content: PRICES });
  await ada.post({ channelId: general, content: 'Thank you @ben. Let us talk about it tomorrow at nine.' });
  const tickets = {};
  for (const [who, title, priority, assignee, status] of TICKETS) {
    const user = who === 'ada' ? ada : ben;
    const ticket = { priority, assigneeId: users[assignee] ?? null };
    tickets[title] = await user.post({ channelId: support, title, content: TEXTS[title] ?? 'Please have a look at it this week.', ticket });
    if (status) await user.ask('mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { id } }', { input: { id: tickets[title], ticket: { status } } });
  }
  const printer = tickets['Printer on fire'];
  const comment = (user, content) =>
    user.ask('mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }', { input: { messageId: printer, content } });
  await comment(ben, 'On my way, with a bucket.');
  await comment(ada, 'It is out. The paper tray is gone, the rest can be saved.');
  await comment(ben, 'I have ordered a new tray. It comes on Thursday.');
  await ada.post({ channelId: support, content: 'Somebody from the south branch asks when the new price list is out.' });
  const template = (name, content) =>
    ada.ask('mutation ($input: AddTemplateInput!) { addTemplate(input: $input) { id } }', { input: { name, content } });
  await template('Greeting', 'Thank you for writing to us. We look into it and come back to you today.');
  await template('Closing', 'We have mended it. Please tell us if it comes back.');
  const notify = (input) => root.ask('mutation ($input: NotifyUserInput!) { notifyUser(input: $input) { id } }', { input });
  await notify({ title: 'New opening hours', message: 'From Monday on we open at six.', priority: 'MEDIUM' });
  await notify({ userId: ada.id, title: 'The cold room is getting warm', message: '9 degrees since half past ten.', priority: 'URGENT' });
  const publish = (metric, value) => root.ask(`mutation { publishMetric(input: { metric: "${metric}", value: ${value} }) { metric } }`);
  for (const value of [212, 214, 219, 220]) await publish('oven_temperature', value);
  await publish('loaves_today', 348);
  return { general, support, printer };
}

const TICKETS = [
  ['ben', 'Invoices show the wrong year', 'HIGH', null],
  ['ada', 'Door of the cold room does not close', 'MEDIUM', 'ben'],
  ['ben', 'New aprons', 'LOW', null],
  ['ada', 'Printer on fire', 'URGENT', 'ben', 'IN_PROGRESS'],
  ['ben', 'The till forgets the discount for pupils', 'MEDIUM', 'ada', 'IN_PROGRESS'],
  ['ada', 'Flour is delivered twice', 'HIGH', 'ada', 'RESOLVED'],
  ['ben', 'New chairs', 'LOW', 'ben', 'CLOSED'],
];

const PRICES = Array.from({ length: 60 }, (_, index) => `No ${index + 1}: ${(2 + index / 10).toFixed(2)}`).join('\n');

const TEXTS = {
  'Printer on fire': 'The one on the second floor. There was smoke first, then more of it, and by the time I had found the plug it was burning.\n\nI have pulled the plug and opened the windows. Nobody is hurt.',
};

// The pages: name, route, a selector that must match before the page is complete, and a step that opens a dialog or
// menu.
export function pages({ general, support, printer }) {
  return [
    { name: 'channel', hash: `#/channel/${general}`, ready: '.message' },
    { name: 'support', hash: `#/channel/${support}`, ready: '.message' },
    { name: 'board', hash: '#/tickets', ready: '.card' },
    { name: 'board-new', hash: '#/tickets', ready: '.card', open: (page) => page.getByRole('button', { name: 'New ticket' }).click() },
    { name: 'channel-board', hash: `#/channel/${support}/tickets`, ready: '.card' },
    { name: 'ticket', hash: `#/message/${printer}`, ready: '.comment' },
    { name: 'notifications', hash: '#/notifications', ready: '.notification' },
    { name: 'dashboard', hash: '#/dashboard', ready: '.metric' },
    { name: 'jump', hash: `#/channel/${general}`, ready: '.message', open: (page) => page.keyboard.press('Control+k') },
    { name: 'details', hash: `#/channel/${general}`, ready: '.message', open: (page) => page.getByRole('button', { name: 'Channel details' }).click() },
    { name: 'templates', hash: `#/channel/${general}`, ready: '.message', open: (page) => page.locator('summary[aria-label="Templates"]').click() },
    {
      name: 'new-ticket', hash: `#/channel/${general}`, ready: '.message',
      open: (page) => page.getByRole('button', { name: 'Make it a ticket' }).click(),
    },
    { name: 'nowhere', hash: '#/channel/100%', ready: '.empty' },
    { name: 'unsent', hash: `#/channel/${general}`, ready: '.message', open: showUnsent },
  ];
}

// Opens the dialog with three failed entries: one of this channel, one of a deleted channel, one that is damaged. The
// entries are removed from the storage at once, so a reload forgets them.
async function showUnsent(page) {
  await page.evaluate(() => {
    const { id } = JSON.parse(localStorage.getItem('tidings.session')).user;
    const channelId = location.hash.split('/')[2];
    const entries = [
      { key: 'k1', kind: 'message', input: { channelId, content: 'The list of all prices:\n'.repeat(30) }, at: 1, error: 'TOO_LARGE' },
      { key: 'k2', kind: 'message', input: { channelId: '4711', content: 'Is anybody here?' }, at: 2, error: 'there is no channel 4711' },
      { key: 'k3', kind: 'message', at: 3 },
    ];
    const names = entries.map(({ key }) => `tidings.outbox.${id}.${key}`);
    entries.forEach((entry, index) => localStorage.setItem(names[index], JSON.stringify(entry)));
    dispatchEvent(new StorageEvent('storage', { key: names[0] }));
    for (const name of names) localStorage.removeItem(name);
  });
  await page.getByRole('button', { name: 'Show', exact: true }).click();
}

export async function openPage(user, { hash, ready, open }) {
  const { page } = user;
  await user.goto(hash);
  await page.reload();
  await user.waitUntilLive();
  await page.locator(ready).first().waitFor();
  if (open) await open(page);
}
