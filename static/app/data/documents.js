// All GraphQL documents of the web client. The fragments hold the fields that several documents have in common.

const USER = 'fragment U on User { id username displayName role }';
const CHANNEL = `fragment Ch on Channel { id name description visibility createdAt owner { id displayName } }`;
const MESSAGE = `fragment M on Message {
  id channelId title content authorId author { id username displayName } createdAt updatedAt commentCount revision
  ticket { status priority assigneeId assignee { id username displayName } } }`;
const COMMENT = `fragment C on Comment {
  id messageId content authorId author { id username displayName } createdAt updatedAt cursor }`;
const TEMPLATE = 'fragment T on Template { id name content authorId }';
const NOTIFICATION = 'fragment N on Notification { id userId title message priority createdAt readAt }';

const join = (...parts) => parts.join('\n');

// Sent over HTTP: the WebSocket needs a token first.
const SESSION = join('fragment S on Session { token expiresAt refreshToken user { ...U } }', USER);
export const LOGIN = join('mutation ($input: LoginInput!) { login(input: $input) { ...S } }', SESSION);
export const REGISTER = join('mutation ($input: RegisterInput!) { register(input: $input) { ...S } }', SESSION);
export const RESET_PASSWORD = join('mutation ($input: ResetPasswordInput!) { resetPassword(input: $input) { ...S } }', SESSION);
export const RENEW = join('mutation ($refreshToken: String!) { renewSession(refreshToken: $refreshToken) { ...S } }', SESSION);
export const END_SESSION = 'mutation ($id: ID!) { endSession(id: $id) }';

// Sent over the WebSocket, which continues with the new token.
export const REFRESH = join('mutation { refreshToken { token expiresAt user { ...U } } }', USER);

// `cursor` of the first page is the position where the subscription EVENTS starts.
export const BASE = join(
  `query ($channelsAfter: String, $templatesAfter: String) { cursor me { ...U }
    channels(first: 100, after: $channelsAfter) { nodes { ...Ch unreadCount } pageInfo { hasNextPage endCursor } }
    templates(first: 100, after: $templatesAfter) { nodes { ...T } pageInfo { hasNextPage endCursor } }
    notifications(first: 100) { nodes { ...N } } }`,
  USER, CHANNEL, TEMPLATE, NOTIFICATION,
);
export const EVENTS = join(
  `subscription ($after: Cursor) { events(after: $after) { __typename cursor
    ... on MessageAdded { message { ...M } }
    ... on MessageUpdated { message { ...M } }
    ... on MessageDeleted { messageId channelId }
    ... on CommentAdded { comment { ...C message { id commentCount } } }
    ... on CommentUpdated { comment { ...C } }
    ... on CommentDeleted { commentId messageId }
    ... on ChannelAdded { channel { ...Ch } }
    ... on ChannelUpdated { channel { ...Ch } }
    ... on ChannelDeleted { channelId }
    ... on TemplateAdded { template { ...T } }
    ... on TemplateDeleted { templateId }
    ... on NotificationAdded { notification { ...N } }
    ... on RoomBroadcast { channelId data }
    ... on AccessChanged { changedChannelId }
    ... on UserUpdated { userId } } }`,
  MESSAGE, COMMENT, CHANNEL, TEMPLATE, NOTIFICATION,
);

export const MESSAGES = join(
  `query ($channelId: ID!, $first: Int!, $after: String) { messages(channelId: $channelId, first: $first, after: $after) {
    edges { cursor node { ...M } } pageInfo { hasNextPage } } }`,
  MESSAGE,
);
export const TICKETS = join(
  `query ($status: TicketStatus!, $channelId: ID, $after: String) {
    messages(ticketsOnly: true, status: $status, channelId: $channelId, first: 50, after: $after) {
    nodes { ...M } pageInfo { hasNextPage endCursor } } }`,
  MESSAGE,
);
export const THREAD = join(
  `query ($id: ID!, $before: String) { message(id: $id) { ...M
    comments(last: 50, before: $before) { edges { cursor node { ...C } } pageInfo { hasPreviousPage } } } }`,
  MESSAGE, COMMENT,
);
export const COUNT = 'query ($id: ID!) { message(id: $id) { id commentCount } }';
export const USER_BY_ID = join('query ($id: ID!) { user(id: $id) { ...U } }', USER);
export const USERS = join('query ($search: String) { users(first: 100, search: $search) { nodes { ...U disabled } } }', USER);
export const CHANNEL_BY_NAME = join('query ($name: String!) { channel(name: $name) { ...Ch } }', CHANNEL);
export const MEMBERS = join(
  'query ($id: ID!) { channel(id: $id) { ...Ch members(first: 100) { nodes { ...U } } } }',
  CHANNEL, USER,
);

export const CREATE_MESSAGE = join('mutation ($input: CreateMessageInput!) { createMessage(input: $input) { ...M } }', MESSAGE);
export const UPDATE_MESSAGE = join('mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { ...M } }', MESSAGE);
export const DELETE_MESSAGE = 'mutation ($id: ID!) { deleteMessage(id: $id) }';
export const CREATE_COMMENT = join(
  'mutation ($input: CreateCommentInput!) { createComment(input: $input) { ...C message { id commentCount } } }',
  COMMENT,
);
export const DELETE_COMMENT = 'mutation ($id: ID!) { deleteComment(id: $id) }';
export const CREATE_CHANNEL = join('mutation ($input: CreateChannelInput!) { createChannel(input: $input) { ...Ch } }', CHANNEL);
export const DELETE_CHANNEL = 'mutation ($id: ID!) { deleteChannel(id: $id) }';
export const ADD_MEMBER = 'mutation ($channelId: ID!, $userId: ID!) { addMember(channelId: $channelId, userId: $userId) { id } }';
export const REMOVE_MEMBER =
  'mutation ($channelId: ID!, $userId: ID!) { removeMember(channelId: $channelId, userId: $userId) { id } }';
export const ADD_TEMPLATE = join('mutation ($input: AddTemplateInput!) { addTemplate(input: $input) { ...T } }', TEMPLATE);
export const DELETE_TEMPLATE = 'mutation ($id: ID!) { deleteTemplate(id: $id) }';

export const READ_NOTIFICATION = join('mutation ($id: ID!) { markNotificationRead(id: $id) { ...N } }', NOTIFICATION);
export const READ_CHANNEL = 'mutation ($id: ID!, $upTo: Cursor!) { markChannelRead(channelId: $id, upTo: $upTo) { id unreadCount } }';
// Read markers are not in the event log, so a window queries them when it gets the focus: the user may have read
// messages in another window.
export const READ_MARKERS = join(
  'query { channels(first: 100) { nodes { id unreadCount } } notifications(first: 100) { nodes { ...N } } }',
  NOTIFICATION,
);
export const PRESENCE_CHANGED = join(
  'subscription ($channelId: ID!) { presenceChanged(channelId: $channelId) { channelId present user { ...U } } }',
  USER,
);
export const METRIC_UPDATED = 'subscription { metricUpdated { metric value updatedAt } }';
