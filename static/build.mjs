// Turns static/ into static/dist/: what the binary carries. Run by build.rs; `npm run build` does the same by hand.
//
// The app at / is bundled by esbuild into one script and one style sheet. GraphiQL's files are concatenated or copied as
// their packages ship them, our own beside them are published as they are. A file is named after the hash of its
// content, so a browser may keep it for ever, and every reference to it is rewritten; only the pages themselves keep
// their names.
//
// dist/manifest.tsv, one asset a line, tab-separated, for build.rs:
//   URL path, content type, hash, "immutable" or "revalidate", file, gzip file or "-", brotli file or "-"

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, 'node_modules');
const dist = join(here, 'dist');

// URL path → source. These are what people and browsers ask for by name.
const named = {
  '/': 'app/index.html',
  '/graphiql': 'graphiql/index.html',
  '/favicon.svg': 'favicon.svg',
  // For the pages and programs of others.
  '/live.js': 'live.js',
  '/outbox.js': 'outbox.js',
};

// Names that pages may refer to, made of files of packages.
const bundles = {
  'graphiql-vendor.js': [
    'react/umd/react.production.min.js',
    'react-dom/umd/react-dom.production.min.js',
    'graphiql/graphiql.min.js',
    '@graphiql/plugin-explorer/dist/index.umd.js',
  ],
  'graphiql-vendor.css': ['graphiql/graphiql.min.css', '@graphiql/plugin-explorer/dist/style.css'],
};

// What the app begins with, and the name of what becomes of it. All that they import is in the result.
const entries = { 'app/main.jsx': 'app.js', 'app/styles/main.css': 'app.css' };

// Bare module names that our modules may import.
const packages = { 'graphql-ws': 'graphql-ws/dist/client.js' };

const contentTypes = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};

// How each kind of file refers to others: the text before, the reference, the text after.
const references = {
  '.html': /(\b(?:src|href)=")(?![a-z]+:|[/#])([^"]+)(")/g,
  '.js': /(\b(?:from|import)\s*['"])(\.\.?\/[^'"]+|graphql-ws)(['"])/g,
};

const manifest = [];
const published = new Map();

function main() {
  mkdirSync(join(dist, 'assets'), { recursive: true });
  empty(dist);
  for (const [path, source] of Object.entries(named)) {
    write(path, (basename(path) || 'index') + (extname(path) ? '' : extname(source)), link(join(here, source)), 'revalidate');
  }
  write('/licenses.txt', 'licenses.txt', licenses(), 'revalidate');
  // Last, because build.rs takes its presence for the sign of a finished build.
  writeFileSync(join(dist, 'manifest.tsv'), manifest.sort().join('\n') + '\n');
}

// Keeps the directories and build.rs's lock file, which is held while this runs.
function empty(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) empty(path);
    else if (entry.name !== '.lock') rmSync(path);
  }
}

// Publishes a file under its hash, once, and returns its URL path.
function publish(file) {
  if (!published.has(file)) {
    const content = link(file);
    const target = entries[relative(here, file)] ?? file;
    const extension = extname(target);
    const name = `${basename(target, extension)}.${hash(content).slice(0, 12)}${extension}`;
    write(`/assets/${name}`, `assets/${name}`, content, 'immutable');
    published.set(file, `/assets/${name}`);
  }
  return published.get(file);
}

// The content of a file (or bundle), its references replaced by the URL paths of what they refer to.
function link(file) {
  if (bundles[file]) return bundle(file);
  if (entries[relative(here, file)]) return compile(file);
  const text = readFileSync(file, 'utf8');
  const pattern = references[extname(file)];
  if (!pattern) return text;
  return text.replace(pattern, (_, before, reference, after) => before + publish(resolve(file, reference)) + after);
}

function resolve(from, reference) {
  if (bundles[reference]) return reference;
  if (packages[reference]) return join(modules, packages[reference]);
  return join(dirname(from), reference);
}

function bundle(name) {
  const parts = bundles[name].map((file) => readFileSync(join(modules, file), 'utf8'));
  // Without their source maps, which are not carried: a browser's inspector would ask for them in vain.
  if (name.endsWith('.js')) return parts.map((text) => text.replace(/^\/\/# sourceMappingURL=.*$/gm, '')).join('\n;\n');
  // GraphiQL embeds Roboto and Fira Code, 36 times the size of all its other styles; page.css names the system's fonts.
  return parts.map((text) => text.replace(/@font-face\s*\{[^}]*\}/g, '')).join('\n');
}

function compile(file) {
  const { outputFiles } = buildSync({
    entryPoints: [file],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none', // they are in licenses.txt
    logLevel: 'warning',
  });
  return outputFiles[0].text;
}

function write(path, file, text, caching) {
  const content = Buffer.from(text);
  const type = contentTypes[extname(file)];
  if (!type) throw new Error(`no content type for ${file}`);
  writeFileSync(join(dist, file), content);
  const gzip = variant(file + '.gz', content, gzipSync(content, { level: 9 }));
  const brotli = variant(
    file + '.br',
    content,
    brotliCompressSync(content, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
    }),
  );
  manifest.push([path, type, hash(content).slice(0, 32), caching, file, gzip, brotli].join('\t'));
}

// Small files can grow by being compressed; those go out as they are.
function variant(file, content, compressed) {
  if (compressed.length >= content.length) return '-';
  writeFileSync(join(dist, file), compressed);
  return file;
}

function hash(content) {
  return createHash('sha256').update(content).digest('hex');
}

// The licences of everything carried: GraphiQL's own bundle contains its dependencies, whose licences ask for this.
function licenses() {
  const lock = JSON.parse(readFileSync(join(here, 'package-lock.json'), 'utf8'));
  const byText = new Map();
  for (const path of Object.keys(lock.packages).filter(Boolean).sort()) {
    // Tools that build and test are not carried.
    if (lock.packages[path].dev) continue;
    const directory = join(here, path);
    if (!existsSync(directory)) continue;
    const file = readdirSync(directory).find((name) => /^licen[cs]e/i.test(name));
    const { license } = lock.packages[path];
    const text = file ? readFileSync(join(directory, file), 'utf8').trim() : `License: ${license ?? 'see the package'}`;
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    byText.set(text, [...(byText.get(text) ?? []), `${name} ${lock.packages[path].version}`]);
  }
  return [...byText].map(([text, names]) => `${names.join('\n')}\n\n${text}\n`).join(`\n${'-'.repeat(80)}\n\n`);
}

main();
