// Apollo Client: queries and mutations over HTTP, subscriptions over graphql-transport-ws.
import { parse } from 'graphql';
import WebSocket from 'ws';
import { prove } from './harness.mjs';

// docs:start
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

export function apollo({ uri, token, socket }) {
  return new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(connect(socket)), // socket: { url, token }
      new HttpLink({ uri, fetch: signedIn(token) }),
    ),
  });
}
// docs:end

globalThis.WebSocket ??= WebSocket; // Apollo's link asks whether an error is one of its events; Node has it from 22 on
const codeOf = (error) => error.errors?.[0]?.extensions?.code ?? String(error);

await prove({
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
      close: () => client.stop(),
    };
  },
});
