// The editor of a message. A save fails with CONFLICT if another user has changed the message since the editor opened.

import { useRef, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { useClient, useIsMounted } from './client-context.js';
import { Field, problemText, useFocusAtFirst } from './parts.jsx';

export function MessageEditor({ message, onDone }) {
  const client = useClient();
  const isMounted = useIsMounted();
  const [problem, setProblem] = useState(null);
  // The fields are read-only until a save is answered: the answer closes the editor, and text that is typed meanwhile
  // would be lost. A second save would send an outdated revision and be rejected with CONFLICT.
  const [isSaving, setIsSaving] = useState(false);
  // The revision of the message that the user edits.
  const revision = useRef(message.revision);
  const area = useFocusAtFirst();
  const submit = async (event) => {
    event.preventDefault();
    const { title, content } = event.currentTarget.elements;
    setIsSaving(true);
    try {
      await client.edit({ id: message.id, title: title.value.trim() || null, content: content.value, ifCursor: revision.current });
      if (isMounted.current) onDone();
    } catch (problem) {
      // The user now sees the conflict, so the next save may overwrite the other change.
      if (problem.code === 'CONFLICT') revision.current = client.state.messages.get(message.id)?.revision;
      setProblem(problem);
      setIsSaving(false);
    }
  };
  return (
    <form class="editor" onSubmit={submit}>
      <Field label={texts.composer.title}><input name="title" defaultValue={message.title ?? ''} maxLength={200} readOnly={isSaving} /></Field>
      <textarea ref={area} class="textarea-boxed" name="content" rows={6} aria-label={texts.message.edit} defaultValue={message.content} required
        readOnly={isSaving} />
      {problem && (
        <p class="problem" role="alert">{problem.code === 'CONFLICT' ? texts.message.conflict : problemText(problem)}</p>
      )}
      <div class="editor-buttons">
        <button class="button-primary" disabled={isSaving}>{texts.message.save}</button>
        <button type="button" class="button-quiet" onClick={onDone}>{texts.message.cancel}</button>
      </div>
    </form>
  );
}
