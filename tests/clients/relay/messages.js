// The documents that relay-compiler compiles for relay.mjs. In an application its Babel plugin replaces these tags by
// the artifacts.
import { graphql } from 'relay-runtime';

export const query = graphql`
  query messagesQuery($channelId: ID!) {
    messages(channelId: $channelId, first: 50) { logCursor nodes { id content } }
  }
`;
export const subscription = graphql`
  subscription messagesAddedSubscription($channelId: ID!, $after: Cursor) {
    messageAdded(channelId: $channelId, after: $after) { id content cursor }
  }
`;
export const threads = graphql`
  query messagesThreadsQuery($channelId: ID!) {
    channel(id: $channelId) { id name }
    me { id displayName }
    messages(channelId: $channelId, first: 50) {
      nodes { id content comments(first: 5) { nodes { id content } } }
    }
  }
`;
