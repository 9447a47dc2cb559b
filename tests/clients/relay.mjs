// relay-runtime: queries and mutations over HTTP, subscriptions over graphql-transport-ws.
import WebSocket from 'ws';
import { prove } from './harness.mjs';
import { compiled } from './relay/compile.mjs';

// docs:start
import relay from 'relay-runtime';
import { readAndFollow } from './list.mjs';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

const { createOperationDescriptor, Environment, fetchQuery, getRequest, Network, Observable, RecordSource, requestSubscription, Store } = relay;

/** An id is unique among the objects of its type, not among all: message 1 and comment 1 are two records. */
const getDataID = ({ id }, type) => (id == null ? null : `${type}:${id}`);

export function relayEnvironment({ url, token, socket }) {
  const client = connect(socket); // socket: { url, token }
  const send = signedIn(token);
  const fetchFn = async ({ text }, variables) => {
    const response = await send(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: text, variables }),
    });
    return response.json();
  };
  const subscribeFn = ({ text }, variables) =>
    Observable.create((sink) => client.subscribe({ query: text, variables }, sink));
  return new Environment({
    network: Network.create(fetchFn, subscribeFn),
    store: new Store(new RecordSource(), { getDataID }),
    getDataID,
  });
}

/**
 * Calls `show` with a channel's messages, newest first, now and after each new one. Returns the function that stops it.
 * `query` and `subscription` are what relay-compiler makes of MESSAGES and MESSAGE_ADDED of list.mjs.
 */
export function liveMessages(environment, { query, subscription }, channelId, show, onError) {
  let shown = [];
  const kept = environment.retain(createOperationDescriptor(getRequest(query), { channelId }));
  const stop = readAndFollow({
    async read(isFresh) {
      const fetchPolicy = isFresh ? 'network-only' : 'store-or-network';
      return (await fetchQuery(environment, query, { channelId }, { fetchPolicy }).toPromise()).messages;
    },
    follow(after, { next, error, complete }) {
      const variables = { channelId, after };
      const onNext = ({ messageAdded }) => next(messageAdded);
      const { dispose } = requestSubscription(environment, { subscription, variables, onNext, onError: error, onCompleted: complete });
      return dispose;
    },
    onList: ({ nodes }) => show((shown = nodes)),
    onEvent: (message) => show((shown = [message, ...shown.filter(({ id }) => id !== message.id)])),
    onError,
  });
  return () => (stop(), kept.dispose());
}
// docs:end

// The network layer is all of Relay that meets a server; the compiler's artifacts are only a way to name the text.
const artifact = (text) => ({ id: null, cacheID: text, text, name: 'Recipe', metadata: {} });
const codeOf = (error) => (error.source?.errors ?? error)?.[0]?.extensions?.code ?? String(error);

const { query, subscription, threads } = await compiled();

await prove({
  open({ http, socket, token, socketToken }) {
    const environment = relayEnvironment({ url: http, token, socket: { url: socket, token: socketToken, webSocketImpl: WebSocket } });
    const network = environment.getNetwork();
    const run = (operationKind) => async (text, variables = {}) => {
      const { data, errors } = await network.execute({ ...artifact(text), operationKind }, variables, {}).toPromise();
      if (errors) throw new Error(JSON.stringify(errors));
      return data;
    };
    return {
      query: run('query'),
      mutate: run('mutation'),
      subscribe(text, variables, { next, error, complete }) {
        const request = { ...artifact(text), operationKind: 'subscription' };
        const subscription = network.execute(request, variables, {}).subscribe({
          next: ({ data, errors }) => (errors ? error(codeOf(errors)) : next(Object.values(data)[0])),
          error: (failure) => error(codeOf(failure)),
          complete,
        });
        return () => subscription.unsubscribe();
      },
      live: (channelId, show, onError) => liveMessages(environment, { query, subscription }, channelId, show, onError),
      // Objects of several types with the same id, in one store: each keeps its own content.
      threads: async (channelId) => {
        const { messages } = await relay.fetchQuery(environment, threads, { channelId }).toPromise();
        return messages.nodes.map(({ content, comments }) => [content, comments.nodes.map(({ content }) => content)]);
      },
      close: () => {},
    };
  },
});
