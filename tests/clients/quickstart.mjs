// The quick starts of docs/json-socket.md, unchanged except for the address: with the built-in WebSocket of Node and
// with websockets of Python. Then rooms and tickets over the same socket.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { control, graphql, host, register, until } from './support.mjs';

const page = readFileSync(path.join(import.meta.dirname, '../../docs/json-socket.md'), 'utf8');
const block = (language) => {
  const [, code] = page.match(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms'));
  assert(code.includes('localhost:8000'));
  return code.replaceAll('localhost:8000', host);
};

const { token: root } = await control('/admin');
const NOTIFY = 'mutation ($input: NotifyUserInput!) { notifyUser(input: $input) { id } }';
const proven = [];

await shows('node', process.execPath, [...process.execArgv, '--input-type=module', '-e', block('js')]);
const python = process.env.TIDINGS_CLIENTS_PYTHON;
if (python) await shows('python', python, ['-u', '-c', block('python')]);
await rooms();
await tickets();
console.log(`proven: ${proven.join(', ')}`);
process.exit(0);

/** Starts a quick start, sends an announcement, and waits until the program prints it. */
async function shows(name, program, words) {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  await until(`the subscription of ${name}`, () => output.includes('subscribed'));
  await graphql(root, NOTIFY, { input: { title: `For ${name}`, message: 'Hello', priority: 'HIGH' } });
  await until(`the announcement for ${name}`, () => output.includes(`For ${name}`) && output.includes('high'));
  child.kill();
  proven.push(name);
}

async function rooms() {
  const sockets = [];
  for (const { token } of [await register(), await register()]) {
    const socket = new WebSocket(`ws://${host}/api/v1/websocket/connect?token=${token}`);
    const received = [];
    socket.onopen = () => socket.send(JSON.stringify({ type: 'join_room', room: 'project_123' }));
    socket.onmessage = ({ data }) => received.push(JSON.parse(data));
    await until('the room', () => received.some(({ type }) => type === 'joined'));
    sockets.push({ socket, received });
  }
  sockets[0].socket.send(JSON.stringify({ type: 'message', room: 'project_123', text: 'Hello team!' }));
  for (const { received } of sockets) await until('the message', () => received.some(({ text }) => text === 'Hello team!'));
  await until('the answer', () => sockets[0].received.some(({ type }) => type === 'sent'));
  proven.push('rooms');
}

async function tickets() {
  const { token, id: assigneeId } = await register();
  const socket = new WebSocket(`ws://${host}/api/v1/ws?token=${token}`);
  const received = [];
  socket.onmessage = ({ data }) => received.push(JSON.parse(data));
  await until('the tickets', () => received.some(({ channel }) => channel === 'tickets'));
  const { channel } = await graphql(token, '{ channel(name: "project_123") { id } }');
  const create = 'mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }';
  const input = { channelId: channel.id, title: 'Fire', content: 'Help!', ticket: { priority: 'URGENT', assigneeId } };
  const { createMessage } = await graphql(token, create, { input });
  const update = `mutation ($id: ID!) { updateMessage(input: { id: $id, ticket: { status: RESOLVED } }) { id }
    createComment(input: { messageId: $id, content: "Done" }) { id } deleteMessage(id: $id) }`;
  await until('its creation', () => received.some(({ type, ticket }) => type === 'ticket_created' && ticket.priority === 'urgent'));
  await graphql(token, update, { id: createMessage.id });
  await until('its end', () => received.some(({ type, ticket_id }) => type === 'ticket_deleted' && ticket_id === createMessage.id));
  proven.push('tickets');
}
