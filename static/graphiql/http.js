// GraphQL over HTTP: one POST, the answer as JSON whatever the status. Throws if `signal` is aborted before the answer arrives.

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
  // Not every transport rejects an aborted request whose answer has arrived.
  signal?.throwIfAborted();
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's error page, or a server that is full: say so instead of showing a parse error.
    return { errors: [{ message: `HTTP ${response.status} ${response.statusText}: ${text.slice(0, 500)}` }] };
  }
}
