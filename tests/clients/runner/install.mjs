// Installs the dependencies of the scripts: node_modules from the lock file, and a virtual environment for Python. Used
// by run.mjs only.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Installs the npm packages if they are missing or the lock file has changed. */
export function installNode(directory) {
  once(path.join(directory, 'node_modules', '.installed'), path.join(directory, 'package-lock.json'), () =>
    run('npm', ['ci', '--no-audit', '--no-fund'], directory),
  );
}

/** Returns the path of the Python to use, or undefined if no Python can create a virtual environment. */
export function installPython(directory) {
  const venv = path.join(directory, '.venv');
  const python = path.join(venv, 'bin', 'python');
  try {
    once(path.join(venv, '.installed'), path.join(directory, 'requirements.txt'), () => {
      run('python3', ['-m', 'venv', '--clear', venv], directory);
      run(python, ['-m', 'pip', 'install', '--quiet', '-r', 'requirements.txt'], directory);
    });
    return python;
  } catch (error) {
    if (error.missing) return undefined;
    throw error;
  }
}

/** Returns the command of the browser to use, or undefined if there is none. */
export function findChromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  return names.find((name) => spawnSync(name, ['--version']).status === 0);
}

function once(stamp, lock, install) {
  const wanted = readFileSync(lock, 'utf8');
  const isInstalled = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (isInstalled()) return;
  const release = acquire(`${lock}.installing`);
  try {
    if (isInstalled()) return;
    install();
    writeFileSync(stamp, wanted);
  } finally {
    release();
  }
}

/** Waits until no other process has this lock file. Returns the function that removes it. */
function acquire(file) {
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isAbandoned(file)) rmSync(file, { force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

/** Whether the process that made the lock file has ended. */
function isAbandoned(file) {
  try {
    const owner = Number(readFileSync(file, 'utf8'));
    if (owner) process.kill(owner, 0);
    return false;
  } catch {
    return true;
  }
}

function run(command, args, cwd) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status === 0) return;
  const failure = new Error(`${command} ${args.join(' ')} failed\n${error ?? ''}${stdout}${stderr}`);
  // Debian's python3 has no ensurepip, so it cannot create a virtual environment and counts as missing.
  failure.missing = error?.code === 'ENOENT' || (args.includes('venv') && /ensurepip/.test(stdout + stderr));
  throw failure;
}
