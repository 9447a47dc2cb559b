// Owns the control endpoint: how a script under test asks for trouble. Used by run.mjs; harness.mjs is its caller.
import http from 'node:http';
import { Server } from './server.mjs';

/**
 * GET  /          {"server"}: the address past the proxy
 * POST /cut       every connection ends, without a close frame
 * POST /freeze    every connection stays open and falls silent
 * POST /restart   SIGKILL, then a start on the same port and database; answers when the server is ready
 * POST /shut      new connections are refused until POST /open
 * POST /refused   answers when one has been refused
 * POST /brief?username=NAME  {"token"}: of a user, made by the command line; it expires after two seconds
 * POST /stumble   the next connection is cut between connection_init and connection_ack
 * POST /admin     {"token"}: of an admin, made by the command line
 * POST /run?words=WORDS  {"output"}: what a command of the server prints, run beside it
 * POST /stranger  {"cursor"}: a cursor of another installation
 */
export async function startControl({ binary, server, proxy }) {
  const actions = {
    'GET /': () => ({ server: server.origin }),
    'POST /cut': () => proxy.cut(),
    'POST /freeze': () => proxy.freeze(),
    'POST /restart': () => server.kill().then(() => server.start()).then(() => {}),
    'POST /shut': () => proxy.shut(),
    'POST /refused': () => proxy.refused(),
    'POST /open': () => proxy.open(),
    'POST /stumble': () => proxy.stumble(),
    'POST /brief': (query) => ({ token: server.run(['token', query.get('username')], { TIDINGS_TOKEN_LIFETIME: '2s' }) }),
    'POST /admin': () => {
      server.run(['user', 'add', 'root', '--admin']);
      return { token: server.run(['token', 'root']) };
    },
    'POST /run': (query) => ({ output: server.run(query.get('words').split(' ')) }),
    'POST /stranger': () => strangersCursor(binary),
  };
  const listener = http.createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://control');
    const action = actions[`${request.method} ${pathname}`];
    try {
      const answer = action ? ((await action(searchParams)) ?? {}) : { error: 'no such action' };
      response.writeHead(action ? 200 : 404).end(JSON.stringify(answer));
    } catch (error) {
      response.writeHead(500).end(JSON.stringify({ error: String(error) }));
    }
  });
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${listener.address().port}`, close: () => listener.close() };
}

async function strangersCursor(binary) {
  const other = new Server(binary);
  try {
    await other.start();
    const input = { username: 'stranger', password: 'a long enough one', displayName: 'Stranger' };
    const { register } = await ask(other, 'mutation ($input: RegisterInput!) { register(input: $input) { token } }', { input });
    await ask(other, 'mutation { createChannel(input: { name: "elsewhere" }) { id } }', {}, register.token);
    return await ask(other, '{ cursor }'); // not the cursor of an empty log: that one may look the same everywhere
  } finally {
    await other.remove();
  }
}

async function ask(server, query, variables = {}, token = undefined) {
  const response = await fetch(`${server.origin}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}
