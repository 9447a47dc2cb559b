// Changing a message. What somebody else saved meanwhile is not overwritten unseen.

import { useRef, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { useClient, useIsMounted } from './live.js';
import { Field, problemText, useFocusAtFirst } from './parts.jsx';

export function MessageEditor({ message, onDone }) {
  const client = useClient();
  const isMounted = useIsMounted();
  const [problem, setProblem] = useState(null);
  // While a save waits for its answer the fields are read-only: the answer closes the editor, and a text that is typed
  // meanwhile would be lost. A second save would send an outdated revision and be refused with CONFLICT.
  const [isSaving, setIsSaving] = useState(false);
  // The version that the text below was made from.
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
      // Said once; whoever saves again has been told.
      if (problem.code === 'CONFLICT') revision.current = client.state.messages.get(message.id)?.revision;
      setProblem(problem);
      setIsSaving(false);
    }
  };
  return (
    <form class="editor" onSubmit={submit}>
      <Field label={texts.composer.title}><input name="title" defaultValue={message.title ?? ''} maxLength={200} readOnly={isSaving} /></Field>
      <textarea ref={area} class="boxed" name="content" rows={6} aria-label={texts.message.edit} defaultValue={message.content} required
        readOnly={isSaving} />
      {problem && (
        <p class="problem" role="alert">{problem.code === 'CONFLICT' ? texts.message.conflict : problemText(problem)}</p>
      )}
      <div class="buttons">
        <button class="primary" disabled={isSaving}>{texts.message.save}</button>
        <button type="button" class="quiet" onClick={onDone}>{texts.message.cancel}</button>
      </div>
    </form>
  );
}
