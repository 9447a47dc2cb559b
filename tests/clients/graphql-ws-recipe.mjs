// The use of the client of resume.mjs.

// docs:start
/** Runs a query or mutation over the socket, and resolves with its result. */
export function execute(client, query, variables) {
  return new Promise((resolve, reject) => {
    let result;
    client.subscribe({ query, variables }, {
      next: (value) => (result = value),
      error: reject,
      complete: () => resolve(result),
    });
  });
}

/** Calls `onEvent` with every event after `variables.after`, once and in order. Returns the function that stops it. */
export function follow(client, query, variables, onEvent, onEnd) {
  return client.subscribe({ query, variables }, {
    next: ({ data, errors }) => (errors ? onEnd(errors) : onEvent(Object.values(data)[0])),
    error: onEnd, // GraphQL errors (CURSOR_EXPIRED: query again), or a close event without a reconnect
    complete: () => onEnd(),
  });
}
// docs:end
