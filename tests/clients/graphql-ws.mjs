// graphql-ws (graphql-transport-ws): all operations over the socket.
import WebSocket from 'ws';
import { runScenario } from './harness.mjs';
import { connect } from './resume.mjs';
import { execute, follow } from './graphql-ws-recipe.mjs';

await runScenario({
  http: false,
  gaps: ['cut', 'restart', 'storm', 'revoke', 'dead', 'expire', 'freeze'],
  open({ socket, socketToken }) {
    const client = connect({ url: socket, token: socketToken, webSocketImpl: WebSocket, keepAlive: 1_000 });
    const run = async (query, variables) => {
      const { data, errors } = await execute(client, query, variables);
      if (errors) throw new Error(JSON.stringify(errors));
      return data;
    };
    return {
      query: run,
      mutate: run,
      subscribe: (query, variables, { next, error, complete }) =>
        follow(client, query, variables, next, (end) => (end ? error(end[0]?.extensions?.code ?? `${end.code}`) : complete())),
      close: () => client.dispose(),
    };
  },
});
