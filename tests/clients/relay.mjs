// relay-runtime: queries and mutations over HTTP, subscriptions over graphql-transport-ws.
import WebSocket from 'ws';
import { runScenario } from './harness.mjs';
import { compiled } from './relay/compile.mjs';

// docs:start
import relay from 'relay-runtime';
import { readAndFollow } from './list.mjs';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

const { createOperationDescriptor, Environment, fetchQuery, getRequest, Network, Observable, RecordSource, requestSubscription, Store } = relay;

/** Ids are unique only within a type: message 1 and comment 1 are two records. */
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
 * `query` and `subscription` are the artifacts of relay-compiler for MESSAGES and MESSAGE_ADDED of list.mjs.
 */
export function liveMessages(environment, { query, subscription }, channelId, show, onError) {
  let shown = [];
  const retention = environment.retain(createOperationDescriptor(getRequest(query), { channelId }));
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
  return () => (stop(), retention.dispose());
}
// docs:end

// The network layer is the only part of Relay that talks to a server. It needs just the text of an artifact.
const artifact = (text) => ({ id: null, cacheID: text, text, name: 'Recipe', metadata: {} });
const codeOf = (error) => (error.source?.errors ?? error)?.[0]?.extensions?.code ?? String(error);

const { query, subscription, threads } = await compiled();

await runScenario({
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
      // Objects of different types have the same ids: the store must not mix up their fields.
      threads: async (channelId) => {
        const { messages } = await relay.fetchQuery(environment, threads, { channelId }).toPromise();
        return messages.nodes.map(({ content, comments }) => [content, comments.nodes.map(({ content }) => content)]);
      },
      close: () => {},
    };
  },
});
