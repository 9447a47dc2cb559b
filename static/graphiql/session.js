// Who is signed in: a JWT, kept in sessionStorage so that it ends with the tab and is not shared with others.
// Nothing here judges a token; the server does.

import { openStorage } from '../browser-storage.js';

const KEY = 'tidings:token';

const { storage } = openStorage(() => globalThis.sessionStorage);

class Session {
  #listeners = new Set();

  constructor() {
    const expiry = this.claims?.exp;
    // Only here. A token that ends while a subscription runs is kept, and refused by the server until somebody
    // signs in: going on without it would pass by events that only this user may see.
    if (expiry && expiry * 1000 < Date.now()) storage.removeItem(KEY);
  }

  get token() {
    return storage.getItem(KEY);
  }

  set token(token) {
    if (token === this.token) return;
    if (token) storage.setItem(KEY, token);
    else storage.removeItem(KEY);
    for (const listener of this.#listeners) listener();
  }

  // What the token says, unverified: for display.
  get claims() {
    try {
      const payload = (this.token ?? '').split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
      const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      return null;
    }
  }

  onChange(listener) {
    this.#listeners.add(listener);
  }
}

export const session = new Session();
