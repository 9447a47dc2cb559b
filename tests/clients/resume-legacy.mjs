// docs:start
import { getOperationAST, parse } from 'graphql';
import { SubscriptionClient } from 'subscriptions-transport-ws';

export function connectLegacy({ url, token, webSocketImpl }) {
  const client = new SubscriptionClient(url, {
    lazy: true,
    reconnect: true, // after every close code, without limit
    async connectionParams() { // called at every connect
      const bearer = await token();
      return bearer ? { authorization: `Bearer ${bearer}` } : {};
    },
    timeout: 60_000, // a silent connection is dead after this time; the server's keep-alive interval is shorter
    minTimeout: 10_000, // time limit of a connect; the library's default is one second
  }, webSocketImpl);
  // Without this, a connection that is lost before the server acknowledges it loses all subscriptions permanently.
  client.on('disconnected', () => Object.assign(client, { reconnecting: false, unsentMessagesQueue: [] }));
  failRepeatedlyLostOperations(client);
  return client;
}

/**
 * Fails a query or mutation that was lost with its connection three times. The library would send it again without
 * limit.
 */
function failRepeatedlyLostOperations(client) {
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
      handler([new Error('the connection was lost each time this operation was sent')]);
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
      variables.after = event.cursor; // a reconnect sends the same object again
      onEvent(event);
    },
    error: onEnd, // a GraphQL error; CURSOR_EXPIRED: query again
    complete: () => onEnd(),
  });
  return () => subscription.unsubscribe();
}
// docs:end
