// graphql-request: queries and mutations over HTTP. It has no subscriptions: those go over graphql-ws, beside it.
import WebSocket from 'ws';
import { prove } from './harness.mjs';

// docs:start
import { GraphQLClient } from 'graphql-request';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

export function graphqlRequest({ url, token, socket }) {
  return {
    requests: new GraphQLClient(url, { fetch: signedIn(token) }),
    subscriptions: connect(socket), // socket: { url, token }
  };
}
// docs:end

await prove({
  open({ http, socket, token, socketToken }) {
    const { requests, subscriptions } = graphqlRequest({ url: http, token, socket: { url: socket, token: socketToken, webSocketImpl: WebSocket } });
    const run = (document, variables) => requests.request(document, variables);
    return {
      query: run,
      mutate: run,
      subscribe: (query, variables, { next, error, complete }) =>
        subscriptions.subscribe({ query, variables }, {
          next: ({ data, errors }) => (errors ? error(errors[0].extensions.code) : next(Object.values(data)[0])),
          error: (refused) => error(refused[0]?.extensions?.code ?? String(refused)),
          complete,
        }),
      close: subscriptions.dispose,
    };
  },
});
