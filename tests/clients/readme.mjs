// The chapter "Five minutes" of README.md. Every code block is pasted into a shell, unchanged except for the address;
// `node follow.mjs` runs in a second shell. Then the script tries what the chapter suggests.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { control, host, until } from './support.mjs';

const page = readFileSync(path.join(import.meta.dirname, '../../README.md'), 'utf8');
const [, chapter] = page.match(/^## Five minutes\n(.*?)^## /ms);
const blocks = [...chapter.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block]) => block.replaceAll('127.0.0.1:8000', host));
assert(blocks.length >= 6 && !/^```(?!sh$|$)/m.test(chapter), 'every code block of the chapter is a shell script');
const follow = blocks.findIndex((block) => block === 'node follow.mjs\n');
assert(follow > 0);

const directory = mkdtempSync(path.join(os.tmpdir(), 'tidings-readme-'));
const terminals = [];
process.on('exit', () => {
  // The shells write into the directory, so they are killed first.
  for (const terminal of terminals) terminal.close();
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
});

/** A shell that runs the pasted blocks and records their output. */
class Terminal {
  output = '';

  constructor() {
    const env = { ...process.env, npm_config_prefer_offline: 'true', npm_config_update_notifier: 'false' };
    this.shell = spawn('bash', ['-s'], { cwd: directory, env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    terminals.push(this);
    for (const stream of [this.shell.stdout, this.shell.stderr]) stream.setEncoding('utf8').on('data', (text) => (this.output += text));
  }

  /** Runs a block, and resolves with its output when it has ended. */
  async paste(block) {
    const before = this.output.length;
    const end = `--- done ${Math.random()}`;
    this.shell.stdin.write(`${block}\necho; echo '${end}'\n`);
    await until(block, () => this.output.includes(end));
    return this.output.slice(before).split(end)[0].trim();
  }

  /** Starts a block that does not end by itself. */
  start(block) {
    this.shell.stdin.write(block);
  }

  close() {
    try {
      process.kill(-this.shell.pid, 'SIGKILL');
    } catch {
      // The shell has ended already.
    }
  }
}

const second = new Terminal();
const answers = [];
for (const block of blocks.slice(0, follow)) answers.push(await second.paste(block));
assert(answers.some((answer) => answer.includes('The peas are up') && answer.includes('"logCursor"')), answers.join('\n'));
assert(!answers.join('').includes('"errors"'), answers.join('\n'));

const lines = (terminal) => terminal.output.split('\n').filter(Boolean);
let third = new Terminal();
third.start(blocks[follow]);
await second.paste(blocks[follow + 1]);
await until('the message', () => lines(third).includes('So are the beans'));

const write = (text) => second.paste(blocks[follow + 1].replace('So are the beans', text));
await control('/restart');
await write('After a restart');
await until('the message after a restart', () => lines(third).includes('After a restart'));
assert.deepEqual(lines(third), ['So are the beans', 'After a restart']);
third.close();
for (const text of ['One more', 'And another']) await write(text);
third = new Terminal();
third.start(blocks[follow]);
await until('what was missed', () => lines(third).length >= 2);
await write('The last one');
await until('what is live', () => lines(third).includes('The last one'));
assert.deepEqual(lines(third), ['One more', 'And another', 'The last one']);
third.close();

const { output } = await control('/run?words=tail');
assert(output.split('\n').map((line) => JSON.parse(line)).length >= 6, output);
assert((await control('/run?words=user+add+ben')).output.length > 0);
console.log(`proven: ${blocks.length} blocks of README.md pasted, a restart, a second start, tail, user add`);
process.exit(0);
