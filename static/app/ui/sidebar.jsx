// The sidebar: links to the pages, the channels with their numbers of unread messages, and the account menu.

import { unreadIn } from '../data/reducer.js';
import { texts } from '../texts.js';
import { compareNames } from './channels.js';
import { Icon } from './icons.jsx';
import { ConnectionIndicator } from './connection-indicator.jsx';
import { useClientData } from './client-context.js';
import { unreadNotifications } from './notifications.jsx';
import { Avatar, Badge, Menu, Name } from './parts.jsx';
import { to } from './route.js';

export function Sidebar({ route, onSignOut, onDialog }) {
  return (
    <div class="sidebar">
      <header class="sidebar-head">
        <a class="brand" href={to.home()}><img src="/favicon.svg" alt="" width="26" height="26" />{texts.name}</a>
        <ConnectionIndicator />
      </header>
      <button type="button" class="jump-button" onClick={() => onDialog('jump')} title={texts.nav.jumpHint}>
        <Icon name="search" size={18} />{texts.nav.jump}<kbd>Ctrl K</kbd>
      </button>
      <Pages route={route} />
      <Channels route={route} onDialog={onDialog} />
      <Me onSignOut={onSignOut} onDialog={onDialog} />
    </div>
  );
}

function Pages({ route }) {
  const unread = useClientData((client) => unreadNotifications(client.state));
  return (
    <nav class="page-links" aria-label={texts.nav.label}>
      <NavLink href={to.home()} icon="hash" isCurrent={route.page === 'home'} name="home">{texts.nav.channels}</NavLink>
      <NavLink href={to.board()} icon="board" isCurrent={route.page === 'tickets'}>{texts.nav.board}</NavLink>
      <NavLink href={to.notifications()} icon="bell" isCurrent={route.page === 'notifications'} badge={unread}>
        {texts.nav.notifications}
      </NavLink>
      <NavLink href={to.dashboard()} icon="chart" isCurrent={route.page === 'dashboard'}>{texts.nav.dashboard}</NavLink>
    </nav>
  );
}

/**
 * @param {{
 *   href: string,
 *   icon: string,
 *   isCurrent: boolean,
 *   badge?: number,
 *   name?: string,
 *   children: import('preact').ComponentChildren,
 * }} props
 */
function NavLink({ href, icon, isCurrent, badge, name, children }) {
  return (
    <a class="nav-link" data-name={name} href={href} aria-current={isCurrent ? 'page' : undefined}>
      <Icon name={icon} />
      <span class="nav-text">{children}</span>
      <Badge number={badge} />
    </a>
  );
}

function Channels({ route, onDialog }) {
  const channels = useClientData((client) => client.state.channels);
  const unread = useClientData((client) => client.state.unread);
  const isLoaded = useClientData((client) => client.state.isLoaded);
  const current = useClientData((client) => channelOf(client.state, route));
  const sorted = [...channels.values()].sort(compareNames);
  return (
    <nav class="channels" aria-labelledby="channels-title">
      <div class="sidebar-title">
        <h2 id="channels-title">{texts.nav.channels}</h2>
        <button type="button" class="icon-button" aria-label={texts.nav.newChannel} title={texts.nav.newChannel}
          onClick={() => onDialog('channel')}><Icon name="plus" size={18} /></button>
      </div>
      {isLoaded && sorted.length === 0 && <p class="hint">{texts.nav.noChannels}</p>}
      <ul>
        {sorted.map(({ id, name, visibility }) => {
          const number = unreadIn({ unread }, id);
          return (
            <li key={id}>
              <a class="nav-link" href={to.channel(id)} title={name} data-unread={number > 0} aria-current={id === current ? 'page' : undefined}>
                <Icon name={visibility === 'PRIVATE' ? 'lock' : 'hash'} size={18} />
                <span class="nav-text"><Name>{name}</Name></span>
                {visibility === 'PRIVATE' && <span class="visually-hidden">{texts.nav.private}</span>}
                <Badge number={number} />
              </a>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

function channelOf(state, { page, id }) {
  if (page === 'channel') return id;
  return page === 'message' ? state.messages.get(id)?.channelId : null;
}

function Me({ onSignOut, onDialog }) {
  const me = useClientData((client) => client.state.me);
  return (
    <footer class="account">
      <Avatar user={me} />
      <span class="account-name"><Name>{me?.displayName}</Name></span>
      <Menu label={texts.nav.account} button={<Icon name="more" />} placement="above">
        <button type="button" class="menu-item" onClick={() => onDialog('help')}>{texts.nav.help}</button>
        <a class="menu-item" href="/graphiql" target="_blank">{texts.nav.graphiql}</a>
        <button type="button" class="menu-item" onClick={onSignOut}>{texts.nav.signOut}</button>
      </Menu>
    </footer>
  );
}
