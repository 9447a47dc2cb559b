// The dialog that finds a channel by a part of its name.

import { useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { compareNames } from './channels.js';
import { focusComposer } from './composer.jsx';
import { Icon } from './icons.jsx';
import { useClientData } from './client-context.js';
import { Dialog, Name } from './parts.jsx';
import { go, isOn, to } from './route.js';

const MAX_SHOWN = 8;

export function Jump({ onClose }) {
  const channels = useClientData(({ state }) => state.channels);
  const [text, setText] = useState('');
  const [chosen, setChosen] = useState(0);
  const found = [...channels.values()].filter(({ name }) => name.toLowerCase().includes(text.trim().toLowerCase()))
    .sort(compareNames).slice(0, MAX_SHOWN);
  const open = (channel) => {
    if (!channel) return;
    onClose();
    // The composer of another channel takes the focus when it is mounted. If the channel is open already, its composer
    // is mounted and must be focused here.
    if (isOn('channel', channel.id)) setTimeout(focusComposer);
    go(to.channel(channel.id));
  };
  const onKeyDown = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Enter') open(found[chosen]);
    else if (by && found.length) setChosen((chosen + by + found.length) % found.length);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title={texts.jump.title} onClose={onClose}>
      <input class="jump-input" autofocus autocomplete="off" spellcheck={false} aria-label={texts.jump.label} placeholder={texts.jump.label}
        role="combobox" aria-expanded="true" aria-controls="jump-list" aria-activedescendant={found[chosen] && `jump-${chosen}`}
        value={text} onKeyDown={onKeyDown} onInput={(event) => (setText(event.currentTarget.value), setChosen(0))} />
      <ul class="jump-list" id="jump-list" role="listbox" aria-label={texts.nav.channels}>
        {found.map((channel, index) => (
          <li key={channel.id} id={`jump-${index}`} role="option" aria-selected={index === chosen} onClick={() => open(channel)}>
            <Icon name={channel.visibility === 'PRIVATE' ? 'lock' : 'hash'} size={18} /><Name>{channel.name}</Name>
          </li>
        ))}
      </ul>
      {!found.length && <p class="hint">{texts.jump.nothing}</p>}
    </Dialog>
  );
}
