// The entry point of the web client. It shows the sign-in page without a session, and the shell with one.

import { Component, render } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Client } from './data/client.js';
import { Session } from './data/session.js';
import { openStorage } from '../browser-storage.js';
import { texts } from './texts.js';
import { Announcer } from './ui/announce.jsx';
import { ClientContext } from './ui/client-context.js';
import { ResetPassword } from './ui/reset-password.jsx';
import { to, useRoute } from './ui/route.js';
import { Shell } from './ui/shell.jsx';
import { SignIn } from './ui/sign-in.jsx';
import { forgetRoute, SignedIn } from './ui/signed-in.jsx';

const { storage, isPersistent } = openStorage();
const session = new Session(storage);

function storageProblem() {
  if (!isPersistent) return 'forbidden';
  return session.isPersistent ? null : 'full';
}

function App() {
  const [userId, setUserId] = useState(session.current?.user.id);
  useEffect(() => session.onChange(() => {
    setUserId(session.current?.user.id);
    if (session.current) forgetRoute();
  }), []);
  const client = useMemo(() => (userId ? new Client({ session, storage, storageProblem: storageProblem() }) : null), [userId]);
  useEffect(() => () => client?.close(), [client]);
  const { page, id } = useRoute();
  if (page === 'reset') return <ResetPassword key={id} session={session} token={id} />;
  if (page === 'signed-in') return <SignedIn key={id} session={session} code={id} />;
  if (!client) return <SignIn session={session} isPersistent={isPersistent} invite={page === 'invite' ? id : null} />;
  return (
    <ClientContext.Provider value={client}>
      <Shell key={userId} onSignOut={() => session.signOut()} />
      <Announcer />
    </ClientContext.Provider>
  );
}

// Error boundary: an exception while rendering shows an error page instead of an empty one. Drafts and unsent messages
// are in the storage and are not lost.
class ErrorBoundary extends Component {
  state = { error: null };

  componentDidCatch(error) {
    console.error(error);
    this.setState({ error });
  }

  render({ children }, { error }) {
    if (!error) return children;
    return (
      <main class="page">
        <div class="empty" role="alert">
          <p class="empty-title">{texts.fault.title}</p>
          <p>{texts.fault.lead}</p>
          <p>{String(error.message ?? error)}</p>
          <p><button type="button" class="button-primary" onClick={() => location.reload()}>{texts.fault.reload}</button></p>
          <p><a href={to.home()} onClick={() => setTimeout(() => location.reload())}>{texts.notFound.home}</a></p>
        </div>
      </main>
    );
  }
}

document.documentElement.lang = texts.language;
render(<ErrorBoundary><App /></ErrorBoundary>, document.getElementById('app'));
