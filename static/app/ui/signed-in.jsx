// The page to which the server sends a browser that returns from another issuer. It exchanges the code in the URL for a
// session.

import { useEffect, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { to } from './route.js';

const STORAGE_KEY = 'tidings.route';

// Remembers the route while the browser is at the issuer. Without storage, the user returns to the first page.
export function rememberRoute() {
  try {
    sessionStorage.setItem(STORAGE_KEY, location.hash);
  } catch {
    // The storage is full or forbidden.
  }
}

function rememberedRoute() {
  try {
    const route = sessionStorage.getItem(STORAGE_KEY) ?? '';
    sessionStorage.removeItem(STORAGE_KEY);
    return route.startsWith('#/') ? route : to.home();
  } catch {
    return to.home();
  }
}

export function SignedIn({ session, code }) {
  const [hasFailed, setHasFailed] = useState(false);
  const words = texts.signedIn;
  useEffect(() => {
    // `replace` removes the code from the history of the browser.
    session.beginWith(code).then(() => location.replace(rememberedRoute()), () => setHasFailed(true));
  }, []);

  return (
    <main class="sign-in">
      <div class="sign-in-card">
        <header class="sign-in-head">
          <img src="/favicon.svg" alt="" width="44" height="44" />
          <h1>{texts.name}</h1>
        </header>
        {hasFailed ? <p class="problem" role="alert">{words.failed}</p> : <p role="status">{words.title}</p>}
        {hasFailed && <p><a href={to.home()}>{words.back}</a></p>}
      </div>
    </main>
  );
}
