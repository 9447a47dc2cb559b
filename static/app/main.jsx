// The app's roof: who is signed in decides what is shown; everything else hangs below.

import { Component, render } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Client } from './data/client.js';
import { Session } from './data/session.js';
import { openStorage } from '../browser-storage.js';
import { texts } from './texts.js';
import { Announcer } from './ui/announce.jsx';
import { ClientContext } from './ui/live.js';
import { to } from './ui/route.js';
import { Shell } from './ui/shell.jsx';
import { SignIn } from './ui/sign-in.jsx';

const { storage, isKept } = openStorage();
const session = new Session(storage);

function notKept() {
  if (!isKept) return 'forbidden';
  return session.isKept ? null : 'full';
}

function App() {
  const [userId, setUserId] = useState(session.current?.user.id);
  useEffect(() => session.onChange(() => setUserId(session.current?.user.id)), []);
  const client = useMemo(() => (userId ? new Client({ session, storage, notKept: notKept() }) : null), [userId]);
  useEffect(() => () => client?.close(), [client]);
  if (!client) return <SignIn session={session} isKept={isKept} />;
  return (
    <ClientContext.Provider value={client}>
      <Shell key={userId} onSignOut={() => session.end('signed-out')} />
      <Announcer />
    </ClientContext.Provider>
  );
}

// A fault in drawing must not leave an empty page. What was written is in the storage.
class Guard extends Component {
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
          <p><button type="button" class="primary" onClick={() => location.reload()}>{texts.fault.reload}</button></p>
          <p><a href={to.home()} onClick={() => setTimeout(() => location.reload())}>{texts.notFound.home}</a></p>
        </div>
      </main>
    );
  }
}

document.documentElement.lang = texts.language;
render(<Guard><App /></Guard>, document.getElementById('app'));
