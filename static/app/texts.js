// All texts of the web client. A translation is another file with the same keys.

const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

export const texts = {
  language: 'en',
  name: 'tidings',

  signIn: {
    title: 'Sign in',
    newTitle: 'Create an account',
    lead: 'Messages and tickets, live in every browser.',
    username: 'Username',
    displayName: 'Your name',
    displayNameHint: 'What others read. You may leave it empty.',
    password: 'Password',
    passwordHint: 'At least 8 characters',
    submit: 'Sign in',
    register: 'Create account',
    toRegister: 'New here? Create an account',
    toSignIn: 'You have an account? Sign in',
    ended: 'Your session has ended. Sign in again: what you wrote is kept.',
    refused: 'Wrong username or password.',
    invited: 'You are invited. Create an account.',
    with: (name) => `Sign in with ${name}`,
  },

  signedIn: {
    title: 'Signing in…',
    question: 'This link signs you in. Continue only if you have just signed in yourself: with a link from someone else, you would write in their account.',
    confirm: 'Continue',
    failed: 'You are not signed in. Try again.',
    back: 'Back to the sign-in page',
  },

  resetPassword: {
    title: 'Set a new password',
    password: 'New password',
    submit: 'Set the password and sign in',
    cancel: 'Cancel',
  },

  nav: {
    label: 'Main',
    channels: 'Channels',
    board: 'Tickets',
    notifications: 'Notifications',
    dashboard: 'Dashboard',
    newChannel: 'New channel or room',
    account: 'Account',
    signOut: 'Sign out',
    back: 'Back to channels',
    skip: 'Skip to the content',
    jump: 'Go to…',
    jumpHint: 'Go to a channel (Ctrl K)',
    help: 'Keyboard',
    graphiql: 'GraphiQL',
    noChannels: 'There is no channel yet. Make the first one.',
    unread: (number) => `${number > 99 ? '99+' : number} unread`,
    private: 'private',
  },

  notFound: {
    title: 'Not found',
    reason: 'There is nothing at this address.',
    home: 'Go to the channels',
  },

  fault: {
    title: 'This page has failed.',
    lead: 'What you wrote and did not send is kept. Load the page again, or go to another one.',
    reload: 'Load it again',
  },

  storage: {
    full: 'The storage that this browser has for this page is full: when you reload, you are signed out.',
    forbidden: 'Nothing is kept: this browser blocks cookies and site data. When you leave or reload, you are signed out, and unsent messages are lost.',
  },

  unsent: {
    title: 'Not sent',
    notSent: (number) => `${count(number, 'thing you wrote was', 'things you wrote were')} not sent.`,
    show: 'Show',
    nothing: 'Everything has been sent or discarded.',
    goneChannel: 'A channel that does not exist any more, or that you cannot read',
    comment: (id) => `A comment on message ${id}`,
    ticket: (id) => `A change of ticket ${id}`,
  },

  home: {
    title: 'Nobody has written anything yet',
    lead: 'Make a channel, and tell the others where to find it.',
    make: 'Make a channel',
  },

  connection: {
    live: 'live',
    connecting: 'connecting…',
    'catching-up': 'catching up…',
    reconnecting: (seconds) => (seconds > 0 ? `reconnecting in ${seconds} s` : 'reconnecting…'),
    offline: 'offline',
    waiting: (number) => `${count(number, 'message', 'messages')} waiting`,
    sending: (number) => `sending ${number}`,
  },

  channel: {
    messages: 'Messages',
    board: 'Tickets',
    views: 'View of this channel',
    empty: 'Nothing has been written here yet.',
    emptyHint: 'Write the first message below.',
    beginning: (name) => `This is the beginning of ${name}.`,
    older: 'Loading what came before…',
    newer: (number) => `${count(number, 'new message', 'new messages')}`,
    toEnd: 'To the newest message',
    loading: 'Loading…',
    list: (name) => `Messages in ${name}`,
    gone: 'This channel does not exist, or you cannot read it.',
    details: 'Channel details',
    broadcast: 'Update',
    private: 'Private channel',
  },

  message: {
    title: 'Message',
    sending: 'sending…',
    waiting: 'waiting',
    failed: 'not sent',
    retry: 'Try again',
    discard: 'Discard',
    edit: 'Edit',
    delete: 'Delete',
    save: 'Save',
    cancel: 'Cancel',
    edited: 'edited',
    confirmDelete: 'Delete this message and its comments?',
    confirmDeleteComment: 'Delete this comment?',
    comments: (number) => count(number, 'comment', 'comments'),
    noComments: 'No comments yet.',
    earlier: 'Show earlier comments',
    unfold: (lines) => (lines > 1 ? `Show all ${lines} lines` : 'Show all'),
    fold: 'Show less',
    gone: 'This message does not exist, or you cannot read it.',
    conflict: 'Somebody else has changed this message. Read the change, then save again.',
    open: (title) => `Open “${title}”`,
    actions: 'Actions',
    untitled: 'Message',
  },

  composer: {
    message: (name) => `Write to ${name}`,
    comment: 'Write a comment',
    send: 'Send',
    title: 'Title',
    ticket: 'Make it a ticket',
    notTicket: 'No ticket',
    hint: 'Enter sends, Shift Enter begins a new line',
    draftNotKept: 'This text is not kept over a reload: the storage of this browser is full.',
    templates: 'Templates',
    noTemplates: 'No templates yet.',
    saveTemplate: 'Save this text as a template…',
    templateName: 'Name of the template',
    deleteTemplate: (name) => `Delete the template “${name}”`,
  },

  ticket: {
    status: 'Status',
    priority: 'Priority',
    assignee: 'Assignee',
    nobody: 'Nobody',
    cannotSee: (name) => `${name} is not a member of this private channel, and does not see this ticket.`,
    notChanged: (title) => `“${title}” was not changed:`,
    statuses: { OPEN: 'Open', IN_PROGRESS: 'In progress', RESOLVED: 'Resolved', CLOSED: 'Closed' },
    priorities: { LOW: 'Low', MEDIUM: 'Medium', HIGH: 'High', URGENT: 'Urgent' },
  },

  board: {
    title: 'Tickets',
    everyone: 'Everyone',
    anyPriority: 'Any priority',
    everyChannel: 'All channels',
    channel: 'Channel',
    mine: 'Mine',
    empty: 'Nothing here',
    more: 'Show older ones',
    keys: 'Arrow keys move between cards. Shift with an arrow key moves the card. Enter opens it.',
    moved: (title, status) => `${title}: moved to ${status}`,
    move: (title) => `Status of “${title}”`,
    column: (status, number) => `${status}: ${count(number, 'ticket', 'tickets')}`,
    new: 'New ticket',
    text: 'What is to be done',
    create: 'Create ticket',
    waiting: (number) => `${count(number, 'new ticket', 'new tickets')} waiting to be sent`,
  },

  presence: {
    label: (number) => `${number} here now`,
    title: 'Here now',
  },

  notifications: {
    title: 'Notifications',
    empty: 'Nothing to read. You are up to date.',
    read: 'Mark as read',
    readAll: 'Mark all as read',
    bell: (number) => (number ? `Notifications, ${number} unread` : 'Notifications'),
    announcement: 'To everybody',
  },

  dashboard: {
    title: 'Dashboard',
    empty: 'No metrics have been published yet.',
    updated: (time) => `updated ${time}`,
    names: { active_users: 'Active users', open_tickets: 'Open tickets', messages_per_minute: 'Messages per minute' },
  },

  channelForm: {
    title: 'New channel or room',
    name: 'Name',
    nameHint: 'If a channel has this name already, it is opened.',
    description: 'What it is for',
    private: 'Private: only for its members',
    create: 'Create',
    members: 'Members',
    addMember: 'Add a member',
    add: 'Add',
    remove: (name) => `Remove ${name}`,
    deleteChannel: 'Delete this channel',
    confirmDelete: (name) => `Delete ${name} and everything in it?`,
    owner: 'owner',
    everyone: 'Public: everybody may read and write here.',
  },

  jump: {
    title: 'Go to',
    label: 'Name of a channel',
    nothing: 'No channel name contains this text.',
  },

  help: {
    title: 'Keyboard',
    keys: [
      ['Ctrl K', 'Go to a channel'],
      ['Alt ↑ / Alt ↓', 'Previous or next channel'],
      ['↑ / ↓', 'From message to message; up from an empty composer'],
      ['Enter', 'Send; open a message or a card'],
      ['Shift Enter', 'A new line'],
      ['Arrow keys', 'From card to card'],
      ['Shift ← / Shift →', 'Move a card to another status'],
      ['Esc', 'Close; back to the composer'],
      ['?', 'This list'],
    ],
  },

  dialog: { close: 'Close' },

  time: { today: 'Today', yesterday: 'Yesterday', now: 'just now' },

  problems: {
    UNREACHABLE: 'The server cannot be reached. Try again in a moment.',
    UNAVAILABLE: 'The server is busy. Try again in a moment.',
    RATE_LIMITED: 'Too many attempts. Wait a little, then try again.',
    INTERNAL_SERVER_ERROR: 'The server has failed. The error is in its log.',
    TOO_LARGE: 'This is too long to be sent.',
    CLOSED: 'The server closed the connection each time it got this.',
    STORAGE_FULL: 'This was not sent: the storage that this browser has for this page is full. Your text stays here. Discard messages that were not sent, or empty a draft, then try again.',
    UNREADABLE: 'This was stored to be sent, but the stored form is damaged.',
  },
};
