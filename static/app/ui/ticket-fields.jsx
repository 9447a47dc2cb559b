// The three things that can be said about a ticket, each as the browser's own list to choose from.

/** @import { Id, Person, User } from '../data/types.d.ts' */

import { useEffect, useState } from 'preact/hooks';
import { MEMBERS } from '../data/documents.js';
import { texts } from '../texts.js';
import { useClient, useLive } from './live.js';

const words = texts.ticket;
export const STATUSES = Object.keys(words.statuses);
export const PRIORITIES = Object.keys(words.priorities);

export function StatusSelect({ value, onChange, label = words.status }) {
  return <Select value={value} onChange={onChange} label={label} options={Object.entries(words.statuses)} />;
}

/**
 * @param {{ value: string, onChange: (value: any) => void, label?: string, all?: string }} props `all` is what an empty
 *   choice is called, if there may be one.
 */
export function PrioritySelect({ value, onChange, label = words.priority, all }) {
  const options = Object.entries(words.priorities);
  return <Select value={value} onChange={onChange} label={label} options={all ? [['', all], ...options] : options} />;
}

/**
 * `first` is what an empty choice is called. `current` is the assignee there is, who may not be in the list. With a
 * `channelId` the choice is among those who can read that channel: nobody else would hear of the ticket.
 *
 * @param {{
 *   value: string | null,
 *   onChange: (id: string | null) => void,
 *   label?: string,
 *   first?: string,
 *   current?: Person | null,
 *   channelId?: Id,
 *   more?: [id: string, text: string][],
 * }} props
 */
export function AssigneeSelect({ value, onChange, label = words.assignee, first = words.nobody, current, channelId, more = [] }) {
  const users = useReaders(channelId);
  const known = users.some(({ id }) => id === current?.id) || !current ? users : [current, ...users];
  const options = [['', first], ...more, ...known.map(({ id, displayName }) => [id, displayName])];
  return <Select value={value ?? ''} onChange={(id) => onChange(id || null)} label={label} options={options} />;
}

export function Select({ value, onChange, label, options }) {
  return (
    <select value={value} aria-label={label} title={label} onChange={(event) => onChange(event.currentTarget.value)}>
      {options.map(([key, text]) => <option key={key} value={key} selected={key === value}>{text}</option>)}
    </select>
  );
}

// Says so when a ticket's assignee cannot see it: it was given to them before, or by a program.
export function AssigneeNote({ channelId, assignee }) {
  const readers = useReaders(channelId);
  const isPrivate = useLive(({ state }) => state.channels.get(channelId)?.visibility === 'PRIVATE');
  if (!assignee || !isPrivate || !readers.length || readers.some(({ id }) => id === assignee.id)) return null;
  return <p class="hint">{words.cannotSee(assignee.displayName)}</p>;
}

// All users, or those who can read a private channel: its members and the admins.
function useReaders(channelId) {
  const client = useClient();
  const users = useUsers();
  const isPrivate = useLive(({ state }) => state.channels.get(channelId)?.visibility === 'PRIVATE');
  const [members, setMembers] = useState(null);
  useEffect(() => {
    setMembers(null);
    if (!isPrivate) return undefined;
    // The answer for one channel can arrive after another one was chosen.
    let isOver = false;
    client.run(MEMBERS, { id: channelId }).then(({ channel }) => isOver || setMembers(channel?.members.nodes ?? null), () => {});
    return () => (isOver = true);
  }, [client, channelId, isPrivate]);
  if (!isPrivate || !members) return isPrivate ? [] : users;
  return users.filter(({ id, role }) => role === 'ADMIN' || members.some((member) => member.id === id));
}

// Asked once per page that needs them; who registers meanwhile is there the next time.
export function useUsers() {
  const client = useClient();
  const [users, setUsers] = useState(/** @type {User[]} */ ([]));
  useEffect(() => {
    client.users().then(setUsers, () => {});
  }, [client]);
  return users;
}
