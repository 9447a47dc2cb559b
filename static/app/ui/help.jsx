// The dialog with the keyboard shortcuts.

import { texts } from '../texts.js';
import { Dialog } from './parts.jsx';

export function Help({ onClose }) {
  return (
    <Dialog title={texts.help.title} onClose={onClose}>
      <dl class="keys">
        {texts.help.keys.map(([key, what]) => [<dt key={key}><kbd>{key}</kbd></dt>, <dd key={what}>{what}</dd>])}
      </dl>
    </Dialog>
  );
}
