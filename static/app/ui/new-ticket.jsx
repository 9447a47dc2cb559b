// The dialog that creates a ticket from a board. Without a `channelId` the user also chooses the channel.

import { useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { compareNames } from './channels.js';
import { useClient, useClientData } from './client-context.js';
import { Dialog, Field, problemText } from './parts.jsx';
import { AssigneeSelect, PrioritySelect, Select } from './ticket-fields.jsx';

const words = texts.board;

export function NewTicket({ channelId, onClose }) {
  const client = useClient();
  const channels = [...useClientData(({ state }) => state.channels).values()].sort(compareNames);
  const [channel, setChannel] = useState(channelId ?? channels[0]?.id);
  const [priority, setPriority] = useState('MEDIUM');
  const [assigneeId, setAssigneeId] = useState(null);
  const [problem, setProblem] = useState(null);
  const submit = (event) => {
    event.preventDefault();
    const { title, content } = event.currentTarget.elements;
    try {
      client.write('message', {
        channelId: channel,
        title: title.value.trim(),
        content: content.value.trim(),
        ticket: { priority, assigneeId },
      });
      onClose();
    } catch (problem) {
      setProblem(problem);
    }
  };
  return (
    <Dialog title={words.new} onClose={onClose}>
      <form onSubmit={submit}>
        <Field label={texts.composer.title}><input name="title" required maxLength={200} autofocus autocomplete="off" /></Field>
        <Field label={words.text}><textarea name="content" class="textarea-boxed" rows={4} required /></Field>
        {!channelId && (
          <Field label={words.channel}>
            <Select value={channel} label={words.channel} options={channels.map(({ id, name }) => [id, name])}
              onChange={(id) => (setChannel(id), setAssigneeId(null))} />
          </Field>
        )}
        <div class="field-pair">
          <Field label={texts.ticket.priority}><PrioritySelect value={priority} onChange={setPriority} /></Field>
          <Field label={texts.ticket.assignee}><AssigneeSelect value={assigneeId} channelId={channel} onChange={setAssigneeId} /></Field>
        </div>
        {problem && <p class="problem" role="alert">{problemText(problem)}</p>}
        <button class="button-primary button-wide">{words.create}</button>
      </form>
    </Dialog>
  );
}
