// EventSource (of the package eventsource; browsers have the same API): subscriptions over Server-Sent Events.
import { EventSource } from 'eventsource';
import { runScenario } from './harness.mjs';
import { signedIn } from './token.mjs';

// docs:start
import { renewed } from './token.mjs';

/** Calls `onEvent` with every event, once and in order, across lost connections. Returns the function that stops it. */
export function followEvents({ url, token, EventSource }, query, variables, onEvent, onEnd) {
  let source, timer, usedToken, cursor = '';
  const end = (errors) => (source.close(), onEnd(errors));

  async function open(refused) {
    const address = new URL(url);
    usedToken = await (refused ? renewed(token, usedToken) : token(false));
    const parameters = { query, variables: JSON.stringify(variables), token: usedToken, lastEventId: cursor };
    for (const [name, value] of Object.entries(parameters)) if (value) address.searchParams.set(name, value);
    source = new EventSource(address);
    source.addEventListener('next', ({ data, lastEventId }) => {
      cursor = lastEventId || cursor; // the EventSource also sends it by itself when it reconnects
      const { data: event, errors } = JSON.parse(data);
      const code = errors?.[0].extensions.code;
      if (code === 'UNAUTHENTICATED') reopen(); // the token has expired or the session has ended: get a new token
      else if (errors && code !== 'UNAVAILABLE') end(errors); // CURSOR_EXPIRED: query again
      else if (event) onEvent(Object.values(event)[0]);
    });
    source.addEventListener('complete', () => end());
    // The EventSource reconnects by itself, except after the status 401 or 503.
    source.addEventListener('error', () => source.readyState === EventSource.CLOSED && reopen());
  }

  function reopen() {
    source.close();
    timer = setTimeout(() => open(true), 500 + Math.random() * 1_000);
  }

  open(false);
  return () => (clearTimeout(timer), source?.close());
}
// docs:end

await runScenario({
  paths: ['/graphql'],
  sockets: false,
  gaps: ['cut', 'restart', 'storm', 'revoke', 'dead'],
  tokenGaps: ['revoke', 'dead'], // a reconnect of the EventSource itself uses the token in its URL
  open({ http, token, socketToken }) {
    const send = signedIn(token);
    const run = async (query, variables) => {
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query, variables }) };
      const { data, errors } = await (await send(http, init)).json();
      if (errors) throw new Error(JSON.stringify(errors));
      return data;
    };
    return {
      query: run,
      mutate: run,
      subscribe: (query, variables, { next, error, complete }) =>
        followEvents({ url: http, token: socketToken, EventSource }, query, variables, next, (errors) =>
          errors ? error(errors[0].extensions.code) : complete(),
        ),
      close: () => {},
    };
  },
});
