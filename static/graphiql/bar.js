// The bar above GraphiQL with its sign-in dialog. It shows the session and the state of the socket, and changes the
// session.

import { post } from './http.js';
import { session } from './session.js';

const LOGIN = 'mutation Login($input: LoginInput!) { login(input: $input) { token } }';
const ME = 'query Me { me { username role } }';

const element = (id) => document.getElementById(id);

export function showStatus(state, text) {
  element('status').dataset.state = state;
  element('status').textContent = text;
}

export function setUpBar() {
  const dialog = element('sign-in');
  element('sign-in-button').addEventListener('click', () => dialog.showModal());
  element('sign-in-close').addEventListener('click', () => dialog.close());
  element('sign-out-button').addEventListener('click', () => (session.token = null));
  element('second-window').href = location.pathname;
  onSubmit(element('password-form'), ({ username, password }, signal) => tokenFor(username, password, signal));
  onSubmit(element('token-form'), ({ token }, signal) => checked(token.trim().replace(/^Bearer\s+/i, ''), signal));
  session.onChange(showSession);
  showSession();
}

// Runs `getToken` with the form's fields, and shows its errors in the dialog. Closing the dialog aborts the request: a
// late answer must not sign the user in or close a dialog that was opened later.
function onSubmit(form, getToken) {
  const button = form.querySelector('button');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const request = new AbortController();
    element('sign-in').addEventListener('close', () => request.abort(), { once: true });
    button.disabled = true;
    element('sign-in-error').textContent = '';
    try {
      session.token = await getToken(Object.fromEntries(new FormData(form)), request.signal);
      form.reset();
      element('sign-in').close();
    } catch (error) {
      if (!request.signal.aborted) element('sign-in-error').textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

async function tokenFor(username, password, signal) {
  const data = await dataOf({ query: LOGIN, variables: { input: { username, password } } }, { signal });
  return data.login.token;
}

async function checked(token, signal) {
  await dataOf({ query: ME }, { token, signal });
  return token;
}

async function dataOf(operation, options) {
  const { data, errors } = await post(operation, options);
  if (errors?.length) throw new Error(errors[0].message);
  return data;
}

async function showSession() {
  const { token, claims } = session;
  element('sign-in-button').hidden = Boolean(token);
  element('sign-out-button').hidden = !token;
  element('who').textContent = token ? 'signed in' : 'anonymous';
  element('who').title = claims?.exp ? `until ${new Date(claims.exp * 1000).toLocaleString()}` : '';
  if (!token) return;
  const text = await dataOf({ query: ME }, { token })
    .then(({ me }) => nameOf(me))
    .catch(() => 'token not accepted');
  // Another user may have signed in before the answer arrived.
  if (session.token === token) element('who').textContent = text;
}

function nameOf(user) {
  return user.role === 'ADMIN' ? `${user.username} (admin)` : user.username;
}
