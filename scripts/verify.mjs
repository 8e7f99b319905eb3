// npm run verify: types, lint and format; changes nothing.
import { join } from 'node:path';
import { build, checkNode, ensureInstalled, root, run, start } from './run.mjs';

checkNode();
ensureInstalled();
const bin = (name) => join(root, 'node_modules', '.bin', name);
console.error('Linting (eslint) ...');
// Beside the build, as each keeps one core busy: the types it looks up come from the sources, not from `dist/`.
const lint = start(bin('eslint'), [
  '.',
  '--max-warnings',
  '0',
  '--cache',
  '--cache-location',
  '.build/eslintcache',
]);
build();
console.error('Checking the format (prettier) ...');
run(bin('prettier'), ['--check', '--log-level', 'warn', '.']);
await lint();
