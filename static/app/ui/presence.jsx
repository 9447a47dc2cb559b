// Who is looking at a channel just now. Not a part of the log: asked for anew whenever the line is new.

import { useEffect, useState } from 'preact/hooks';
import { PRESENCE, PRESENCE_CHANGED } from '../data/documents.js';
import { texts } from '../texts.js';
import { useClient, useLive } from './live.js';
import { Avatar, Menu } from './parts.jsx';

const SHOWN = 3;

export function Presence({ channelId }) {
  const people = usePresence(channelId);
  if (!people.length) return null;
  return (
    <div class="presence">
      <Menu label={texts.presence.label(people.length)} button={<Faces people={people} />}>
        <p class="menu-title">{texts.presence.title}</p>
        <ul class="people">
          {people.map((user) => <li key={user.id}><Avatar user={user} size="small" />{user.displayName}</li>)}
        </ul>
      </Menu>
    </div>
  );
}

function Faces({ people }) {
  return (
    <span class="faces">
      {people.slice(0, SHOWN).map((user) => <Avatar key={user.id} user={user} size="small" />)}
      {people.length > SHOWN && <span class="faces-more">+{people.length - SHOWN}</span>}
    </span>
  );
}

function usePresence(channelId) {
  const client = useClient();
  const isLive = useLive(({ connection }) => connection.phase === 'live');
  const [people, setPeople] = useState([]);
  useEffect(() => {
    if (!isLive) return undefined;
    let isHere = true;
    const change = ({ user, present }) =>
      setPeople((people) => [...people.filter(({ id }) => id !== user.id), ...(present ? [user] : [])]);
    const stop = client.follow(PRESENCE_CHANGED, { channelId }, change);
    client.run(PRESENCE, { channelId }).then(({ presence }) => isHere && setPeople(presence), () => {});
    return () => {
      isHere = false;
      stop();
    };
  }, [client, channelId, isLive]);
  return people;
}
