// A page whose thing is not there: it says why, and where to go. Without a reason it is still being looked for.

import { PageHead } from './page.jsx';
import { Empty } from './parts.jsx';
import { to } from './route.js';
import { texts } from '../texts.js';

export function NotFound({ title, reason }) {
  return (
    <main class="page">
      <PageHead title={title} />
      <Empty title={reason ?? texts.channel.loading}>
        {reason && <p><a href={to.home()}>{texts.notFound.home}</a></p>}
      </Empty>
    </main>
  );
}
