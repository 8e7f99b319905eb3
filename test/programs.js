const { execFileSync } = require('node:child_process');
const { join } = require('node:path');

/** Bundles the programs before tests that start them, and what tests run in threads. */
module.exports = () => {
  execFileSync(process.execPath, [
    join(__dirname, '..', 'scripts', 'bundle.mjs'),
    '--test-workers',
  ]);
};
