// The tabs of a first visit. Each is a document that runs as it is, once its variables fit.

const read = `# \`cursor\` is where the log stands in the very snapshot
# that this query reads: subscribe \`after\` it, and
# nothing is missed or repeated.

query Messages($channelId: ID, $first: Int, $page: String) {
  cursor
  messages(
    channelId: $channelId
    first: $first
    after: $page
  ) {
    nodes {
      id
      title
      content
      author { displayName }
      commentCount
      createdAt
    }
    pageInfo { hasNextPage endCursor }
  }
}
`;

const messageAdded = `# \`$after\` in and \`cursor\` out: so this page goes on
# where it stopped when the connection is lost. Put the
# cursor of a query into the variables to start there.

subscription MessageAdded($channelId: ID, $after: Cursor) {
  messageAdded(channelId: $channelId, after: $after) {
    id
    content
    author { displayName }
    createdAt
    cursor
  }
}
`;

const events = `# Everything you may see, as one stream: what was missed,
# a Checkpoint (you are live), then live events, and a
# Checkpoint after 30 seconds of silence.

subscription Events($channelId: ID, $after: Cursor) {
  events(channelId: $channelId, after: $after) {
    __typename
    cursor
    ... on MessageAdded {
      message { id content author { displayName } }
    }
    ... on MessageUpdated { message { id content } }
    ... on MessageDeleted { messageId channelId }
    ... on CommentAdded {
      comment { id messageId content }
    }
    ... on ChannelAdded { channel { id name } }
    ... on NotificationAdded { notification { id title } }
    ... on AccessChanged { changedChannelId }
  }
}
`;

const write = `# The play button asks which of the two to run. For a
# message, put the channel's id into the variables.

mutation CreateChannel($name: String!) {
  createChannel(input: {
    name: $name
    description: "Made in GraphiQL"
    visibility: PUBLIC
  }) {
    id
    name
    cursor
  }
}

# With an idempotencyKey it is safe to send it again: the
# same key returns the first message, not a second one.
mutation CreateMessage(
  $channelId: ID!
  $content: String!
  $key: String
) {
  createMessage(input: {
    channelId: $channelId
    content: $content
    idempotencyKey: $key
  }) {
    id
    createdAt
    cursor
  }
}
`;

const account = `# The answer of either holds a token, which this page
# uses from then on. "Sign in" above does the same.
# Reading public channels needs no account.

mutation Register($name: String!, $password: String!) {
  register(input: {
    username: $name
    password: $password
    displayName: $name
  }) {
    token
    expiresAt
    user { id username role }
  }
}

mutation Login($name: String!, $password: String!) {
  login(input: { username: $name, password: $password }) {
    token
    expiresAt
    user { id username role }
  }
}
`;

const tab = (query, variables) => ({ query, variables: JSON.stringify(variables, null, 2) });

export const examples = [
  tab(read, { channelId: null, first: 20, page: null }),
  tab(messageAdded, { channelId: null, after: null }),
  tab(events, { channelId: null, after: null }),
  tab(write, { name: 'general', channelId: '1', content: 'Hello from GraphiQL', key: null }),
  tab(account, { name: 'ada', password: '' }),
];
