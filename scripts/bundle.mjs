// Bundles the programs that `raftmq` starts, each into one file beside its package's dist/ (docs/adr/0007-bundles.md).
// `node scripts/bundle.mjs` does only that, from the sources: no build is needed before it. With `--test-workers` it adds
// what tests run in threads of their own (test/workers/test-worker.ts).
import { build } from 'esbuild';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './run.mjs';

/** Entry points; `packages/cli/bin/raftmq.js` knows the same list. */
const PROGRAMS = {
  'packages/broker/bundle/main': 'packages/broker/src/main.ts',
  'packages/namesrv/bundle/main': 'packages/namesrv/src/main.ts',
  'packages/cli/bundle/main': 'packages/cli/src/main.ts',
  'packages/testkit/bundle/main': 'packages/testkit/src/sim/main.ts',
};

const TEST_WORKERS = {
  '.build/test-workers/seed-worker': 'test/sim/seed-worker.ts',
  '.build/test-workers/model-worker': 'test/model/model-worker.ts',
};

/** Writes bundles of these entry points anew; takes about a second. */
export async function bundle(entryPoints) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir: root,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // Our packages are taken from their sources: between modules of one scope a call is a call, and not a look-up
    // among the hundreds of accessors that CommonJS makes of an index.ts.
    conditions: ['source'],
    // Finds its native library beside itself.
    external: ['rocksdb-native'],
    logLevel: 'warning',
    write: false,
  });
  for (const { path, text } of outputFiles) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, inOneByte(text));
  }
}

/**
 * The program without characters beyond ASCII. They can be in comments only: esbuild writes all others as escapes. A
 * single one makes V8 keep the whole source with two bytes a character, in each process as long as it runs.
 */
function inOneByte(text) {
  return text.replace(/[^\x00-\x7f]/g, '?');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await bundle(process.argv[2] === '--test-workers' ? { ...PROGRAMS, ...TEST_WORKERS } : PROGRAMS);
}
