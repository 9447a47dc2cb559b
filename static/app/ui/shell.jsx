// The layout around every page: the sidebar, the banners, the page, and the global keyboard shortcuts.

import { useEffect, useRef, useState } from 'preact/hooks';
import { compareNames, unreadTotal } from './channels.js';
import { ChannelPage } from './channel-page.jsx';
import { ChannelForm } from './channel-form.jsx';
import { Dashboard } from './dashboard.jsx';
import { Help } from './help.jsx';
import { Jump } from './jump.jsx';
import { useClient, useClientData } from './client-context.js';
import { MessagePage } from './message-page.jsx';
import { Notifications } from './notifications.jsx';
import { Banners } from './banners.jsx';
import { NotFound } from './not-found.jsx';
import { Empty } from './parts.jsx';
import { go, isOn, to, useRoute } from './route.js';
import { Sidebar } from './sidebar.jsx';
import { TicketsPage } from './tickets-page.jsx';
import { texts } from '../texts.js';

const WIDE = matchMedia('(min-width: 720px)');

export function Shell({ onSignOut }) {
  const route = useRoute();
  const [dialog, setDialog] = useState(null);
  useTitle(route);
  useHome(route);
  useFocus(route);
  useKeys(route, setDialog);
  return (
    <div class="shell" data-page={route.page}>
      <a class="skip-link" href="#content" onClick={skip}>{texts.nav.skip}</a>
      <Sidebar route={route} onSignOut={onSignOut} onDialog={setDialog} />
      <div class="main" id="content" tabindex={-1}>
        <Banners route={route} />
        <Page route={route} onNewChannel={() => setDialog('channel')} />
      </div>
      {dialog === 'channel' && <ChannelForm onClose={() => setDialog(null)} />}
      {dialog === 'jump' && <Jump onClose={() => setDialog(null)} />}
      {dialog === 'help' && <Help onClose={() => setDialog(null)} />}
    </div>
  );
}

function Page({ route, onNewChannel }) {
  const { page, id, view } = route;
  if (page === 'channel') return <ChannelPage key={id} id={id} view={view} />;
  if (page === 'message') return <MessagePage key={id} id={id} />;
  if (page === 'tickets') return <TicketsPage />;
  if (page === 'notifications') return <Notifications />;
  if (page === 'dashboard') return <Dashboard />;
  if (page === 'unknown' || page === 'invite') return <NotFound title={texts.notFound.title} reason={texts.notFound.reason} />;
  return <Home onNewChannel={onNewChannel} />;
}

// The home page. It has content only while there are no channels.
function Home({ onNewChannel }) {
  const isEmpty = useClientData(({ state }) => state.isLoaded && state.channels.size === 0);
  return (
    <main class="page">
      {isEmpty && (
        <Empty title={texts.home.title}>
          <p>{texts.home.lead}</p>
          <p><button type="button" class="button-primary" onClick={onNewChannel}>{texts.home.make}</button></p>
        </Empty>
      )}
    </main>
  );
}

// Moves the focus by script: the router would read the fragment of the link as a route.
function skip(event) {
  event.preventDefault();
  document.getElementById('content').focus();
}

function useTitle(route) {
  const unread = useClientData((client) => unreadTotal(client.state));
  const channel = useClientData((client) => (route.page === 'channel' ? client.state.channels.get(route.id)?.name : null));
  useEffect(() => {
    document.title = `${unread ? `(${unread}) ` : ''}${channel ? `${channel} – ` : ''}${texts.name}`;
  }, [unread, channel]);
  // The sign-in page must not keep the title of the previous page.
  useEffect(() => () => (document.title = texts.name), []);
}

// Moves the focus to the new page after a navigation, so that keyboard users continue there. On a channel page the
// composer takes the focus.
function useFocus(route) {
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current && route.page !== 'channel') document.getElementById('content').focus({ preventScroll: true });
    isFirst.current = false;
  }, [route.page, route.id]);
}

// On wide screens the home page would be empty, so it redirects to the last or the first channel.
function useHome(route) {
  const client = useClient();
  const channels = useClientData((client) => client.state.channels);
  useEffect(() => {
    if (route.page !== 'home' || !WIDE.matches || !channels.size) return;
    // An effect runs after the page is painted, and the URL may have changed since the rendering.
    if (!isOn('home')) return;
    const last = client.lastChannel;
    const first = [...channels.values()].sort(compareNames)[0].id;
    location.replace(to.channel(channels.has(last) ? last : first));
  }, [route.page, channels]);
}

function useKeys(route, setDialog) {
  const client = useClient();
  useEffect(() => {
    const onKeyDown = (event) => {
      const isWriting = event.target.closest?.('input, textarea, select');
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') setDialog('jump');
      else if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
        step(client, route, event.key === 'ArrowDown' ? 1 : -1);
      } else if (event.key === '?' && !isWriting) setDialog('help');
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  }, [client, route.id]);
}

function step(client, route, by) {
  const channels = [...client.state.channels.values()].sort(compareNames);
  if (!channels.length) return;
  const index = channels.findIndex(({ id }) => id === route.id);
  go(to.channel(channels.at((index + by) % channels.length).id));
}
