// docs:start
import { getOperationAST, parse } from 'graphql';
import { createClient } from 'graphql-ws';
import { renewed } from './token.mjs';

/** Closes that graphql-ws takes for final. The reason may be one operation; the subscriptions beside it go on. */
const OF_ONE_OPERATION = [1002, 1007, 1009, 4400, 4500];

/** A graphql-ws client that comes back for ever, and whose subscriptions go on where they were. */
export function connect({ url, token, webSocketImpl, keepAlive = 20_000 }) {
  let silence, used;
  let refused = false;
  const wait = (tries) => new Promise((resolve) => setTimeout(resolve, (0.5 + Math.random() / 2) * Math.min(30_000, 500 * 2 ** tries)));
  const client = createClient({
    url,
    webSocketImpl, // only where WebSocket is not built in: Node before 22
    async connectionParams() { // asked at every connect
      used = await (refused ? renewed(token, used) : token(false));
      return used ? { authorization: `Bearer ${used}` } : {};
    },
    retryAttempts: Infinity,
    shouldRetry: () => true, // a refused connection is no close event, and by default final
    retryWait: wait,
    jsonMessageReplacer: (_, value) => (typeof value === 'string' ? value.toWellFormed() : value), // half an emoji is no Unicode
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

  function subscribe(payload, sink) {
    const variables = { ...payload.variables };
    const isStream = getOperationAST(parse(payload.query), payload.operationName)?.operation === 'subscription';
    let isOver = false;
    let faults = 0;
    let stop;
    const begin = () => {
      stop = client.subscribe({ ...payload, variables }, {
        next(result) {
          faults = 0;
          const [event] = Object.values(result.data ?? {});
          if (event?.cursor) variables.after = event.cursor; // a reconnect sends this very object again
          sink.next(result);
        },
        error(error) {
          if (isOver || !isStream || !OF_ONE_OPERATION.includes(error.code)) return sink.error(error);
          wait((faults += 1)).then(() => isOver || begin());
        },
        complete: () => sink.complete(),
      });
    };
    begin();
    return () => {
      isOver = true;
      stop();
    };
  }
  return { on: client.on, dispose: client.dispose, subscribe };
}
// docs:end
