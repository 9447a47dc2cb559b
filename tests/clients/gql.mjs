// gql (Python). gql_client.py runs the library and exchanges JSON lines with this script.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { runScenario } from './harness.mjs';

const PYTHON = process.env.TIDINGS_CLIENTS_PYTHON || 'python3';
const SCRIPT = path.join(import.meta.dirname, 'gql_client.py');

const python = (offer) => ({ http, socket, token, socketToken }) => {
  const child = spawn(PYTHON, [SCRIPT, http, socket, offer], { stdio: ['pipe', 'pipe', 'inherit'] });
  const say = (message) => child.stdin.write(`${JSON.stringify(message)}\n`);
  const sinks = new Map();
  let ids = 0;

  createInterface({ input: child.stdout }).on('line', async (line) => {
    const message = JSON.parse(line);
    if (message.token) return say({ kind: message.token, token: await (message.token === 'socket' ? socketToken : token)(message.refused) });
    sinks.get(message.id)?.(message);
  });

  const start = (kind, query, variables, sink) => {
    const id = (ids += 1);
    sinks.set(id, sink);
    say({ id, kind, query, variables });
    return () => {
      sinks.delete(id);
      say({ stop: id });
    };
  };
  const run = (query, variables = {}) =>
    new Promise((resolve, reject) =>
      start('execute', query, variables, ({ data, failed }) => (failed ? reject(new Error(failed)) : resolve(data))),
    );
  return {
    query: run,
    mutate: run,
    subscribe: (query, variables, { next, error, complete }) =>
      start('subscribe', query, variables, (message) => {
        if (message.next) next(message.next);
        else if (message.error) error(message.error);
        else complete();
      }),
    close: () => child.kill(),
  };
};

await runScenario({ open: python('graphql-transport-ws'), label: 'graphql-transport-ws: ', hasMore: true });
await runScenario({ open: python('graphql-ws'), label: 'graphql-ws: ', hasMore: true });
// The sub-protocols that gql offers by default, in this order.
await runScenario({ open: python('graphql-ws,graphql-transport-ws'), gaps: ['cut'], label: 'default: ' });
