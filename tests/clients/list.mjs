// docs:start
export const MESSAGES = `query Messages($channelId: ID!) {
  messages(channelId: $channelId, first: 50) { logCursor nodes { id content } }
}`;
export const MESSAGE_ADDED = `subscription MessageAdded($channelId: ID!, $after: Cursor) {
  messageAdded(channelId: $channelId, after: $after) { id content cursor }
}`;

/**
 * Reads a list and subscribes to its changes. Returns the function that stops it.
 *
 * `read(isFresh)` resolves with the list and its `logCursor`; if `isFresh` is true, it must not use a cache.
 * `follow(after, sink)` subscribes after that position and returns the function that ends the subscription. If the
 * server no longer has the position (`CURSOR_EXPIRED`), the list is read again.
 */
export function readAndFollow({ read, follow, onList, onEvent, onError }) {
  let isOver = false;
  let stop = () => {};

  async function begin(isFresh) {
    const list = await read(isFresh);
    if (isOver) return;
    onList(list);
    stop = follow(list.logCursor, {
      next: onEvent,
      error(error) {
        if (isOver) return;
        stop();
        if (codeOf(error) === 'CURSOR_EXPIRED') begin(true).catch(onError);
        else onError(error);
      },
      complete() {},
    });
  }

  begin(false).catch(onError);
  return () => {
    isOver = true;
    stop();
  };
}

/** Returns the code of an error of graphql-ws, Apollo Client, urql or Relay. */
export function codeOf(error) {
  const [first] = Array.isArray(error) ? error : (error.errors ?? error.graphQLErrors ?? error.source?.errors ?? []);
  return first?.extensions?.code;
}
// docs:end
