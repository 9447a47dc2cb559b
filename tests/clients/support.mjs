// Functions of the scripts that do not use the harness: requests to the server and its control endpoint, and waiting.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

const [origin, controlUrl] = process.argv.slice(2);
assert(controlUrl, 'usage: node SCRIPT HTTP_ORIGIN CONTROL_URL (run.mjs starts this script)');
export const host = new URL(origin).host;

/** Calls an action of the control endpoint: see runner/control.mjs. */
export async function control(action) {
  const response = await fetch(`${controlUrl}${action}`, { method: 'POST' });
  const answer = await response.json();
  if (answer.error) throw new Error(`${action}: ${answer.error}`);
  return answer;
}

/** Runs an operation over HTTP and resolves with its data. */
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

/** Registers a new user. */
export async function register() {
  const input = { username: `user-${randomUUID()}`, password: 'a long enough one', displayName: 'Somebody' };
  const query = 'mutation ($input: RegisterInput!) { register(input: $input) { token user { id username } } }';
  const { register: session } = await graphql(undefined, query, { input });
  return { token: session.token, ...session.user };
}

/** Resolves when the condition is true; rejects after `patience` milliseconds. */
export async function until(what, condition, patience = 60_000) {
  const deadline = Date.now() + patience;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what}: the condition was not true within ${patience} ms`);
    await pause(10);
  }
}

export const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
