// graphql-ws (graphql-transport-ws): every operation over the socket.
import WebSocket from 'ws';
import { prove } from './harness.mjs';
import { connect } from './resume.mjs';

// docs:start
/** The result of a query or mutation sent over the socket. */
export function execute(client, query, variables) {
  return new Promise((resolve, reject) => {
    let result;
    client.subscribe({ query, variables }, {
      next: (value) => (result = value),
      error: reject,
      complete: () => resolve(result),
    });
  });
}

/** Calls `onEvent` with every event after `variables.after`, once and in order. Returns the function that stops it. */
export function follow(client, query, variables, onEvent, onEnd) {
  return client.subscribe({ query, variables }, {
    next: ({ data, errors }) => (errors ? onEnd(errors) : onEvent(Object.values(data)[0])),
    error: onEnd, // GraphQL errors (CURSOR_EXPIRED: query again), or a close event that is final
    complete: () => onEnd(),
  });
}
// docs:end

await prove({
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
