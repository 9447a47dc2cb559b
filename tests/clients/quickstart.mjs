// The quick starts of docs/json-socket.md, as they stand there but for the address, and those with rooms and tickets, with
// the WebSocket that is built in and Python's websockets.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ask, graphql, host, register, until } from './plain.mjs';

const page = readFileSync(path.join(import.meta.dirname, '../../docs/json-socket.md'), 'utf8');
const block = (language) => {
  const [, code] = page.match(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms'));
  assert(code.includes('localhost:8000'));
  return code.replaceAll('localhost:8000', host);
};

const { token: root } = await ask('/admin');
const NOTIFY = 'mutation ($input: NotifyUserInput!) { notifyUser(input: $input) { id } }';
const proven = [];

await shows('node', process.execPath, [...process.execArgv, '--input-type=module', '-e', block('js')]);
const python = process.env.TIDINGS_CLIENTS_PYTHON;
if (python) await shows('python', python, ['-u', '-c', block('python')]);
await rooms();
await tickets();
console.log(`proven: ${proven.join(', ')}`);
process.exit(0);

/** A program that prints what arrives prints an announcement. */
async function shows(name, program, words) {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  await until(`the subscription of ${name}`, () => said.includes('subscribed'));
  await graphql(root, NOTIFY, { input: { title: `For ${name}`, message: 'Hello', priority: 'HIGH' } });
  await until(`the announcement for ${name}`, () => said.includes(`For ${name}`) && said.includes('high'));
  child.kill();
  proven.push(name);
}

async function rooms() {
  const sockets = [];
  for (const { token } of [await register(), await register()]) {
    const socket = new WebSocket(`ws://${host}/api/v1/websocket/connect?token=${token}`);
    const heard = [];
    socket.onopen = () => socket.send(JSON.stringify({ type: 'join_room', room: 'project_123' }));
    socket.onmessage = ({ data }) => heard.push(JSON.parse(data));
    await until('the room', () => heard.some(({ type }) => type === 'joined'));
    sockets.push({ socket, heard });
  }
  sockets[0].socket.send(JSON.stringify({ type: 'message', room: 'project_123', text: 'Hello team!' }));
  for (const { heard } of sockets) await until('the message', () => heard.some(({ text }) => text === 'Hello team!'));
  await until('the answer', () => sockets[0].heard.some(({ type }) => type === 'sent'));
  proven.push('rooms');
}

async function tickets() {
  const { token, id: assigneeId } = await register();
  const socket = new WebSocket(`ws://${host}/api/v1/ws?token=${token}`);
  const heard = [];
  socket.onmessage = ({ data }) => heard.push(JSON.parse(data));
  await until('the tickets', () => heard.some(({ channel }) => channel === 'tickets'));
  const { channel } = await graphql(token, '{ channel(name: "project_123") { id } }');
  const create = 'mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }';
  const input = { channelId: channel.id, title: 'Fire', content: 'Help!', ticket: { priority: 'URGENT', assigneeId } };
  const { createMessage } = await graphql(token, create, { input });
  const update = `mutation ($id: ID!) { updateMessage(input: { id: $id, ticket: { status: RESOLVED } }) { id }
    createComment(input: { messageId: $id, content: "Done" }) { id } deleteMessage(id: $id) }`;
  await until('its creation', () => heard.some(({ type, ticket }) => type === 'ticket_created' && ticket.priority === 'urgent'));
  await graphql(token, update, { id: createMessage.id });
  await until('its end', () => heard.some(({ type, ticket_id }) => type === 'ticket_deleted' && ticket_id === createMessage.id));
  proven.push('tickets');
}
