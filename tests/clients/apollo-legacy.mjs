// Apollo Client with its deprecated WebSocketLink: all operations over the legacy sub-protocol graphql-ws.
import { parse } from 'graphql';
import WebSocket from 'ws';
import { runScenario } from './harness.mjs';

// docs:start
import { ApolloClient, ApolloLink, InMemoryCache } from '@apollo/client';
import { WebSocketLink } from '@apollo/client/link/ws';
import { tap } from 'rxjs';
import { connectLegacy } from './resume-legacy.mjs';

export function apolloLegacy({ socket }) {
  const resume = new ApolloLink((operation, forward) =>
    forward(operation).pipe(tap(({ data }) => {
      const [event] = Object.values(data ?? {});
      if (event?.cursor) operation.variables.after = event.cursor; // a reconnect sends the same object again
    })),
  );
  return new ApolloClient({
    cache: new InMemoryCache(),
    link: resume.concat(new WebSocketLink(connectLegacy(socket))), // socket: { url, token }
  });
}
// docs:end

// Over the legacy sub-protocol an error is an object without an array around it. Apollo wraps it in `cause`.
const codeOf = (error) => (error.errors?.[0] ?? error.cause)?.extensions?.code ?? String(error);

await runScenario({
  http: false,
  open({ socket, socketToken }) {
    const client = apolloLegacy({ socket: { url: socket, token: socketToken, webSocketImpl: WebSocket } });
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
