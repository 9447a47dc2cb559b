// The three things that can be said about a ticket, each as the browser's own list to choose from.

import { useEffect, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { useClient } from './live.js';

const words = texts.ticket;
export const STATUSES = Object.keys(words.statuses);
export const PRIORITIES = Object.keys(words.priorities);

export function StatusSelect({ value, onChange, label = words.status }) {
  return <Select value={value} onChange={onChange} label={label} options={Object.entries(words.statuses)} />;
}

export function PrioritySelect({ value, onChange, label = words.priority, all }) {
  const options = Object.entries(words.priorities);
  return <Select value={value} onChange={onChange} label={label} options={all ? [['', all], ...options] : options} />;
}

// `first` is what an empty choice is called. `current` is the assignee there is, who may not be in the list.
export function AssigneeSelect({ value, onChange, label = words.assignee, first = words.nobody, current, more = [] }) {
  const users = useUsers();
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

// Asked once per page that needs them; who registers meanwhile is there the next time.
export function useUsers() {
  const client = useClient();
  const [users, setUsers] = useState([]);
  useEffect(() => {
    client.users().then((users) => setUsers(users.filter(({ disabled }) => !disabled)), () => {});
  }, [client]);
  return users;
}
