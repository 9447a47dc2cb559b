// Who is signed in. The token lives in localStorage: a reload keeps it, and other tabs share it.

/** @import { KeyedStorage, SignedIn, User } from './types.d.ts' */

import { LOGIN, REFRESH, REGISTER } from './documents.js';
import { Problem } from './problem.js';

const KEY = 'tidings.session';

// How often a token is looked at that does not say how long it lasts.
const USUAL_REFRESH_MS = 60_000;

export class Session {
  #storage;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /**
   * The session for which the storage has no room; null as long as the storage has it.
   *
   * @type {Partial<SignedIn> | null}
   */
  #unkept = null;
  /**
   * Why nobody is signed in any more; null as long as nothing happened.
   *
   * @type {'signed-out' | 'ended' | null}
   */
  endedFor = null;

  /** @param {KeyedStorage} storage */
  constructor(storage) {
    this.#storage = storage;
    addEventListener('storage', ({ key }) => {
      if (key !== KEY) return;
      this.#unkept = null;
      this.#changed();
    });
  }

  /** @returns {SignedIn | null} */
  get current() {
    const { token, user } = this.#kept;
    return typeof token === 'string' && typeof user?.id === 'string' ? /** @type {SignedIn} */ (this.#kept) : null;
  }

  /**
   * Whose session ended here last, so that they need not write their name again.
   *
   * @returns {User | null}
   */
  get lastUser() {
    const { user } = this.#kept;
    return user && typeof user.username === 'string' ? user : null;
  }

  // Whether a reload finds the session again.
  get isKept() {
    return this.#unkept === null;
  }

  /**
   * What is stored may be damaged: whoever reads it signs in again.
   *
   * @returns {Partial<SignedIn>}
   */
  get #kept() {
    if (this.#unkept) return this.#unkept;
    try {
      return JSON.parse(this.#storage.getItem(KEY) ?? 'null') ?? {};
    } catch {
      return {};
    }
  }

  /** @param {() => void} listener */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * @param {string} username
   * @param {string} password
   * @param {{ signal?: AbortSignal }} [options] `signal` aborts the request. An aborted call throws and begins no session.
   */
  async login(username, password, { signal } = {}) {
    this.#begin((await ask(LOGIN, { input: { username, password } }, signal)).login);
  }

  /**
   * @param {string} username
   * @param {string} password
   * @param {string} displayName
   * @param {{ signal?: AbortSignal }} [options] As for `login`.
   */
  async register(username, password, displayName, { signal } = {}) {
    const input = { username, password, ...(displayName && { displayName }) };
    this.#begin((await ask(REGISTER, { input }, signal)).register);
  }

  // Often enough that a token is looked at before it ends.
  get refreshEveryMs() {
    const { iat, exp } = claimsOf(this.current?.token);
    return exp > iat ? Math.min(USUAL_REFRESH_MS, ((exp - iat) * 1000) / 5) : USUAL_REFRESH_MS;
  }

  // A token in the second half of its life is exchanged, over the socket, which lives on with the new one.
  async refreshOver(run) {
    const { current } = this;
    if (!current) return;
    const { iat, exp } = claimsOf(current.token);
    if (!(Date.now() / 1000 >= (iat + exp) / 2)) return;
    const { refreshToken } = await run(REFRESH);
    // Somebody else may have signed in meanwhile, in another tab.
    if (this.current?.user.id === refreshToken.user.id) this.#write(refreshToken);
  }

  // `why`: 'signed-out' by the user, or 'ended' by the server.
  end(why) {
    this.endedFor = why;
    this.#write({ user: why === 'ended' ? this.lastUser : null });
    this.#changed();
  }

  #begin(session) {
    this.endedFor = null;
    this.#write(session);
    this.#changed();
  }

  #write(session) {
    this.#unkept = null;
    try {
      this.#storage.setItem(KEY, JSON.stringify(session));
    } catch {
      // The storage is full. A token that has ended must not stay there.
      this.#storage.removeItem(KEY);
      this.#unkept = session;
    }
  }

  #changed() {
    for (const listener of this.#listeners) listener();
  }
}

async function ask(query, variables, signal) {
  let answer;
  try {
    const response = await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json' },
      body: JSON.stringify({ query, variables }),
      signal,
    });
    answer = await response.json();
  } catch {
    throw new Problem('UNREACHABLE');
  }
  // Not every transport rejects an aborted request whose answer has arrived.
  signal?.throwIfAborted();
  if (answer.errors) throw Problem.of(answer.errors);
  return answer.data;
}

/**
 * The server judges a token; here it is only read. One that cannot be read says nothing.
 *
 * @param {string | undefined} token
 */
function claimsOf(token) {
  try {
    const payload = (token ?? '').split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
    return JSON.parse(atob(payload)) ?? {};
  } catch {
    return {};
  }
}
