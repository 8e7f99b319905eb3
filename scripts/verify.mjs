// npm run verify: types, lint and format; changes nothing.
import { join } from 'node:path';
import { build, checkNode, ensureInstalled, root, run } from './run.mjs';

checkNode();
ensureInstalled();
build();
const bin = (name) => join(root, 'node_modules', '.bin', name);
console.error('Linting (eslint) ...');
run(bin('eslint'), [
  '.',
  '--max-warnings',
  '0',
  '--cache',
  '--cache-location',
  '.build/eslintcache',
]);
console.error('Checking the format (prettier) ...');
run(bin('prettier'), ['--check', '--log-level', 'warn', '.']);
