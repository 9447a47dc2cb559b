// The page of a link with which a user sets a new password. The link works without a session, and replaces one.

import { useState } from 'preact/hooks';
import { texts } from '../texts.js';
import { Field, problemText, useFocusAtFirst } from './parts.jsx';
import { go, to } from './route.js';

export function ResetPassword({ session, token }) {
  const [problem, setProblem] = useState(null);
  const [isBusy, setIsBusy] = useState(false);
  const words = texts.resetPassword;
  const first = useFocusAtFirst();

  const submit = async (event) => {
    event.preventDefault();
    const { password } = event.currentTarget.elements;
    setIsBusy(true);
    setProblem(null);
    try {
      await session.resetPassword(token, password.value);
      go(to.home());
    } catch (problem) {
      setProblem(problem);
      setIsBusy(false);
    }
  };

  return (
    <main class="sign-in">
      <div class="sign-in-card">
        <header class="sign-in-head">
          <img src="/favicon.svg" alt="" width="44" height="44" />
          <h1>{texts.name}</h1>
        </header>
        <form onSubmit={submit}>
          <h2>{words.title}</h2>
          <Field label={words.password} hint={texts.signIn.passwordHint}>
            <input name="password" type="password" ref={first} required minLength={8} autocomplete="new-password" />
          </Field>
          {problem && <p class="problem" role="alert">{problemText(problem)}</p>}
          <button class="button-primary button-wide" disabled={isBusy}>{words.submit}</button>
        </form>
        <p><a href={to.home()}>{words.cancel}</a></p>
      </div>
    </main>
  );
}
