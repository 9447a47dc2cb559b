// docs:start
/** What each `token` function answered last for a token that was refused. */
const renewals = new WeakMap();

/** Another token than the one that was refused. All who ask for the same one share one call of `token(true)`. */
export function renewed(token, refused) {
  const last = renewals.get(token);
  if (last?.refused === refused) return last.fresh;
  const fresh = Promise.resolve(token(true));
  renewals.set(token, { refused, fresh });
  const forget = () => renewals.get(token)?.fresh === fresh && renewals.delete(token);
  fresh.then((answer) => answer === refused && forget(), forget); // not renewed: the next request asks again
  return fresh;
}

/**
 * A `fetch` that signs in, and once more with a fresh token when the server refuses the one it got (HTTP 401).
 * `token(refused)` is yours: the token you have, or nothing for an anonymous reader; with `true` another one, because
 * that one is no longer good.
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
