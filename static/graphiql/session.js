// The session of the GraphiQL page: a JWT in sessionStorage. It ends with the tab and is not shared with other tabs.
// The token is not verified here; the server does that.

import { openStorage } from '../browser-storage.js';

const KEY = 'tidings:token';

const { storage } = openStorage(() => globalThis.sessionStorage);

class Session {
  #listeners = new Set();

  constructor() {
    const expiry = this.claims?.exp;
    // An expired token is removed only when the page loads. A token that expires during a subscription stays, and the
    // server rejects it until the user signs in. Without it the subscription would resume as anonymous and skip private
    // events.
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

  // The unverified claims of the token, for display; null without a readable token.
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
