// Apollo Client: queries and mutations over HTTP, subscriptions over graphql-transport-ws.
import { parse } from 'graphql';
import WebSocket from 'ws';
import { runScenario } from './harness.mjs';

// docs:start
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { MESSAGE_ADDED, MESSAGES, readAndFollow } from './list.mjs';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

export function apollo({ uri, token, socket }) {
  // Apollo's link uses the global WebSocket to recognise errors. Node before 22 has none, and would lose them.
  if (socket.webSocketImpl) globalThis.WebSocket ??= socket.webSocketImpl;
  return new ApolloClient({
    // A ticket has no id: the cache stores its fields with the message. Without `merge` a partial result erases the
    // others.
    cache: new InMemoryCache({ typePolicies: { Ticket: { merge: true } } }),
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(connect(socket)), // socket: { url, token }
      new HttpLink({ uri, fetch: signedIn(token) }),
    ),
  });
}

/**
 * Calls `show` with a channel's messages, newest first, now and after each new one. Returns the function that stops it.
 */
export function liveMessages(client, channelId, show, onError) {
  const list = { query: gql(MESSAGES), variables: { channelId } };
  return readAndFollow({
    async read(isFresh) {
      const { data } = await client.query({ ...list, fetchPolicy: isFresh ? 'network-only' : 'cache-first' });
      return data.messages;
    },
    follow(after, sink) {
      const subscription = client.subscribe({ query: gql(MESSAGE_ADDED), variables: { channelId, after } }).subscribe({
        next: ({ data, error }) => (error ? sink.error(error) : sink.next(data.messageAdded)),
        error: sink.error,
        complete: sink.complete,
      });
      return () => subscription.unsubscribe();
    },
    onError,
    onList: ({ nodes }) => show(nodes),
    onEvent(message) {
      // Update the list and its logCursor together: a component that reads the list from the cache later resumes here.
      client.cache.updateQuery(list, ({ messages }) => {
        const others = messages.nodes.filter(({ id }) => id !== message.id);
        return { messages: { ...messages, logCursor: message.cursor, nodes: [message, ...others] } };
      });
      show(client.readQuery(list).messages.nodes);
    },
  });
}
// docs:end

const codeOf = (error) => error.errors?.[0]?.extensions?.code ?? String(error);

await runScenario({
  open({ http, socket, token, socketToken }) {
    const client = apollo({ uri: http, token, socket: { url: socket, token: socketToken, webSocketImpl: WebSocket } });
    return {
      query: (query, variables) => client.query({ query: parse(query), variables }).then(({ data }) => data),
      mutate: (mutation, variables) => client.mutate({ mutation: parse(mutation), variables }).then(({ data }) => data),
      subscribe(query, variables, { next, error, complete }) {
        const subscription = client.subscribe({ query: parse(query), variables }).subscribe({
          next: ({ data, error: refused }) => (refused ? error(codeOf(refused)) : next(Object.values(data)[0])),
          error: (failure) => error(codeOf(failure)),
          complete,
        });
        return () => subscription.unsubscribe();
      },
      live: (channelId, show, onError) => liveMessages(client, channelId, show, onError),
      close: () => client.stop(),
    };
  },
});
