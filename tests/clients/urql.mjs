// urql: queries and mutations over HTTP, subscriptions over graphql-transport-ws.
import WebSocket from 'ws';
import { runScenario } from './harness.mjs';
import { normalizedCache } from './urql-graphcache.mjs';

// docs:start
import { cacheExchange, Client, createRequest, fetchExchange, subscriptionExchange } from '@urql/core';
import { MESSAGE_ADDED, MESSAGES, readAndFollow } from './list.mjs';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

export function urql({ url, token, socket, cache = cacheExchange }) {
  const client = connect(socket); // socket: { url, token }
  return new Client({
    url,
    fetch: signedIn(token),
    exchanges: [
      cache,
      subscriptionExchange({
        forwardSubscription: (operation) => ({
          subscribe: (sink) => ({ unsubscribe: client.subscribe(operation, sink) }),
        }),
      }),
      fetchExchange,
    ],
  });
}

let keys = 0;

/**
 * Calls `show` with a channel's messages, newest first, now and after each new one. Returns the function that stops it.
 */
export function liveMessages(client, channelId, show, onError) {
  let shown = [];
  return readAndFollow({
    async read(isFresh) {
      const requestPolicy = isFresh ? 'network-only' : 'cache-first';
      const { data, error } = await client.query(MESSAGES, { channelId }, { requestPolicy }).toPromise();
      if (error) throw error;
      return data.messages;
    },
    follow(after, sink) {
      // urql shares one subscription between requests with the same key, and the key depends on the variables. A second
      // component would miss the events that the first one has got already. So each subscription has its own key.
      const request = { ...createRequest(MESSAGE_ADDED, { channelId, after }), key: (keys += 1) };
      const subscription = client.executeSubscription(request).subscribe(({ data, error }) => {
        if (error) sink.error(error);
        else sink.next(data.messageAdded);
      });
      return () => subscription.unsubscribe();
    },
    onError,
    onList: ({ nodes }) => show((shown = nodes)),
    onEvent: (message) => show((shown = [message, ...shown.filter(({ id }) => id !== message.id)])),
  });
}
// docs:end

const codeOf = (error) => error.graphQLErrors[0]?.extensions?.code ?? String(error);

const library = (cache) => ({
  open({ http, socket, token, socketToken }) {
    const client = urql({ url: http, token, socket: { url: socket, token: socketToken, webSocketImpl: WebSocket }, cache });
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
      live: (channelId, show, onError) => liveMessages(client, channelId, show, onError),
      close: () => {},
    };
  },
});

await runScenario({ ...library(cacheExchange), label: 'document cache: ', hasMore: true });
await runScenario({ ...library(normalizedCache()), gaps: ['cut'], paths: ['/graphql'], label: 'Graphcache: ' });
