// The routes of the web client. A route is in the URL fragment, so the server serves one page for all of them.

import { useEffect, useState } from 'preact/hooks';

export const to = {
  home: () => '#/',
  channel: (id) => `#/channel/${id}`,
  channelBoard: (id) => `#/channel/${id}/tickets`,
  message: (id) => `#/message/${id}`,
  board: () => '#/tickets',
  notifications: () => '#/notifications',
  dashboard: () => '#/dashboard',
};

// The random part of a link to set a password, of an invitation, or of the return from another issuer.
const TOKEN = /^[\w-]{20,100}$/;

// Ids are decimal numbers of at most 64 bits.
const ID = /^[1-9]\d{0,18}$/;

// For each page, a check of the other parts of the route.
const PAGES = {
  home: (id, view) => id === null && view === null,
  channel: (id, view) => ID.test(id) && (view === null || view === 'tickets'),
  message: (id, view) => ID.test(id) && view === null,
  tickets: (id, view) => id === null && view === null,
  notifications: (id, view) => id === null && view === null,
  dashboard: (id, view) => id === null && view === null,
  reset: (id, view) => TOKEN.test(id ?? '') && view === null,
  invite: (id, view) => TOKEN.test(id ?? '') && view === null,
  'signed-in': (id, view) => TOKEN.test(id ?? '') && view === null,
};

// Parses a URL fragment. "#/channel/3/tickets" is page "channel", id "3", view "tickets". An invalid route is the page
// "unknown".
export function parse(hash) {
  const [first = '', second, third, ...more] = hash.replace(/^#\/?/, '').replace(/\/$/, '').split('/');
  const [page, id, view] = [first || 'home', second ?? null, third ?? null];
  if (more.length || !Object.hasOwn(PAGES, page) || !PAGES[page](id, view)) return { page: 'unknown', id: null, view: null };
  return { page, id, view };
}

export function go(hash) {
  location.hash = hash;
}

// Whether this page is open now. Code that navigates after an answer or a timer checks this first: the user may have
// opened another page meanwhile.
export function isOn(page, id = null) {
  const route = parse(location.hash);
  return route.page === page && route.id === id;
}

export function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const listener = () => setHash(location.hash);
    addEventListener('hashchange', listener);
    // The URL may have changed between the first rendering and this effect.
    listener();
    return () => removeEventListener('hashchange', listener);
  }, []);
  return parse(hash);
}
