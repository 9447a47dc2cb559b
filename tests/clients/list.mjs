// docs:start
export const MESSAGES = `query Messages($channelId: ID!) {
  messages(channelId: $channelId, first: 50) { logCursor nodes { id content } }
}`;
export const MESSAGE_ADDED = `subscription MessageAdded($channelId: ID!, $after: Cursor) {
  messageAdded(channelId: $channelId, after: $after) { id content cursor }
}`;

/**
 * Reads a list and follows it. Returns the function that stops it.
 *
 * `read(isFresh)` resolves with the list and its `logCursor`, past all caches if `isFresh`. `follow(after, sink)` subscribes
 * after that position, and returns the function that stops it. A position that the server no longer knows
 * (`CURSOR_EXPIRED`) is answered by reading the list again.
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

/** The code of an error, as graphql-ws, Apollo Client, urql and Relay report it. */
export function codeOf(error) {
  const [first] = Array.isArray(error) ? error : (error.errors ?? error.graphQLErrors ?? error.source?.errors ?? []);
  return first?.extensions?.code;
}
// docs:end
