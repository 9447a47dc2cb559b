// The page with the ticket board of all channels.

import { texts } from '../texts.js';
import { Board } from './board.jsx';
import { PageHead } from './page.jsx';

export function TicketsPage() {
  return (
    <main class="page">
      <PageHead title={texts.board.title} icon="board" />
      <Board />
    </main>
  );
}
