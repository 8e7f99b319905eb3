import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.js';
import { scenarios } from './scenarios.js';
import { type Sdk } from './sdk.js';

const SOURCE = join(__dirname, '..', 'java-sdk');
/** Where the programs are built. */
const WORK = join(__dirname, '..', '..', '..', '.build', 'java-sdk');

/** Compiles the programs against the official SDK from its registry. */
function prepare(): string | null {
  const javaFailed = build('java', ['-version']);
  if (javaFailed !== null) return javaFailed;
  mkdirSync(WORK, { recursive: true });
  rmSync(join(WORK, 'src'), { recursive: true, force: true });
  cpSync(SOURCE, WORK, { recursive: true });
  const args = [
    '-q',
    '-B',
    'compile',
    'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies',
    '-DoutputDirectory=target/lib',
    '-DincludeScope=runtime',
  ];
  return build('mvn', args, { cwd: WORK });
}

/** Scenarios whose clients connect with TLS; the others in plain text, on the same port. */
const WITH_TLS = ['normal', 'fifo', 'push'];

/** The official Maven artifact. */
export const javaSdk: Sdk = {
  id: 'java',
  column: 'Java `rocketmq-client-java` 5.2.0',
  scenarios: scenarios.map(({ id }) => id),
  singleAddress: false,
  parallel: 12,
  prepare,
  program: (scenario) => ({
    command: 'java',
    args: [
      '-Xmx192m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      `-Duser.home=${WORK}`,
      '-cp',
      `${join(WORK, 'target', 'classes')}:${join(WORK, 'target', 'lib', '*')}`,
      `${scenario[0]!.toUpperCase()}${scenario.slice(1)}`,
      ...(WITH_TLS.includes(scenario) ? ['--tls'] : []),
    ],
  }),
};
