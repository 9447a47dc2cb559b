// The GraphQL documents of the scenario. The subscriptions are those of docs/clients.md.

export const REGISTER = 'mutation ($input: RegisterInput!) { register(input: $input) { token user { id } } }';
export const LOGIN = 'mutation ($input: LoginInput!) { login(input: $input) { token user { id } } }';
export const ME = 'query Me { me { id username } }';
export const CREATE_CHANNEL = 'mutation CreateChannel($input: CreateChannelInput!) { createChannel(input: $input) { id name } }';
export const CREATE = 'mutation Create($input: CreateMessageInput!) { createMessage(input: $input) { id content } }';
export const UPDATE = 'mutation Update($input: UpdateMessageInput!) { updateMessage(input: $input) { id content } }';
export const DELETE = 'mutation Delete($id: ID!) { deleteMessage(id: $id) }';
export const START = 'query Start($channelId: ID!) { messages(channelId: $channelId, first: 20) { logCursor nodes { id content } } }';

export const ADDED = `subscription Added($channelId: ID, $after: Cursor) {
  messageAdded(channelId: $channelId, after: $after) { id content cursor }
}`;
export const DELETED = `subscription Deleted($channelId: ID, $after: Cursor) {
  messageDeleted(channelId: $channelId, after: $after) { id cursor }
}`;
export const EVENTS = `subscription Events($channelId: ID, $after: Cursor) {
  events(channelId: $channelId, after: $after) {
    __typename
    cursor
    ... on MessageAdded { message { id content } }
    ... on MessageUpdated { message { id content } }
    ... on MessageDeleted { messageId }
  }
}`;
