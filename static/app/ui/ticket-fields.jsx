// The fields of a ticket (status, priority, assignee) as native <select> elements.

/** @import { Id, Person, User } from '../data/types.d.ts' */

import { useEffect, useState } from 'preact/hooks';
import { MEMBERS } from '../data/documents.js';
import { texts } from '../texts.js';
import { useClient, useClientData } from './client-context.js';

const words = texts.ticket;
export const STATUSES = Object.keys(words.statuses);
export const PRIORITIES = Object.keys(words.priorities);

export function StatusSelect({ value, onChange, label = words.status }) {
  return <Select value={value} onChange={onChange} label={label} options={Object.entries(words.statuses)} />;
}

/**
 * @param {{ value: string, onChange: (value: any) => void, label?: string, all?: string }} props `all` is the label of an empty
 *   option; without it there is no empty option.
 */
export function PrioritySelect({ value, onChange, label = words.priority, all }) {
  const options = Object.entries(words.priorities);
  return <Select value={value} onChange={onChange} label={label} options={all ? [['', all], ...options] : options} />;
}

/**
 * `first` is the label of the empty option. `current` is the present assignee, who may not be among the loaded users.
 * With a `channelId` the options are the users who can read that channel: others could not see the ticket.
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

// A note for a ticket whose assignee cannot read it: the user has left the channel, or a program assigned the ticket.
export function AssigneeNote({ channelId, assignee }) {
  const readers = useReaders(channelId);
  const isPrivate = useClientData(({ state }) => state.channels.get(channelId)?.visibility === 'PRIVATE');
  if (!assignee || !isPrivate || !readers.length || readers.some(({ id }) => id === assignee.id)) return null;
  return <p class="hint">{words.cannotSee(assignee.displayName)}</p>;
}

// The users who can read a channel: the members and the admins for a private channel, otherwise all users.
function useReaders(channelId) {
  const client = useClient();
  const users = useUsers();
  const isPrivate = useClientData(({ state }) => state.channels.get(channelId)?.visibility === 'PRIVATE');
  const [members, setMembers] = useState(null);
  useEffect(() => {
    setMembers(null);
    if (!isPrivate) return undefined;
    // The answer for one channel can arrive after the user has chosen another one.
    let isOver = false;
    client.run(MEMBERS, { id: channelId }).then(({ channel }) => isOver || setMembers(channel?.members.nodes ?? null), () => {});
    return () => (isOver = true);
  }, [client, channelId, isPrivate]);
  if (!isPrivate || !members) return isPrivate ? [] : users;
  return users.filter(({ id, role }) => role === 'ADMIN' || members.some((member) => member.id === id));
}

// The users, queried once per mounted component. A user who registers later is missing until the next mount.
export function useUsers() {
  const client = useClient();
  const [users, setUsers] = useState(/** @type {User[]} */ ([]));
  useEffect(() => {
    client.users().then(setUsers, () => {});
  }, [client]);
  return users;
}
