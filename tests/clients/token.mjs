// docs:start
/**
 * A `fetch` that signs in, and once more with a fresh token when the server refuses the one it got (HTTP 401).
 * `token(refused)` is yours: the token you have; with `true` another one, because that one is no longer good.
 */
export function signedIn(token) {
  return async (input, init = {}) => {
    const send = async (refused) => {
      const headers = new Headers(init.headers);
      headers.set('authorization', `Bearer ${await token(refused)}`);
      return fetch(input, { ...init, headers });
    };
    const response = await send(false);
    return response.status === 401 ? send(true) : response;
  };
}
// docs:end
