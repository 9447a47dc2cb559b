// The parts of the GraphiQL page that need no DOM.

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import test from 'node:test';
import { parse, print } from 'graphql';
import { examples } from '../graphiql/examples.js';
import { selectedName } from '../graphiql/operations.js';
import { resumePointOf, Positions } from '../graphiql/resume.js';
import { withoutSecrets } from '../graphiql/storage.js';

const operation = (text) => parse(text).definitions[0];

test('the resume point is the variable of `after` and the alias of the root field', () => {
  const definition = operation('subscription S($from: Cursor) { new: messageAdded(after: $from) { id cursor } }');
  assert.deepEqual(resumePointOf(definition), { variable: 'from', key: 'new' });
  assert.equal(resumePointOf(operation('subscription { messageAdded { id } }')), null);
  assert.equal(resumePointOf(operation('subscription { messageAdded(after: "x") { id } }')), null);
});

test('events and pings advance the position, a second opening of the socket does not', () => {
  const positions = new Positions();
  const payload = { variables: {} };
  positions.add(payload, { variable: 'after', key: 'messageAdded' });
  positions.onFirstOpen('a');
  assert.equal(payload.variables.after, 'a');
  positions.onEvent(payload, { data: { messageAdded: { cursor: 'b' } } });
  positions.onEvent(payload, { data: { messageAdded: { id: '1' } } });
  positions.onEvent(payload, { data: null, errors: [] });
  assert.equal(payload.variables.after, 'b');
  positions.onFirstOpen('z');
  assert.equal(payload.variables.after, 'b');
  positions.onPing('c');
  assert.equal(payload.variables.after, 'c');
  positions.remove(payload);
  positions.onPing('d');
  assert.equal(payload.variables.after, 'c');
});

test('the selected operation stays selected while it is in the document, also after a change of its name', () => {
  const operations = (text) => parse(text).definitions;
  const before = operations('query A { a } query B { b }');
  assert.equal(selectedName(before, null, null), 'A');
  assert.equal(selectedName(operations('query B { b } query C { c }'), before, 'B'), 'B');
  assert.equal(selectedName(operations('query A { a } query Renamed { b }'), before, 'B'), 'Renamed');
  assert.equal(selectedName(operations('query Other { a }'), before, 'B'), 'Other');
  assert.equal(selectedName(operations('{ a }'), before, 'B'), null);
  assert.equal(selectedName([], before, 'B'), null);
});

test('passwords and tokens are not stored', () => {
  const query = 'mutation { login(input: { username: "ada", password: "p\\"q" }) { token } }';
  const variables = '{\n  "name": "ada",\n  "password": "secret"\n}';
  assert.equal(withoutSecrets('graphiql:query', query), query.replace('"p\\"q"', '""'));
  assert.equal(withoutSecrets('graphiql:variables', variables), variables.replace('secret', ''));
  const tabs = JSON.parse(withoutSecrets('graphiql:tabState', JSON.stringify({ tabs: [{ query, variables }] })));
  assert.equal(tabs.tabs[0].variables, variables.replace('secret', ''));
  assert.equal(tabs.tabs[0].query, query.replace('"p\\"q"', '""'));
});

test('the examples are valid documents with JSON variables', () => {
  for (const { query, variables } of examples) assert.ok(print(parse(query)) && JSON.parse(variables));
});

test('the Markdown mode of CodeMirror (CVE-2025-6493) is not in the assets', async () => {
  const assets = new URL('../dist/assets/', import.meta.url);
  const names = (await readdir(assets)).filter((name) => name.endsWith('.js'));
  const scripts = await Promise.all(names.map((name) => readFile(new URL(name, assets), 'utf8')));
  const modes = scripts.flatMap((script) => [...script.matchAll(/\.defineMode\(["'`]([\w-]+)/g)].map(([, mode]) => mode));
  assert.ok(modes.includes('graphql'), 'the scripts do not contain the editor, so this test proves nothing');
  assert.deepEqual(modes.filter((mode) => ['markdown', 'gfm'].includes(mode)), []);
});
