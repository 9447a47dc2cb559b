// docs:start
import { getOperationAST, parse } from 'graphql';
import { createClient } from 'graphql-ws';
import { renewed } from './token.mjs';

/**
 * Close codes after which graphql-ws does not reconnect. One operation may be the cause, so the subscriptions resume.
 */
const SINGLE_OPERATION_CODES = [1002, 1007, 1009, 4400, 4500];

/** Returns a graphql-ws client that reconnects without limit, and whose subscriptions resume after their last event. */
export function connect({ url, token, webSocketImpl, keepAlive = 20_000 }) {
  let pongTimer, usedToken;
  let isRejected = false;
  const wait = (attempts) => new Promise((resolve) => setTimeout(resolve, (0.5 + Math.random() / 2) * Math.min(30_000, 500 * 2 ** attempts)));
  const client = createClient({
    url,
    webSocketImpl, // only if there is no global WebSocket: Node before 22
    async connectionParams() { // called at every connect
      usedToken = await (isRejected ? renewed(token, usedToken) : token(false));
      return usedToken ? { authorization: `Bearer ${usedToken}` } : {};
    },
    retryAttempts: Infinity,
    shouldRetry: () => true, // by default graphql-ws does not retry after a refused connection
    retryWait: wait,
    // Replaces unpaired surrogates, such as half an emoji: the server rejects them.
    jsonMessageReplacer: (_, value) => (typeof value === 'string' ? value.toWellFormed() : value),
    keepAlive, // time between pings in ms; an unanswered ping reveals a dead connection
    on: {
      ping: (received) => received || (pongTimer = setTimeout(() => client.terminate(), keepAlive / 2)),
      pong: (received) => received && clearTimeout(pongTimer),
      connected: () => (isRejected = false),
      closed(event) {
        clearTimeout(pongTimer);
        isRejected = event.code === 4403; // the token has expired or the session has ended: get a new token
      },
    },
  });

  function subscribe(payload, sink) {
    const variables = { ...payload.variables };
    const isStream = getOperationAST(parse(payload.query), payload.operationName)?.operation === 'subscription';
    let isStopped = false;
    let attempt = 0;
    let stop;
    const begin = () => {
      stop = client.subscribe({ ...payload, variables }, {
        next(result) {
          attempt = 0;
          const [event] = Object.values(result.data ?? {});
          if (event?.cursor) variables.after = event.cursor; // a reconnect sends the same object again
          sink.next(result);
        },
        error(error) {
          if (isStopped || !isStream || !SINGLE_OPERATION_CODES.includes(error.code)) return sink.error(error);
          wait((attempt += 1)).then(() => isStopped || begin());
        },
        complete: () => sink.complete(),
      });
    };
    begin();
    return () => {
      isStopped = true;
      stop();
    };
  }
  return { on: client.on, dispose: client.dispose, subscribe };
}
// docs:end
