import { join } from 'node:path';
import { scenarios } from './scenarios.js';
import { type Sdk } from './sdk.js';

const PROGRAMS = join(__dirname, '..', 'node-sdk');

/** The official npm package, a development dependency of this repository. */
export const nodeSdk: Sdk = {
  id: 'node',
  column: 'Node.js `rocketmq-client-nodejs` 1.0.8',
  scenarios: scenarios.map(({ id }) => id),
  singleAddress: true,
  parallel: 12,
  prepare: () => null,
  program: (scenario) => ({
    command: process.execPath,
    args: [join(PROGRAMS, `${scenario}.cjs`)],
  }),
};
