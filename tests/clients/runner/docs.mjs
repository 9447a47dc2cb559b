// Compares docs/clients.md with the recipes. Each recipe in tests/clients/ has a region between `docs:start` and
// `docs:end`. The region of NAME must equal the code block below `<!-- from NAME -->`.
// run.mjs only compares. After a change of a recipe, `node runner/docs.mjs` updates the code blocks.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REGION = /^(?:\/\/|#) docs:start\n(.*?)^(?:\/\/|#) docs:end$/ms;
const BLOCK = /^(<!-- from (\S+) -->\n+```\w+\n)(.*?)^```$/gms;
export const DIRECTORY = fileURLToPath(new URL('..', import.meta.url));
export const PAGE = path.join(DIRECTORY, '../../docs/clients.md');

/** Returns one line for each difference between the page and the recipes. */
export function docsDifferences() {
  const blocks = new Map([...readFileSync(PAGE, 'utf8').matchAll(BLOCK)].map(([, , name, code]) => [name, code]));
  const regions = readRegions();
  const differences = [];
  for (const name of new Set([...blocks.keys(), ...regions.keys()])) {
    const [shown, run] = [blocks.get(name), regions.get(name)];
    if (run === undefined) differences.push(`the page shows ${name}, which has no docs:start … docs:end region`);
    else if (shown === undefined) differences.push(`the region of ${name} is not on the page`);
    else if (shown.trim() !== run.trim()) differences.push(`the region of ${name} and its block on the page differ`);
  }
  return differences;
}

function readRegions() {
  const regions = new Map();
  for (const name of readdirSync(DIRECTORY).filter((name) => /\.(mjs|py)$/.test(name))) {
    const region = readFileSync(path.join(DIRECTORY, name), 'utf8').match(REGION);
    if (region) regions.set(name, region[1]);
  }
  return regions;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const regions = readRegions();
  const page = readFileSync(PAGE, 'utf8');
  writeFileSync(PAGE, page.replace(BLOCK, (block, head, name) => (regions.has(name) ? `${head}${regions.get(name).trim()}\n\`\`\`` : block)));
}
