import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The top of the checkout. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command with our output; ends this process with its code when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) {
    console.error(`cannot run ${command}: ${result.error.message}`);
    process.exit(1);
  }
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/**
 * Starts a command with our output beside what this process does next; it ends with this process.
 * @returns a function that waits for its end, and ends this process with its code when it failed
 */
export function start(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit' });
  process.on('exit', () => child.kill());
  const ended = once(child, 'close').catch((error) => {
    console.error(`cannot run ${command}: ${error.message}`);
    return [1];
  });
  return async () => {
    const [code] = await ended;
    if (code !== 0) process.exit(code ?? 1);
  };
}

/** Installs what package-lock.json names, unless that was done for this very lock file. */
export function ensureInstalled() {
  const stamp = join(root, 'node_modules', '.package-lock.json');
  const lock = join(root, 'package-lock.json');
  const missing = !existsSync(stamp) || statSync(stamp).mtimeMs < statSync(lock).mtimeMs;
  if (!missing) return;
  console.error('Installing dependencies (npm ci) ...');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

/** Compiles all packages, which is quick when nothing changed, and bundles the programs. */
export function build() {
  console.error('Building (tsc -b, bundles) ...');
  run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b']);
  // A process of its own: it needs a package that may only just have been installed.
  run(process.execPath, [join(root, 'scripts', 'bundle.mjs')]);
}

/** Fails early, with what to do, on a Node.js that is too old. */
export function checkNode() {
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node.replace(
    '>=',
    '',
  );
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [wantedMajor, wantedMinor] = wanted.split('.').map(Number);
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  console.error(
    `RaftMQ needs Node.js ${wanted} or newer; this is ${process.versions.node}. Install a newer one and try again.`,
  );
  process.exit(1);
}
