// Where one is: the part of the address behind #, so that every place can be linked to and the server needs to know none.

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

// { page, id, view }: "#/channel/3/tickets" is page "channel", id "3", view "tickets".
export function parse(hash) {
  const [page = '', id = null, view = null] = hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
  return { page: page || 'home', id: id || null, view };
}

export function go(hash) {
  location.hash = hash;
}

export function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const listener = () => setHash(location.hash);
    addEventListener('hashchange', listener);
    return () => removeEventListener('hashchange', listener);
  }, []);
  return parse(hash);
}
