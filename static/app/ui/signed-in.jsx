// The page to which the server sends a browser that returns from another issuer. It exchanges the code in the URL for a
// session. A link from someone else could contain a code of theirs, and everything that is then written would be in their
// account. So the page asks first, unless this tab has begun the sign-in.

import { useEffect, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { to } from './route.js';

const STORAGE_KEY = 'tidings.route';
// How long a user may take to sign in at the issuer, in milliseconds. The server allows the same.
const MAX_AGE_MS = 600_000;

// Remembers the route while the browser is at the issuer. Without storage, the user returns to the first page.
export function rememberRoute() {
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify({ route: location.hash || to.home(), at: Date.now() }));
  } catch {
    // The storage is full or forbidden.
  }
}

// The route, or null if this tab has not begun a sign-in.
function rememberedRoute() {
  try {
    const { route, at } = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? '{}');
    return Date.now() - at < MAX_AGE_MS && String(route).startsWith('#/') ? route : null;
  } catch {
    return null;
  }
}

// Called when a session begins: a later link with a code is not of the sign-in that this tab has begun.
export function forgetRoute() {
  try {
    sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // The storage is forbidden.
  }
}

export function SignedIn({ session, code }) {
  const [route] = useState(rememberedRoute);
  /** @type {[null | 'busy' | 'failed', (state: null | 'busy' | 'failed') => void]} */
  const [state, setState] = useState(null);
  const words = texts.signedIn;
  const begin = () => {
    setState('busy');
    forgetRoute();
    // `replace` removes the code from the history of the browser.
    session.beginWith(code).then(() => location.replace(route ?? to.home()), () => setState('failed'));
  };
  useEffect(() => {
    if (route) begin();
  }, []);

  return (
    <main class="sign-in">
      <div class="sign-in-card">
        <header class="sign-in-head">
          <img src="/favicon.svg" alt="" width="44" height="44" />
          <h1>{texts.name}</h1>
        </header>
        {state === 'busy' && <p role="status">{words.title}</p>}
        {state === 'failed' && <p class="problem" role="alert">{words.failed}</p>}
        {!route && !state && <p>{words.question}</p>}
        {!route && !state && <button class="button-primary button-wide" onClick={begin}>{words.confirm}</button>}
        {state !== 'busy' && <p><a href={to.home()}>{words.back}</a></p>}
      </div>
    </main>
  );
}
