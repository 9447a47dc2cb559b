// The audits of npm `graphql-http`: what the GraphQL-over-HTTP specification says a server must, should and may do.
// It is the judge, so whatever it finds, of whichever kind, fails.
import assert from 'node:assert/strict';
import { auditServer } from 'graphql-http';

const KNOWN = 61; // in the version of package-lock.json; a newer one that asks for more is counted here
const [origin] = process.argv.slice(2);
assert(origin, 'usage: node SCRIPT HTTP_ORIGIN; run.mjs does it');

const results = await auditServer({ url: `${origin}/graphql`, fetchFn: fetch });
const passed = results.filter(({ status }) => status === 'ok');
const failed = results.filter(({ status }) => status !== 'ok');
for (const { id, name, status, reason } of failed) console.error(`${status} ${id} ${name}: ${reason}`);
assert.deepEqual([passed.length, results.length], [KNOWN, KNOWN]);

const kinds = ['MUST', 'SHOULD', 'MAY'].map((kind) => `${kind} ${passed.filter(({ name }) => name.startsWith(kind)).length}`);
console.log(`proven: ${passed.length}/${results.length} audits of GraphQL over HTTP: ${kinds.join(', ')}`);
