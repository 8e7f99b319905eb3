// npm test: install, build, types, lint, format, then all tests; ends with one line of totals.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { root } from './run.mjs';
import './verify.mjs';

const results = join(root, '.build', 'jest-results.json');
mkdirSync(join(root, '.build'), { recursive: true });
const totals = { passed: 0, failed: 0, skipped: 0 };
let broken = false;
// Unit tests and the simulator share the cores; whatever starts real clusters runs alone, one file at a time.
const runs = [
  ['--selectProjects', 'unit', 'sim', `--maxWorkers=${Math.max(2, cpus().length - 1)}`],
  ['--selectProjects', 'integration', 'conformance', '--runInBand'],
];
for (const args of runs) {
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const done = spawnSync(
    process.execPath,
    [jest, ...args, '--json', `--outputFile=${results}`, '--passWithNoTests'],
    {
      cwd: root,
      stdio: ['inherit', 'ignore', 'inherit'],
    },
  );
  if (done.status !== 0) broken = true;
  let report;
  try {
    report = JSON.parse(readFileSync(results, 'utf8'));
  } catch (error) {
    console.error(`jest left no result: ${error.message}`);
    totals.failed++;
    continue;
  }
  totals.passed += report.numPassedTests;
  totals.failed += report.numFailedTests + report.numRuntimeErrorTestSuites;
  totals.skipped += report.numPendingTests + report.numTodoTests;
}
if (broken && totals.failed === 0) totals.failed = 1;
console.log(
  `${totals.passed} passed, ${totals.failed} failed${totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''}`,
);
process.exit(totals.failed === 0 && totals.passed > 0 ? 0 : 1);
