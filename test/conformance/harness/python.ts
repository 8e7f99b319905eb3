import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.js';
import { type Sdk } from './sdk.js';

const SOURCE = join(__dirname, '..', 'python-sdk');
/** Where the SDK is installed; also its home, as it writes log files there. */
const WORK = join(__dirname, '..', '..', '..', '.build', 'python-sdk');
const PYTHON = join(WORK, 'venv', 'bin', 'python');

/** Installs the official SDK from its registry into an environment of its own. */
function prepare(): string | null {
  mkdirSync(WORK, { recursive: true });
  if (!existsSync(PYTHON)) {
    const failed = build('python3', ['-m', 'venv', join(WORK, 'venv')]);
    if (failed !== null) return failed;
  }
  const requirements = join(SOURCE, 'requirements.txt');
  return build(PYTHON, ['-m', 'pip', 'install', '-q', '--no-input', '-r', requirements]);
}

/** The official PyPI package. */
export const pythonSdk: Sdk = {
  id: 'python',
  column: 'Python `rocketmq-python-client` 5.1.2',
  scenarios: [
    'normal',
    'fifo',
    'delay',
    'recall',
    'transaction',
    'push',
    'tags',
    'sql',
    'topics',
    'namespaces',
    'refusals',
  ],
  singleAddress: false,
  parallel: 11,
  prepare,
  program: (scenario) => ({
    command: PYTHON,
    args: [join(SOURCE, 'conform.py'), scenario],
    env: { HOME: WORK },
  }),
};
