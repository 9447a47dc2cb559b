// The page of a channel: its messages or its ticket board.

import { useEffect, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { Board } from './board.jsx';
import { ChannelDetails } from './channel-form.jsx';
import { Composer } from './composer.jsx';
import { Icon } from './icons.jsx';
import { useClient, useClientData } from './client-context.js';
import { MessageList } from './message-list.jsx';
import { PageHead } from './page.jsx';
import { Name } from './parts.jsx';
import { NotFound } from './not-found.jsx';
import { Presence } from './presence.jsx';
import { to } from './route.js';

export function ChannelPage({ id, view }) {
  const client = useClient();
  const channel = useClientData((client) => client.state.channels.get(id));
  const isLoaded = useClientData((client) => client.state.isLoaded);
  const broadcast = useClientData((client) => client.state.broadcasts.get(id));
  const [isOpen, setIsOpen] = useState(false);
  const isThere = Boolean(channel);
  useEffect(() => {
    if (isThere) client.lastChannel = id;
  }, [id, isThere]);
  if (!channel) return <NotFound title={texts.nav.channels} reason={isLoaded ? texts.channel.gone : null} />;
  const isBoard = view === 'tickets';
  const icon = channel.visibility === 'PRIVATE' ? 'lock' : 'hash';
  return (
    <main class="page">
      <PageHead title={<Name>{channel.name}</Name>} subtitle={channel.description} icon={icon}>
        <Presence channelId={id} />
        <nav class="segments" aria-label={texts.channel.views}>
          <Segment href={to.channel(id)} icon="text" isCurrent={!isBoard} name={texts.channel.messages} />
          <Segment href={to.channelBoard(id)} icon="board" isCurrent={isBoard} name={texts.channel.board} />
        </nav>
        <button type="button" class="icon-button" aria-label={texts.channel.details} title={texts.channel.details}
          onClick={() => setIsOpen(true)}><Icon name="more" /></button>
      </PageHead>
      {broadcast !== undefined && <Broadcast data={broadcast} />}
      {isBoard ? <Board channelId={id} /> : (
        <>
          <MessageList channel={channel} />
          <Composer key={id} kind="message" parentId={id} label={texts.composer.message(channel.name)} />
        </>
      )}
      {isOpen && <ChannelDetails channel={channel} onClose={() => setIsOpen(false)} />}
    </main>
  );
}

function Segment({ href, icon, isCurrent, name }) {
  return (
    <a href={href} aria-current={isCurrent ? 'page' : undefined} aria-label={name} title={name}>
      <Icon name={icon} size={18} /><span>{name}</span>
    </a>
  );
}

// The latest broadcast to this channel. Its data may be any JSON value.
function Broadcast({ data }) {
  const isPlain = typeof data !== 'object' || data === null;
  const text = isPlain ? String(data) : Object.entries(data).map(([name, value]) => `${name} ${plain(value)}`).join(' · ');
  return <p class="broadcast" role="status"><b>{texts.channel.broadcast}</b> {text}</p>;
}

function plain(value) {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
