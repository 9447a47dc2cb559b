// The tabs that GraphiQL shows on a first visit. Each document runs unchanged; its variables may need values.

const read = `# \`cursor\` is the position of the event log in the
# snapshot that this query reads. A subscription \`after\`
# it misses no event and repeats none.

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

const messageAdded = `# With \`$after\` and \`cursor\` in the document, this page
# resumes the subscription after a lost connection. To
# start at the cursor of a query, put it into the variables.

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

const events = `# All events that you may see, in one stream: missed
# events, a Checkpoint (you are live), then live events,
# and a Checkpoint after 30 seconds without an event.

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

# With an idempotencyKey a retry is safe: the same key
# returns the first message and creates no second one.
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

const account = `# Both answers contain a token, which this page uses
# from then on. "Sign in" above does the same. Reading
# public channels needs no account.

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
