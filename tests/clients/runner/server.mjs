// A tidings process with its own port, database and log.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const READY_WITHIN_MS = 30_000;
const LOG_TAIL_LINES = 40;

const running = new Set();
/** Directories of servers that are not removed yet. */
const directories = new Set();
process.on('exit', () => {
  running.forEach((child) => child.kill('SIGKILL'));
  for (const directory of directories) {
    try {
      removeDirectory(directory);
    } catch (error) {
      // Continue with the other directories.
      console.error(`${directory} was not removed:`, error);
    }
  }
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export class Server {
  #binary;
  #child;
  #given;
  #directory = makeDirectory();
  #log = [];

  /** `settings` are further environment variables of the server. */
  constructor(binary, settings = {}) {
    this.#binary = binary;
    this.#given = settings;
  }

  /** Starts the server, and resolves when it is ready. All starts use the same port. */
  async start() {
    this.port ??= await freePort();
    const child = spawn(this.#binary, ['serve'], {
      cwd: this.#directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.#settings,
    });
    this.#child = child;
    running.add(child.once('close', () => running.delete(child)));
    child.spawned = new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    child.gone = new Promise((resolve) => child.once('close', resolve));
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => this.#keep(text));
    await child.spawned;
    await this.#ready(child);
    return this;
  }

  /** Runs another command of the binary with the settings of the server, and returns its output. */
  run(words, settings = {}) {
    const env = { ...this.#settings, ...settings };
    const { status, stdout, stderr } = spawnSync(this.#binary, words, { cwd: this.#directory, env, encoding: 'utf8' });
    if (status !== 0) throw new Error(`tidings ${words.join(' ')}: ${stderr}`);
    return stdout.trim();
  }

  get #settings() {
    return {
      ...process.env,
      TIDINGS_LISTEN: `127.0.0.1:${this.port}`,
      DATABASE_URL: this.database,
      TIDINGS_MUTATIONS_PER_SECOND: '0',
      TIDINGS_FIRST_USER_ADMIN: 'false',
      ...this.#given,
    };
  }

  /** Kills the server with SIGKILL, so that it cannot flush or close anything. */
  async kill() {
    this.#child?.kill('SIGKILL');
    await this.#child?.gone;
  }

  async remove() {
    await this.kill();
    removeDirectory(this.#directory);
  }

  get database() {
    return `sqlite://${path.join(this.#directory, 'tidings.db')}`;
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  get logTail() {
    return this.#log.join('').split('\n').slice(-LOG_TAIL_LINES).join('\n');
  }

  #keep(text) {
    this.#log.push(text);
    if (this.#log.length > 2_000) this.#log.splice(0, 1_000);
  }

  async #ready(child) {
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended before it was ready\n${this.logTail}`);
      if ((await status(`${this.origin}/readyz`)) === 200) return;
      if (Date.now() > deadline) throw new Error(`/readyz was not 200 within ${READY_WITHIN_MS} ms\n${this.logTail}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function makeDirectory() {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'tidings-clients-'));
  directories.add(directory);
  return directory;
}

/** Removes a directory. It retries, because a server that was just killed may still write to it. */
function removeDirectory(directory) {
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  directories.delete(directory);
}

function status(url) {
  return new Promise((resolve) => {
    const request = http.get(url, { agent: false, timeout: 2_000 }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('timeout', () => request.destroy()).on('error', () => resolve(0));
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
