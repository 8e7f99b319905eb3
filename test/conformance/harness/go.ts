import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.js';
import { type Sdk } from './sdk.js';

const SOURCE = join(__dirname, '..', 'go-sdk');
/** Where the program is built, and where the SDK writes its log files. */
const WORK = join(__dirname, '..', '..', '..', '.build', 'go-sdk');
const PROGRAM = join(WORK, 'conform');

/** Compiles the program with the official module. */
function prepare(): string | null {
  mkdirSync(WORK, { recursive: true });
  return build('go', ['build', '-mod=readonly', '-o', PROGRAM, '.'], { cwd: SOURCE });
}

/** The official Go module. */
export const goSdk: Sdk = {
  id: 'go',
  column: 'Go `rocketmq-clients/golang/v5` 5.1.3',
  scenarios: [
    'normal',
    'fifo',
    'delay',
    'transaction',
    'push',
    'tags',
    'sql',
    'topics',
    'namespaces',
    'refusals',
  ],
  singleAddress: false,
  parallel: 10,
  prepare,
  program: (scenario) => ({
    command: PROGRAM,
    args: [scenario],
    env: { 'rocketmq.client.logRoot': WORK, 'rocketmq.client.enableSsl': 'false' },
  }),
};
