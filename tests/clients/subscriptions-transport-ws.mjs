// subscriptions-transport-ws (legacy sub-protocol graphql-ws): all operations over the socket.
import WebSocket from 'ws';
import { runScenario } from './harness.mjs';
import { connectLegacy, followLegacy } from './resume-legacy.mjs';

await runScenario({
  http: false,
  open({ socket, socketToken }) {
    const client = connectLegacy({ url: socket, token: socketToken, webSocketImpl: WebSocket });
    const run = (query, variables) =>
      new Promise((resolve, reject) => {
        client.request({ query, variables }).subscribe({
          next: ({ data, errors }) => (errors ? reject(new Error(JSON.stringify(errors))) : resolve(data)),
          error: reject,
        });
      });
    return {
      query: run,
      mutate: run,
      subscribe: (query, variables, { next, error, complete }) =>
        followLegacy(client, query, variables, next, (end) => (end ? error(end.extensions?.code ?? String(end)) : complete())),
      close: () => client.close(),
    };
  },
});
