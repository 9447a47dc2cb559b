// Who is looking at a channel just now. Not a part of the log: asked for anew whenever the line is new.

import { useEffect, useState } from 'preact/hooks';
import { PRESENCE_CHANGED } from '../data/documents.js';
import { texts } from '../texts.js';
import { useClient, useLive } from './live.js';
import { Avatar, Menu, Name } from './parts.jsx';

const SHOWN = 3;

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
    <span class="faces">
      {people.slice(0, SHOWN).map((user) => <Avatar key={user.id} user={user} size="small" />)}
      {people.length > SHOWN && <span class="faces-more">+{people.length - SHOWN}</span>}
    </span>
  );
}

// Those who are there come first, so each new line begins with nobody; the old list stays until the first of them came.
function usePresence(channelId) {
  const client = useClient();
  const isLive = useLive(({ connection }) => connection.phase === 'live');
  const [people, setPeople] = useState(/** @type {import('../data/types.d.ts').User[]} */ ([]));
  useEffect(() => {
    if (!isLive) return undefined;
    const here = new Map();
    return client.follow(PRESENCE_CHANGED, { channelId }, ({ user, present }) => {
      if (present) here.set(user.id, user);
      else here.delete(user.id);
      setPeople([...here.values()].sort(byName));
    });
  }, [client, channelId, isLive]);
  return people;
}

function byName(one, other) {
  return one.displayName.localeCompare(other.displayName);
}
