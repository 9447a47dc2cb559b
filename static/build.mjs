// Builds static/dist/ from static/: the assets that are embedded in the binary. build.rs runs this script; so does
// `npm run build`.
//
// esbuild bundles the web client at / into one script and one style sheet. The files of GraphiQL's packages are
// concatenated; our own files of that page are published unchanged, except for their references. The name of a file
// contains the hash of its content, so browsers may cache it without a limit. References to it are rewritten. Only the
// files in `named` keep their names.
//
// dist/manifest.tsv is read by build.rs. It has one asset per line, with tab-separated fields:
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

// URL path → source file, for the assets with a fixed name.
const named = {
  '/': 'app/index.html',
  '/graphiql': 'graphiql/index.html',
  '/favicon.svg': 'favicon.svg',
  // Client libraries for other pages and programs.
  '/live.js': 'live.js',
  '/outbox.js': 'outbox.js',
};

// Name that pages refer to → the files of npm packages that are concatenated to it.
const bundles = {
  'graphiql-vendor.js': [
    'react/umd/react.production.min.js',
    'react-dom/umd/react-dom.production.min.js',
    'graphiql/graphiql.min.js',
    '@graphiql/plugin-explorer/dist/index.umd.js',
  ],
  'graphiql-vendor.css': ['graphiql/graphiql.min.css', '@graphiql/plugin-explorer/dist/style.css'],
};

// Entry point of a bundle → name of the bundle.
const entries = { 'app/main.jsx': 'app.js', 'app/styles/main.css': 'app.css' };

// Bare module name that our unbundled modules may import → its file in node_modules.
const packages = { 'graphql-ws': 'graphql-ws/dist/client.js' };

const contentTypes = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};

// File extension → pattern of a reference to another file. Its groups are the text before, the reference, the text
// after.
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
  // The manifest is written last: build.rs treats a build without it as unfinished.
  writeFileSync(join(dist, 'manifest.tsv'), manifest.sort().join('\n') + '\n');
}

// Removes all files but .lock: build.rs holds a lock on that file while this script runs. Directories stay.
function empty(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) empty(path);
    else if (entry.name !== '.lock') rmSync(path);
  }
}

// Publishes a file under a name with its hash, once, and returns its URL path.
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

// The content of a file or bundle, with its references replaced by URL paths.
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
  // The source maps are not published, so references to them would fail in the developer tools.
  if (name.endsWith('.js')) return parts.map((text) => text.replace(/^\/\/# sourceMappingURL=.*$/gm, '')).join('\n;\n');
  // GraphiQL embeds the fonts Roboto and Fira Code. They are 36 times as large as its other styles, and page.css
  // replaces them by system fonts.
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
    legalComments: 'none', // the licences are in licenses.txt
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

// Writes a compressed variant and returns its name, or '-' if it is not smaller than the file.
function variant(file, content, compressed) {
  if (compressed.length >= content.length) return '-';
  writeFileSync(join(dist, file), compressed);
  return file;
}

function hash(content) {
  return createHash('sha256').update(content).digest('hex');
}

// The licences of all published packages. GraphiQL's bundle contains its dependencies, and their licences require this.
function licenses() {
  const lock = JSON.parse(readFileSync(join(here, 'package-lock.json'), 'utf8'));
  const byText = new Map();
  for (const path of Object.keys(lock.packages).filter(Boolean).sort()) {
    // Development dependencies are not published.
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
