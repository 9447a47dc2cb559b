// Who is signed in. The token lives in localStorage: a reload keeps it, and other tabs share it.

import { LOGIN, REFRESH, REGISTER } from './documents.js';
import { Problem } from './problem.js';

const KEY = 'tidings.session';

export class Session {
  #storage;
  #listeners = new Set();
  // Why nobody is signed in any more; null as long as nothing happened.
  endedFor = null;

  constructor(storage) {
    this.#storage = storage;
    addEventListener('storage', ({ key }) => key === KEY && this.#changed());
  }

  // { token, expiresAt, user }, or null.
  get current() {
    const kept = JSON.parse(this.#storage.getItem(KEY) ?? 'null');
    return kept?.token ? kept : null;
  }

  // Whose session ended here last, so that they need not write their name again.
  get lastUser() {
    return JSON.parse(this.#storage.getItem(KEY) ?? 'null')?.user ?? null;
  }

  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async login(username, password) {
    this.#begin((await ask(LOGIN, { input: { username, password } })).login);
  }

  async register(username, password, displayName) {
    const input = { username, password, ...(displayName && { displayName }) };
    this.#begin((await ask(REGISTER, { input })).register);
  }

  // Often enough that a token is looked at before it ends.
  get refreshEveryMs() {
    const { iat, exp } = claimsOf(this.current.token);
    return Math.min(60_000, ((exp - iat) * 1000) / 5);
  }

  // A token in the second half of its life is exchanged, over the socket, which lives on with the new one.
  async refreshOver(run) {
    const { current } = this;
    if (!current) return;
    const { iat, exp } = claimsOf(current.token);
    if (Date.now() / 1000 < (iat + exp) / 2) return;
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
    this.#storage.setItem(KEY, JSON.stringify(session));
  }

  #changed() {
    for (const listener of this.#listeners) listener();
  }
}

async function ask(query, variables) {
  let answer;
  try {
    const response = await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json' },
      body: JSON.stringify({ query, variables }),
    });
    answer = await response.json();
  } catch {
    throw new Problem('UNREACHABLE');
  }
  if (answer.errors) throw Problem.of(answer.errors);
  return answer.data;
}

function claimsOf(token) {
  const payload = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
  return JSON.parse(atob(payload));
}
