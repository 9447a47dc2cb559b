// docs:start
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
  return client;
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
