// The template menu of the composer: it inserts a template, deletes one, or saves the composer's text as a new one.

import { useState } from 'preact/hooks';
import { DELETE_TEMPLATE } from '../data/documents.js';
import { texts } from '../texts.js';
import { Icon } from './icons.jsx';
import { useClient, useIsMounted, useClientData } from './client-context.js';
import { Dialog, Field, Menu, Name, problemText } from './parts.jsx';

const words = texts.composer;

export function Templates({ text, onInsert }) {
  const client = useClient();
  const templates = useClientData(({ state }) => state.templates);
  const me = useClientData(({ state }) => state.me);
  const [isNaming, setIsNaming] = useState(false);
  const isMine = ({ authorId }) => authorId === me?.id || me?.role === 'ADMIN';
  return (
    <>
      <Menu label={words.templates} button={<Icon name="template" />} placement="above">
        {(close) => (
          <>
            <p class="menu-title">{words.templates}</p>
            {templates.size === 0 && <p class="hint">{words.noTemplates}</p>}
            {[...templates.values()].map((template) => (
              <div class="menu-row" key={template.id}>
                <button type="button" class="menu-item" onClick={() => (close(), onInsert(template.content))}>
                  <b><Name>{template.name}</Name></b><span class="menu-preview">{template.content}</span>
                </button>
                {isMine(template) && (
                  <button type="button" class="icon-button" aria-label={words.deleteTemplate(template.name)}
                    onClick={() => client.run(DELETE_TEMPLATE, { id: template.id }).catch(() => {})}>
                    <Icon name="close" size={16} />
                  </button>
                )}
              </div>
            ))}
            {text.trim() && (
              <button type="button" class="menu-item" onClick={() => (close(), setIsNaming(true))}>{words.saveTemplate}</button>
            )}
          </>
        )}
      </Menu>
      {isNaming && <NameTemplate content={text.trim()} onClose={() => setIsNaming(false)} />}
    </>
  );
}

function NameTemplate({ content, onClose }) {
  const client = useClient();
  const isMounted = useIsMounted();
  const [problem, setProblem] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    // Preact bubbles the event to the form of the composer, which would send the message.
    event.stopPropagation();
    try {
      await client.addTemplate({ name: event.currentTarget.elements.name.value.trim(), content });
      if (isMounted.current) onClose();
    } catch (problem) {
      setProblem(problem);
    }
  };
  return (
    <Dialog title={words.saveTemplate} onClose={onClose}>
      <form onSubmit={submit}>
        <Field label={words.templateName}><input name="name" required maxLength={100} autofocus /></Field>
        <p class="quote">{content}</p>
        {problem && <p class="problem" role="alert">{problemText(problem)}</p>}
        <button class="button-primary button-wide">{texts.message.save}</button>
      </form>
    </Dialog>
  );
}
