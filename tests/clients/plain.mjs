// What the scripts about the plain JSON socket share.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

const [origin, control] = process.argv.slice(2);
assert(control, 'usage: node SCRIPT HTTP_ORIGIN CONTROL_URL; run.mjs does it');
export const host = new URL(origin).host;

/** Asks for trouble, or an admin: see runner/control.mjs. */
export async function ask(action) {
  const response = await fetch(`${control}${action}`, { method: 'POST' });
  const answer = await response.json();
  if (answer.error) throw new Error(`${action}: ${answer.error}`);
  return answer;
}

/** The data of an operation. */
export async function graphql(token, query, variables = {}) {
  const response = await fetch(`${origin}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

/** A new user. */
export async function register() {
  const input = { username: `user-${randomUUID()}`, password: 'a long enough one', displayName: 'Somebody' };
  const query = 'mutation ($input: RegisterInput!) { register(input: $input) { token user { id username } } }';
  const { register: session } = await graphql(undefined, query, { input });
  return { token: session.token, ...session.user };
}

/** Waits for a condition, and fails instead of hanging. */
export async function until(what, condition, patience = 60_000) {
  const deadline = Date.now() + patience;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${patience} ms`);
    await pause(10);
  }
}

export const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
