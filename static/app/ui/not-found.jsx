// The page for an object that does not exist. It shows the reason and a link to the channels. Without a reason the
// object is still loading.

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
