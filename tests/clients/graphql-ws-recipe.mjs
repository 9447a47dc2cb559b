// How the client of resume.mjs is used.

// docs:start
/** The result of a query or mutation sent over the socket. */
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
    error: onEnd, // GraphQL errors (CURSOR_EXPIRED: query again), or a close event that is final
    complete: () => onEnd(),
  });
}
// docs:end
