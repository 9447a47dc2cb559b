// The dialogs for creating a channel and for its details: description, members, deletion.

import { useEffect, useState } from 'preact/hooks';
import { ADD_MEMBER, CHANNEL_BY_NAME, MEMBERS, REMOVE_MEMBER } from '../data/documents.js';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClient, useIsMounted, useClientData } from './client-context.js';
import { Avatar, Dialog, Field, Name, problemText } from './parts.jsx';
import { go, isOn, to } from './route.js';
import { Select, useUsers } from './ticket-fields.jsx';

const words = texts.channelForm;

export function ChannelForm({ onClose }) {
  const client = useClient();
  const isMounted = useIsMounted();
  const [problem, setProblem] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const { name, description, isPrivate } = event.currentTarget.elements;
    // The fields are read before the request: the user may change them until the answer arrives.
    const input = {
      name: name.value.trim(),
      description: description.value.trim() || null,
      visibility: isPrivate.checked ? 'PRIVATE' : 'PUBLIC',
    };
    try {
      const { channel } = await client.run(CHANNEL_BY_NAME, { name: input.name });
      // A closed dialog creates no channel.
      if (!isMounted.current) return;
      const { id } = channel ?? await client.createChannel(input);
      if (!isMounted.current) return;
      onClose();
      go(to.channel(id));
    } catch (problem) {
      setProblem(problem);
    }
  };
  return (
    <Dialog title={words.title} onClose={onClose}>
      <form onSubmit={submit}>
        <Field label={words.name} hint={words.nameHint}><input name="name" required maxLength={100} autofocus autocomplete="off" /></Field>
        <Field label={words.description}><input name="description" maxLength={500} autocomplete="off" /></Field>
        <label class="field-check"><input type="checkbox" name="isPrivate" />{words.private}</label>
        {problem && <p class="problem" role="alert">{problemText(problem)}</p>}
        <button class="button-primary button-wide">{words.create}</button>
      </form>
    </Dialog>
  );
}

export function ChannelDetails({ channel, onClose }) {
  const client = useClient();
  const me = useClientData(({ state }) => state.me);
  const [members, setMembers] = useState([]);
  const [problem, setProblem] = useState(null);
  const isPrivate = channel.visibility === 'PRIVATE';
  const mayChange = me?.role === 'ADMIN' || me?.id === channel.owner?.id;
  const loadMembers = () => client.run(MEMBERS, { id: channel.id })
    .then(({ channel }) => setMembers(channel?.members.nodes ?? []), setProblem);
  useEffect(() => void loadMembers(), [channel.id]);
  const change = (document, userId) => client.run(document, { channelId: channel.id, userId }).then(loadMembers, setProblem);
  // The deletion unmounts this dialog, so only the address shows whether the user is still on the channel's page.
  const remove = () => confirm(words.confirmDelete(channel.name))
    && client.deleteChannel(channel.id).then(() => isOn('channel', channel.id) && go(to.home()), setProblem);
  return (
    <Dialog title={channel.name} onClose={onClose}>
      {channel.description && <p>{channel.description}</p>}
      <p class="hint">{isPrivate ? texts.channel.private : words.everyone}</p>
      <h3>{words.members}</h3>
      <ul class="people">
        {members.map((user) => (
          <li key={user.id}>
            <Avatar user={user} size="small" /><Name>{user.displayName}</Name>
            {user.id === channel.owner?.id && <span class="hint">{words.owner}</span>}
            <span class="spacer" />
            {(mayChange || user.id === me?.id) && user.id !== channel.owner?.id && (
              <button type="button" class="icon-button" aria-label={words.remove(user.displayName)}
                onClick={() => change(REMOVE_MEMBER, user.id)}><Icon name="close" size={16} /></button>
            )}
          </li>
        ))}
      </ul>
      {mayChange && <AddMember members={members} onAdd={(userId) => change(ADD_MEMBER, userId)} />}
      {problem && <p class="problem" role="alert">{problemText(problem)}</p>}
      {mayChange && <button type="button" class="button-danger" onClick={remove}>{words.deleteChannel}</button>}
    </Dialog>
  );
}

function AddMember({ members, onAdd }) {
  const others = useUsers().filter(({ id }) => !members.some((member) => member.id === id));
  if (!others.length) return null;
  const options = [['', `${words.addMember}…`], ...others.map(({ id, displayName }) => [id, displayName])];
  return <Select value="" label={words.addMember} options={options} onChange={(id) => id && onAdd(id)} />;
}
