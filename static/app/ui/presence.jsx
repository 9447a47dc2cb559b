// The users who have a channel open now. Presence is not in the event log, so it is subscribed to again after every
// reconnect.

import { useEffect, useState } from 'preact/hooks';
import { PRESENCE_CHANGED } from '../data/documents.js';
import { texts } from '../texts.js';
import { useClient, useClientData } from './client-context.js';
import { Avatar, Menu, Name } from './parts.jsx';

const MAX_SHOWN = 3;

export function Presence({ channelId }) {
  const people = usePresence(channelId);
  if (!people.length) return null;
  return (
    <div class="presence">
      <Menu label={texts.presence.label(people.length)} button={<Faces people={people} />}>
        <p class="menu-title">{texts.presence.title}</p>
        <ul class="people">
          {people.map((user) => <li key={user.id}><Avatar user={user} size="small" /><Name>{user.displayName}</Name></li>)}
        </ul>
      </Menu>
    </div>
  );
}

function Faces({ people }) {
  return (
    <span class="presence-faces">
      {people.slice(0, MAX_SHOWN).map((user) => <Avatar key={user.id} user={user} size="small" />)}
      {people.length > MAX_SHOWN && <span class="presence-more">+{people.length - MAX_SHOWN}</span>}
    </span>
  );
}

// A new subscription first delivers all users who are present, so it starts with an empty map. The previous list stays
// on the screen until the first of them arrives.
function usePresence(channelId) {
  const client = useClient();
  const isLive = useClientData(({ connection }) => connection.phase === 'live');
  const [people, setPeople] = useState(/** @type {import('../data/types.d.ts').User[]} */ ([]));
  useEffect(() => {
    if (!isLive) return undefined;
    const presentUsers = new Map();
    return client.subscribe(PRESENCE_CHANGED, { channelId }, ({ user, present }) => {
      if (present) presentUsers.set(user.id, user);
      else presentUsers.delete(user.id);
      setPeople([...presentUsers.values()].sort(byName));
    });
  }, [client, channelId, isLive]);
  return people;
}

function byName(one, other) {
  return one.displayName.localeCompare(other.displayName);
}
