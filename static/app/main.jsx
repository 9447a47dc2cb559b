// The app's roof: who is signed in decides what is shown; everything else hangs below.

import { render } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Client } from './data/client.js';
import { Session } from './data/session.js';
import { texts } from './texts.js';
import { Announcer } from './ui/announce.jsx';
import { ClientContext } from './ui/live.js';
import { Shell } from './ui/shell.jsx';
import { SignIn } from './ui/sign-in.jsx';

const session = new Session(localStorage);

function App() {
  const [userId, setUserId] = useState(session.current?.user.id);
  useEffect(() => session.onChange(() => setUserId(session.current?.user.id)), []);
  const client = useMemo(() => (userId ? new Client({ session, storage: localStorage }) : null), [userId]);
  useEffect(() => () => client?.close(), [client]);
  if (!client) return <SignIn session={session} />;
  return (
    <ClientContext.Provider value={client}>
      <Shell key={userId} onSignOut={() => session.end('signed-out')} />
      <Announcer />
    </ClientContext.Provider>
  );
}

document.documentElement.lang = texts.language;
render(<App />, document.getElementById('app'));
