// docs:start
import { createClient } from 'graphql-ws';

/** A graphql-ws client that comes back for ever, and whose subscriptions go on where they were. */
export function connect({ url, token, webSocketImpl, keepAlive = 20_000 }) {
  let silence;
  let refused = false;
  const client = createClient({
    url,
    webSocketImpl, // only where WebSocket is not built in: Node before 22
    connectionParams: async () => ({ authorization: `Bearer ${await token(refused)}` }), // asked at every connect
    retryAttempts: Infinity,
    shouldRetry: () => true, // a refused connection is no close event, and by default final
    retryWait: (tries) => new Promise((resolve) => setTimeout(resolve, (0.5 + Math.random() / 2) * Math.min(30_000, 500 * 2 ** tries))),
    keepAlive, // a dead line is noticed by the ping that nobody answers
    on: {
      ping: (received) => received || (silence = setTimeout(() => client.terminate(), keepAlive / 2)),
      pong: (received) => received && clearTimeout(silence),
      connected: () => (refused = false),
      closed(event) {
        clearTimeout(silence);
        refused = event.code === 4403; // expired, or the session was ended: a fresh one
      },
    },
  });
  return {
    on: client.on,
    dispose: client.dispose,
    subscribe(payload, sink) {
      const variables = { ...payload.variables };
      return client.subscribe({ ...payload, variables }, {
        next(result) {
          const [event] = Object.values(result.data ?? {});
          if (event?.cursor) variables.after = event.cursor; // a reconnect sends this very object again
          sink.next(result);
        },
        error: (error) => sink.error(error),
        complete: () => sink.complete(),
      });
    },
  };
}
// docs:end
