// The control endpoint: a script calls it to inject faults and to run commands. run.mjs starts it.
import http from 'node:http';
import { Server } from './server.mjs';

/**
 * GET  /                   answers {"server"}: the origin of the server, without the proxy
 * POST /cut                ends every connection without a close frame
 * POST /freeze             keeps every connection open, but forwards no more bytes
 * POST /restart            kills the server with SIGKILL, starts it on the same port and database, answers when ready
 * POST /reject             rejects new connections until POST /accept
 * POST /wait-rejected      answers when a connection was rejected since POST /reject
 * POST /cut-handshake      cuts the next connection between connection_init and connection_ack
 * POST /short-lived-token?username=NAME  answers {"token"}: a token of the user that expires after two seconds
 * POST /admin              answers {"token"}: a token of a new admin
 * POST /run?words=WORDS    runs a command of the binary beside the server; answers {"output"}
 * POST /foreign-cursor     answers {"cursor"}: a cursor of another installation
 */
export async function startControl({ binary, server, proxy }) {
  const actions = {
    'GET /': () => ({ server: server.origin }),
    'POST /cut': () => proxy.cut(),
    'POST /freeze': () => proxy.freeze(),
    'POST /restart': () => server.kill().then(() => server.start()).then(() => {}),
    'POST /reject': () => proxy.rejectConnections(),
    'POST /wait-rejected': () => proxy.waitForRejection(),
    'POST /accept': () => proxy.acceptConnections(),
    'POST /cut-handshake': () => proxy.cutNextHandshake(),
    'POST /short-lived-token': (query) => ({ token: server.run(['token', query.get('username')], { TIDINGS_TOKEN_LIFETIME: '2s' }) }),
    'POST /admin': () => {
      server.run(['user', 'add', 'root', '--admin']);
      return { token: server.run(['token', 'root']) };
    },
    'POST /run': (query) => ({ output: server.run(query.get('words').split(' ')) }),
    'POST /foreign-cursor': () => foreignCursor(binary),
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

async function foreignCursor(binary) {
  const other = new Server(binary);
  try {
    await other.start();
    const input = { username: 'other', password: 'a long enough one', displayName: 'Other' };
    const { register } = await graphql(other, 'mutation ($input: RegisterInput!) { register(input: $input) { token } }', { input });
    await graphql(other, 'mutation { createChannel(input: { name: "elsewhere" }) { id } }', {}, register.token);
    // After a change, because the cursor of an empty log may be equal in all installations.
    return await graphql(other, '{ cursor }');
  } finally {
    await other.remove();
  }
}

async function graphql(server, query, variables = {}, token = undefined) {
  const response = await fetch(`${server.origin}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}
