// The page with the sign-in and registration forms. It also replaces the shell when the session ends. The URL keeps the
// route, so the user returns to the same page.

import { useEffect, useRef, useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { Field, problemText, useFocusAtFirst } from './parts.jsx';
import { go, to } from './route.js';
import { rememberRoute } from './signed-in.jsx';

// `invite` is the code of an invitation, if the user has opened the link of one.
export function SignIn({ session, isPersistent, invite }) {
  const [isNew, setIsNew] = useState(Boolean(invite));
  const [problem, setProblem] = useState(null);
  const [isBusy, setIsBusy] = useState(false);
  const words = texts.signIn;
  const issuer = useIssuer();
  const known = session.lastUser?.username ?? '';
  const first = useFocusAtFirst();
  // The request is aborted when the user leaves its form. A late answer must not sign the user in or show an error in
  // the other form.
  const request = useRef(null);
  useEffect(() => () => request.current?.abort(), []);

  const submit = async (event) => {
    event.preventDefault();
    const { username, password, displayName } = event.currentTarget.elements;
    const { signal } = (request.current = new AbortController());
    setIsBusy(true);
    setProblem(null);
    try {
      if (isNew) await session.register(username.value, password.value, displayName.value, { signal, invite });
      else await session.login(username.value, password.value, { signal });
      if (invite) go(to.home());
    } catch (problem) {
      if (signal.aborted) return;
      setProblem(problem);
      setIsBusy(false);
    }
  };
  const switchForm = () => {
    request.current?.abort();
    setIsNew(!isNew);
    setIsBusy(false);
    setProblem(null);
  };

  return (
    <main class="sign-in">
      <div class="sign-in-card">
        <header class="sign-in-head">
          <img src="/favicon.svg" alt="" width="44" height="44" />
          <h1>{texts.name}</h1>
          <p>{words.lead}</p>
        </header>
        {session.endReason === 'ended' && <p class="notice" role="status">{words.ended}</p>}
        {invite && <p class="notice" role="status">{words.invited}</p>}
        {!isPersistent && <p class="notice" role="status">{texts.storage.forbidden}</p>}
        <form onSubmit={submit} key={isNew}>
          <h2>{isNew ? words.newTitle : words.title}</h2>
          <Field label={words.username}>
            <input name="username" autocomplete="username" autocapitalize="none" spellcheck={false} required
              ref={known ? undefined : first} defaultValue={known} />
          </Field>
          {isNew && (
            <Field label={words.displayName} hint={words.displayNameHint}>
              <input name="displayName" autocomplete="name" />
            </Field>
          )}
          <Field label={words.password} hint={isNew && words.passwordHint}>
            <input name="password" type="password" ref={known ? first : undefined} required minLength={isNew ? 8 : undefined}
              autocomplete={isNew ? 'new-password' : 'current-password'} />
          </Field>
          {problem && <p class="problem" role="alert">{signInProblemText(problem, isNew)}</p>}
          <button class="button-primary button-wide" disabled={isBusy}>{isNew ? words.register : words.submit}</button>
        </form>
        {issuer && <a class="button-outline button-wide" href="/auth/oidc/start" onClick={rememberRoute}>{words.with(issuer)}</a>}
        <button type="button" class="button-link" onClick={switchForm}>{isNew ? words.toSignIn : words.toRegister}</button>
      </div>
    </main>
  );
}

// The name of another issuer where users can sign in, too; null if there is none.
function useIssuer() {
  const [name, setName] = useState(null);
  useEffect(() => {
    const controller = new AbortController();
    fetch('/auth/oidc', { signal: controller.signal })
      .then((response) => (response.ok ? response.json() : { name: null }))
      // Without an answer, the form for passwords is still usable.
      .then(({ name }) => setName(name ?? null), () => {});
    return () => controller.abort();
  }, []);
  return name;
}

function signInProblemText(problem, isNew) {
  return problem.code === 'UNAUTHENTICATED' && !isNew ? texts.signIn.refused : problemText(problem);
}
