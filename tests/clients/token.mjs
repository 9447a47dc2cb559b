// docs:start
/** By token function: the last rejected token, and the promise of its replacement. */
const renewals = new WeakMap();

/**
 * Resolves with a new token in place of a rejected one. Concurrent calls for one token share one call of `token(true)`.
 */
export function renewed(token, refused) {
  const last = renewals.get(token);
  if (last?.refused === refused) return last.fresh;
  const fresh = Promise.resolve(token(true));
  renewals.set(token, { refused, fresh });
  const forget = () => renewals.get(token)?.fresh === fresh && renewals.delete(token);
  fresh.then((answer) => answer === refused && forget(), forget); // no new token: the next request calls `token` again
  return fresh;
}

/**
 * Returns a `fetch` that sends a token. If the server rejects it (HTTP 401), the request is sent once more with a new
 * one. You provide `token(refused)`. It returns the current token, or nothing for an anonymous client. With `true` it
 * returns a new token, because the current one was rejected.
 */
export function signedIn(token) {
  return async (input, init = {}) => {
    const send = (bearer) => {
      const headers = new Headers(init.headers);
      if (bearer) headers.set('authorization', `Bearer ${bearer}`);
      return fetch(input, { ...init, headers });
    };
    const used = await token(false);
    const response = await send(used);
    if (response.status !== 401) return response;
    const fresh = await renewed(token, used);
    return fresh && fresh !== used ? send(fresh) : response;
  };
}
// docs:end
