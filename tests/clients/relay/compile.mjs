// Runs relay-compiler over messages.js, and imports its artifacts.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const HERE = import.meta.dirname;

export async function compiled() {
  const cli = path.join(HERE, '../node_modules/relay-compiler/cli.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'relay.config.json'], { cwd: HERE, encoding: 'utf8' });
  if (status !== 0) throw new Error(`relay-compiler failed\n${stdout}${stderr}`);
  const made = async (name) => (await import(`./__generated__/${name}.graphql.js`)).default;
  return {
    query: await made('messagesQuery'),
    subscription: await made('messagesAddedSubscription'),
    threads: await made('messagesThreadsQuery'),
  };
}
