#!/usr/bin/env node
// node run.mjs path/to/tidings [--no-skips] [name …]
//
// Runs every recipe of docs/clients.md, and the audits of GraphQL over HTTP, against the given binary. Two scripts run
// at a time, each with its own server, database and proxy. Each prints one line: `ok name …`, `skip name …` or `FAIL
// name …`. The exit code is 1 after any FAIL. This script needs only Node, and installs the packages that the recipes
// need.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { startControl } from './runner/control.mjs';
import { DIRECTORY as HERE, docsDifferences } from './runner/docs.mjs';
import { findChromium, installNode, installPython } from './runner/install.mjs';
import { Proxy } from './runner/proxy.mjs';
import { Server } from './runner/server.mjs';

/** Modules in this directory that are not started as scripts. */
const NOT_RECIPES = new Set(['run', 'harness', 'fixture', 'documents', 'resume', 'resume-legacy', 'token', 'support', 'list', 'list-component', 'urql-graphcache', 'graphql-ws-recipe']);
/** Scripts that use the built-in WebSocket of Node. Before Node 22 it needs a flag. */
const NATIVE = new Set(['live', 'live-chromium', 'quickstart']);
const AT_ONCE = 2;
const RECIPE_WITHIN_MS = 300_000;

const args = process.argv.slice(2);
const noSkips = args.includes('--no-skips');
const [binary, ...chosen] = args.filter((argument) => !argument.startsWith('--'));
if (!binary) {
  console.error('usage: node run.mjs path/to/tidings [--no-skips] [name …]');
  process.exit(2);
}

let failed = 0;
checkDocs();
installNode(HERE);
const python = installPython(HERE);
const chromium = findChromium();
const queue = recipes();
await Promise.all(Array.from({ length: AT_ONCE }, worker));
process.exit(failed ? 1 : 0);

function recipes() {
  const all = readdirSync(HERE).filter((file) => file.endsWith('.mjs')).map((file) => path.basename(file, '.mjs'));
  const known = all.filter((name) => !NOT_RECIPES.has(name)).sort();
  const unknown = chosen.filter((name) => !known.includes(name));
  if (unknown.length) fail(unknown.join(' '), `no such recipe; the recipes are ${known.join(' ')}`);
  return chosen.length ? known.filter((name) => chosen.includes(name)) : known;
}

async function worker() {
  for (let name; (name = queue.shift()); ) {
    if (name === 'gql' && !python) skip(name, 'no python3 with venv on this machine');
    else if (name === 'live-chromium' && !chromium) skip(name, 'no chromium on this machine');
    else await runRecipe(name).catch((error) => fail(name, error.stack ?? String(error)));
  }
}

async function runRecipe(name) {
  const server = new Server(path.resolve(binary));
  let proxy, control;
  try {
    await server.start();
    proxy = await new Proxy().listen(server.port);
    control = await startControl({ binary: path.resolve(binary), server, proxy });
    const started = Date.now();
    const { code, output } = await runScript(name, [proxy.origin, control.url]);
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    const proven = [...output.matchAll(/^proven: (.*)$/gm)].map(([, what]) => what);
    if (code === 0 && proven.length) console.log(`ok ${name} (${proven.join('; ')}; ${seconds} s)`);
    else fail(name, `exit ${code} after ${seconds} s\n${output}\n--- the log of the server\n${server.logTail}`);
  } finally {
    control?.close();
    proxy?.close();
    await server.remove();
  }
}

function runScript(name, scriptArgs) {
  const isOld = Number(process.versions.node.split('.')[0]) < 22;
  const flags = NATIVE.has(name) && isOld ? ['--experimental-websocket', '--no-warnings'] : [];
  const child = spawn(process.execPath, [...flags, path.join(HERE, `${name}.mjs`), ...scriptArgs], {
    cwd: HERE,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TIDINGS_CLIENTS_PYTHON: python ?? '', TIDINGS_CLIENTS_CHROMIUM: chromium ?? '' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const timer = setTimeout(() => {
    output += `\nthe script did not end within ${RECIPE_WITHIN_MS} ms`;
    child.kill('SIGKILL');
  }, RECIPE_WITHIN_MS);
  return new Promise((resolve) =>
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signal, output });
    }),
  );
}

function checkDocs() {
  const differences = docsDifferences();
  if (differences.length) fail('docs', differences.join('\n'));
  else console.log('ok docs (the code blocks of docs/clients.md equal the recipes)');
}

function skip(name, reason) {
  if (noSkips) fail(name, reason);
  else console.log(`skip ${name} (${reason})`);
}

function fail(name, why) {
  failed += 1;
  console.log(`FAIL ${name} ${why.trim().replaceAll('\n', '\n    ')}`);
}
