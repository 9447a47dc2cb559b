// docs:start
import { getOperationAST, parse } from 'graphql';
import { SubscriptionClient } from 'subscriptions-transport-ws';

export function connectLegacy({ url, token, webSocketImpl }) {
  const client = new SubscriptionClient(url, {
    lazy: true,
    reconnect: true, // after every close code, for ever
    async connectionParams() { // asked at every connect
      const bearer = await token();
      return bearer ? { authorization: `Bearer ${bearer}` } : {};
    },
    timeout: 60_000, // silence after which the line counts as dead: more than one keep-alive of the server
    minTimeout: 10_000, // time to connect; the library's own is one second
  }, webSocketImpl);
  // A connection lost between its opening and the server's acknowledgement would lose all subscriptions for good.
  client.on('disconnected', () => Object.assign(client, { reconnecting: false, unsentMessagesQueue: [] }));
  failWhatIsLostEachTime(client);
  return client;
}

/** A query or mutation at which the server closes the connection would be sent again for ever: it fails at the third time. */
function failWhatIsLostEachTime(client) {
  const losses = new Map();
  let isConnected = false;
  for (const event of ['connected', 'reconnected']) client.on(event, () => (isConnected = true));
  client.on('disconnected', () => {
    for (const [id, { options: { query, operationName }, handler }] of Object.entries(client.operations)) {
      const document = typeof query === 'string' ? parse(query) : query;
      if (!isConnected || getOperationAST(document, operationName)?.operation === 'subscription') continue;
      losses.set(id, (losses.get(id) ?? 0) + 1);
      if (losses.get(id) < 3) continue;
      delete client.operations[id];
      handler([new Error('the connection was lost each time when this was sent')]);
    }
    for (const id of losses.keys()) if (!client.operations[id]) losses.delete(id);
    isConnected = false;
  });
}

/** Calls `onEvent` with every event after `variables.after`, once and in order. Returns the function that stops it. */
export function followLegacy(client, query, { ...variables }, onEvent, onEnd) {
  const subscription = client.request({ query, variables }).subscribe({
    next({ data, errors }) {
      if (errors) return onEnd(errors[0]);
      const [event] = Object.values(data);
      variables.after = event.cursor; // a reconnect sends this very object again
      onEvent(event);
    },
    error: onEnd, // a GraphQL error; CURSOR_EXPIRED: query again
    complete: () => onEnd(),
  });
  return () => subscription.unsubscribe();
}
// docs:end
