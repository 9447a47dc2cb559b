// The session of the signed-in user. The tokens are in localStorage: they survive a reload, and all tabs share them.

/** @import { KeyedStorage, SignedIn, User } from './types.d.ts' */

import { END_SESSION, LOGIN, REFRESH, REGISTER, RENEW, RESET_PASSWORD } from './documents.js';
import { Problem } from './problem.js';

const STORAGE_KEY = 'tidings.session';

// Interval of the refresh check in milliseconds, for a token without a readable lifetime.
const DEFAULT_REFRESH_MS = 60_000;

// Longest delay of a tab that renews a session in a browser without locks.
const MAX_TURN_DELAY_MS = 1_000;

export class Session {
  #storage;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /**
   * The session if the storage was too full for it; null if the storage has it.
   *
   * @type {Partial<SignedIn> | null}
   */
  #unstored = null;
  /**
   * Why the last session of this page ended; null if none has ended.
   *
   * @type {'signed-out' | 'ended' | null}
   */
  endReason = null;

  /** @param {KeyedStorage} storage */
  constructor(storage) {
    this.#storage = storage;
    addEventListener('storage', ({ key }) => {
      if (key !== STORAGE_KEY) return;
      this.#unstored = null;
      this.#notify();
    });
  }

  /** @returns {SignedIn | null} */
  get current() {
    const { token, user } = this.#stored;
    return typeof token === 'string' && typeof user?.id === 'string' ? /** @type {SignedIn} */ (this.#stored) : null;
  }

  /**
   * The user of the last session, so that the sign-in form can show the username.
   *
   * @returns {User | null}
   */
  get lastUser() {
    const { user } = this.#stored;
    return user && typeof user.username === 'string' ? user : null;
  }

  // Whether the session survives a reload.
  get isPersistent() {
    return this.#unstored === null;
  }

  /**
   * The stored session. A damaged one counts as absent: the user signs in again.
   *
   * @returns {Partial<SignedIn>}
   */
  get #stored() {
    if (this.#unstored) return this.#unstored;
    try {
      return JSON.parse(this.#storage.getItem(STORAGE_KEY) ?? 'null') ?? {};
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
    this.#begin((await post(LOGIN, { input: { username, password } }, signal)).login);
  }

  /**
   * @param {string} username
   * @param {string} password
   * @param {string} displayName
   * @param {{ signal?: AbortSignal, invite?: string | null }} [options] `signal` as for `login`; `invite` is the code of
   *   an invitation.
   */
  async register(username, password, displayName, { signal, invite } = {}) {
    const input = { username, password, ...(displayName && { displayName }), ...(invite && { invite }) };
    this.#begin((await post(REGISTER, { input }, signal)).register);
  }

  /**
   * Sets a new password with the token of a link, and begins a session.
   *
   * @param {string} token
   * @param {string} password
   */
  async resetPassword(token, password) {
    this.#begin((await post(RESET_PASSWORD, { input: { token, new: password } })).resetPassword);
  }

  // Interval of the refresh check in milliseconds: a fifth of the token's lifetime, at most one minute.
  get refreshEveryMs() {
    const { iat, exp } = claimsOf(this.current?.token);
    return exp > iat ? Math.min(DEFAULT_REFRESH_MS, ((exp - iat) * 1000) / 5) : DEFAULT_REFRESH_MS;
  }

  // Exchanges a token that is in the second half of its lifetime. The mutation runs over the socket, and the socket
  // continues with the new token.
  async refreshIfDue(run) {
    const { current } = this;
    if (!current) return;
    const { iat, exp } = claimsOf(current.token);
    if (!(Date.now() / 1000 >= (iat + exp) / 2)) return;
    const { refreshToken } = await run(REFRESH);
    // Another user may have signed in meanwhile, in another tab.
    const now = this.current;
    if (now && now.user.id === refreshToken.user.id) this.#write({ ...refreshToken, refreshToken: now.refreshToken });
  }

  // Whether the token has expired by the clock of this computer.
  get isExpired() {
    const { exp } = claimsOf(this.current?.token);
    return Date.now() / 1000 >= exp;
  }

  /**
   * Continues the session with its refresh token. Tabs take turns, because a refresh token is valid once.
   *
   * @returns {Promise<boolean>} Whether there is a new token. Rejects if the server cannot be reached.
   */
  async renew() {
    const before = this.current?.token;
    return inTurn(async () => {
      const { current } = this;
      // Another tab has renewed it, or the user has signed in again.
      if (current && current.token !== before) return true;
      if (!current?.refreshToken) return false;
      try {
        const { renewSession } = await post(RENEW, { refreshToken: current.refreshToken });
        this.#write(renewSession);
        return true;
      } catch (problem) {
        if (problem.code === 'UNAUTHENTICATED') return false;
        throw problem;
      }
    });
  }

  // Signs out, also on the server. It does not wait for the server.
  signOut() {
    const { token } = this.current ?? {};
    const { sid } = claimsOf(token);
    if (sid) post(END_SESSION, { id: sid }, undefined, token).catch(() => {});
    this.end('signed-out');
  }

  // `reason`: 'signed-out' (by the user) or 'ended' (by the server).
  end(reason) {
    this.endReason = reason;
    this.#write({ user: reason === 'ended' ? this.lastUser : null });
    this.#notify();
  }

  #begin(session) {
    this.endReason = null;
    this.#write(session);
    this.#notify();
  }

  #write(session) {
    this.#unstored = null;
    try {
      this.#storage.setItem(STORAGE_KEY, JSON.stringify(session));
    } catch {
      // The storage is full. The previous token must not stay in it.
      this.#storage.removeItem(STORAGE_KEY);
      this.#unstored = session;
    }
  }

  #notify() {
    for (const listener of this.#listeners) listener();
  }
}

// Runs `work` in one tab at a time. Only secure pages have locks. Elsewhere a random delay makes it unlikely that two tabs
// that were restored together run it at the same time.
async function inTurn(work) {
  const { locks } = globalThis.navigator ?? {};
  if (locks) return locks.request('tidings.session', work);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * MAX_TURN_DELAY_MS));
  return work();
}

/** @param {string} query @param {object} variables @param {AbortSignal} [signal] @param {string} [token] */
async function post(query, variables, signal, token) {
  let answer;
  try {
    const response = await fetch('/graphql', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json',
        ...(token && { authorization: `Bearer ${token}` }),
      },
      // The request of a sign-out may outlive the page.
      keepalive: Boolean(token),
      body: JSON.stringify({ query, variables }),
      signal,
    });
    answer = await response.json();
  } catch {
    throw new Problem('UNREACHABLE');
  }
  // Some implementations of fetch do not reject an aborted request if its answer has arrived.
  signal?.throwIfAborted();
  if (answer.errors) throw Problem.of(answer.errors);
  return answer.data;
}

/**
 * Reads the claims of a token without verifying them: the server does that. Returns {} for an unreadable token.
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
