// graphql-request: queries and mutations over HTTP. It has no subscriptions, so graphql-ws is used for them.
import WebSocket from 'ws';
import { runScenario } from './harness.mjs';

// docs:start
import { GraphQLClient } from 'graphql-request';
import { MESSAGE_ADDED, MESSAGES, readAndFollow } from './list.mjs';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

export function graphqlRequest({ url, token, socket }) {
  return {
    requests: new GraphQLClient(url, { fetch: signedIn(token) }),
    subscriptions: connect(socket), // socket: { url, token }
  };
}

/**
 * Calls `show` with a channel's messages, newest first, now and after each new one. Returns the function that stops it.
 */
export function liveMessages({ requests, subscriptions }, channelId, show, onError) {
  let shown = [];
  return readAndFollow({
    read: async () => (await requests.request(MESSAGES, { channelId })).messages,
    follow: (after, sink) =>
      subscriptions.subscribe({ query: MESSAGE_ADDED, variables: { channelId, after } }, {
        ...sink,
        next: ({ data, errors }) => (errors ? sink.error(errors) : sink.next(data.messageAdded)),
      }),
    onList: ({ nodes }) => show((shown = nodes)),
    onEvent: (message) => show((shown = [message, ...shown.filter(({ id }) => id !== message.id)])),
    onError,
  });
}
// docs:end

await runScenario({
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
      live: (channelId, show, onError) => liveMessages({ requests, subscriptions }, channelId, show, onError),
      close: subscriptions.dispose,
    };
  },
});
