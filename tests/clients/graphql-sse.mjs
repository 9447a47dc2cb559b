// graphql-sse (distinct connections mode): all operations over Server-Sent Events.
import { runScenario } from './harness.mjs';

// docs:start
import { createClient } from 'graphql-sse';
import { signedIn } from './token.mjs';

/** Returns a graphql-sse client that reconnects without limit. */
export function connectSse({ url, token }) {
  return createClient({
    url,
    fetchFn: signedIn(token), // calls `token` at every connect
    retryAttempts: Infinity,
    retry: (tries) => new Promise((resolve) => setTimeout(resolve, (0.5 + Math.random() / 2) * Math.min(30_000, 500 * 2 ** tries))),
  });
}

const TEMPORARY = ['UNAUTHENTICATED', 'UNAVAILABLE']; // the stream ends without `complete`, and the client reconnects

/** Calls `onEvent` with every event after `variables.after`, once and in order. Returns the function that stops it. */
export function followSse(client, query, { ...variables }, onEvent, onEnd) {
  return client.subscribe({ query, variables }, {
    next({ data, errors }) {
      if (errors) return TEMPORARY.includes(errors[0].extensions.code) || onEnd(errors); // CURSOR_EXPIRED: query again
      const [event] = Object.values(data);
      variables.after = event.cursor; // a reconnect sends the same object again
      onEvent(event);
    },
    error: onEnd,
    complete: () => onEnd(),
  });
}
// docs:end

const result = (client, query, variables) =>
  new Promise((resolve, reject) => {
    let last;
    client.subscribe({ query, variables }, { next: (value) => (last = value), error: reject, complete: () => resolve(last) });
  });

await runScenario({
  paths: ['/graphql'],
  sockets: false,
  open({ http, socketToken }) {
    const client = connectSse({ url: http, token: socketToken });
    const run = async (query, variables) => {
      const { data, errors } = await result(client, query, variables);
      if (errors) throw new Error(JSON.stringify(errors));
      return data;
    };
    return {
      query: run,
      mutate: run,
      subscribe(query, variables, { next, error, complete }) {
        let failed;
        return followSse(client, query, variables, next, (end) => {
          if (end) error((failed = end[0]?.extensions?.code ?? String(end)));
          else if (!failed) complete();
        });
      },
      close: () => client.dispose(),
    };
  },
});
