import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.js';
import { type Sdk } from './sdk.js';

const SOURCE = join(__dirname, '..', 'rust-sdk');
/** Where the programs are built. */
const WORK = join(__dirname, '..', '..', '..', '.build', 'rust-sdk');
const WANTED = 'RAFTMQ_TEST_RUST';

/** Compiles the programs with the official crate: minutes of CPU time the first time, so only for those who ask. */
function prepare(): string | null {
  if (process.env[WANTED] !== '1')
    return `${WANTED} is not 1, and its 250 crates take minutes to build`;
  mkdirSync(WORK, { recursive: true });
  const args = ['build', '--locked', '--quiet', '--target-dir', WORK];
  return build('cargo', args, { cwd: SOURCE, timeoutMs: 1_200_000 });
}

/** The official crate. */
export const rustSdk: Sdk = {
  id: 'rust',
  column: 'Rust `rocketmq` 5.0.0',
  scenarios: [
    'normal',
    'fifo',
    'delay',
    'transaction',
    'orphan',
    'simple',
    'tags',
    'sql',
    'topics',
    'refusals',
  ],
  singleAddress: false,
  parallel: 10,
  prepare,
  program: (scenario) => ({ command: join(WORK, 'debug', 'conform'), args: [scenario] }),
};
