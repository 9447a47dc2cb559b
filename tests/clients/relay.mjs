// relay-runtime: queries and mutations over HTTP, subscriptions over graphql-transport-ws.
import WebSocket from 'ws';
import { prove } from './harness.mjs';

// docs:start
import relay from 'relay-runtime';
import { connect } from './resume.mjs';
import { signedIn } from './token.mjs';

const { Environment, Network, Observable, RecordSource, Store } = relay;

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
  return new Environment({ network: Network.create(fetchFn, subscribeFn), store: new Store(new RecordSource()) });
}
// docs:end

// The network layer is all of Relay that meets a server; the compiler's artifacts are only a way to name the text.
const artifact = (text) => ({ id: null, cacheID: text, text, name: 'Recipe', metadata: {} });
const codeOf = (error) => (error.source?.errors ?? error)?.[0]?.extensions?.code ?? String(error);

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
      close: () => {},
    };
  },
});
