// urql: queries and mutations over HTTP, subscriptions over graphql-transport-ws.
import WebSocket from 'ws';
import { prove } from './harness.mjs';

// docs:start
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

export function urql({ url, token, socket }) {
  const client = connect(socket); // socket: { url, token }
  return new Client({
    url,
    fetch: signedIn(token),
    exchanges: [
      // put cacheExchange first, as usual
      subscriptionExchange({
        forwardSubscription: (operation) => ({
          subscribe: (sink) => ({ unsubscribe: client.subscribe(operation, sink) }),
        }),
      }),
      fetchExchange,
    ],
  });
}
// docs:end

const codeOf = (error) => error.graphQLErrors[0]?.extensions?.code ?? String(error);

await prove({
  open({ http, socket, token, socketToken }) {
    const client = urql({ url: http, token, socket: { url: socket, token: socketToken, webSocketImpl: WebSocket } });
    const run = async (operation) => {
      const { data, error } = await operation.toPromise();
      if (error) throw error;
      return data;
    };
    return {
      query: (query, variables) => run(client.query(query, variables)),
      mutate: (mutation, variables) => run(client.mutation(mutation, variables)),
      subscribe(query, variables, { next, error }) {
        const subscription = client.subscription(query, variables).subscribe((result) => {
          if (result.error) error(codeOf(result.error));
          else next(Object.values(result.data)[0]);
        });
        return () => subscription.unsubscribe();
      },
      close: () => {},
    };
  },
});
