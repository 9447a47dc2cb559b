// GraphQL over HTTP. `post` resolves with the JSON of the answer for any HTTP status, and throws if `signal` is aborted
// before the answer arrives.

const ENDPOINT = '/graphql';

/**
 * @param {object} operation
 * @param {{ token?: string | null, headers?: Record<string, string>, signal?: AbortSignal }} [options]
 * @returns {Promise<any>}
 */
export async function post(operation, { token, headers, signal } = {}) {
  const response = await fetch(ENDPOINT, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json, application/json',
      'content-type': 'application/json',
      ...(token && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: JSON.stringify(operation),
    signal,
  });
  const text = await response.text();
  // Some implementations of fetch do not reject an aborted request if its answer has arrived.
  signal?.throwIfAborted();
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON, for example the error page of a proxy or a 503 of the server: show the status instead of a parse error.
    return { errors: [{ message: `HTTP ${response.status} ${response.statusText}: ${text.slice(0, 500)}` }] };
  }
}
