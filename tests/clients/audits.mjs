// Runs the audits of npm `graphql-http`, which check the GraphQL-over-HTTP specification (MUST, SHOULD and MAY). A
// failed audit of any kind fails this script.
import assert from 'node:assert/strict';
import { auditServer } from 'graphql-http';

const KNOWN = 61; // the number of audits in the version of package-lock.json: adapt it after an update
const [origin] = process.argv.slice(2);
assert(origin, 'usage: node SCRIPT HTTP_ORIGIN (run.mjs starts this script)');

const results = await auditServer({ url: `${origin}/graphql`, fetchFn: fetch });
const passed = results.filter(({ status }) => status === 'ok');
const failed = results.filter(({ status }) => status !== 'ok');
for (const { id, name, status, reason } of failed) console.error(`${status} ${id} ${name}: ${reason}`);
assert.deepEqual([passed.length, results.length], [KNOWN, KNOWN]);

const kinds = ['MUST', 'SHOULD', 'MAY'].map((kind) => `${kind} ${passed.filter(({ name }) => name.startsWith(kind)).length}`);
console.log(`proven: ${passed.length}/${results.length} audits of GraphQL over HTTP: ${kinds.join(', ')}`);
