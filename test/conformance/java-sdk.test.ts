import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DevCluster, runCommand } from '@raftmq/testkit';

const SOURCE = join(__dirname, 'java-sdk');
const WORK = join(__dirname, '..', '..', '.build', 'java-sdk');

/** Compiles the program against the official SDK from its registry; gives the reason when this machine cannot. */
function prepare(): string | null {
  for (const tool of ['java', 'mvn']) {
    if (spawnSync(tool, ['-version']).error !== undefined) return `${tool} is not installed`;
  }
  mkdirSync(WORK, { recursive: true });
  cpSync(SOURCE, WORK, { recursive: true });
  const args = [
    '-q',
    '-B',
    'compile',
    'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies',
    '-DoutputDirectory=target/lib',
    '-DincludeScope=runtime',
  ];
  const built = spawnSync('mvn', args, { cwd: WORK, encoding: 'utf8', timeout: 300_000 });
  return built.status === 0
    ? null
    : `Maven could not build the program: ${(built.stdout + built.stderr).slice(-400)}`;
}

const skipped = prepare();
if (skipped !== null) process.stderr.write(`skipping the Java SDK: ${skipped}\n`);

(skipped === null ? describe : describe.skip)(
  `rocketmq-client-java 5.2.0${skipped === null ? '' : ` (skipped: ${skipped})`}`,
  () => {
    let cluster: DevCluster;
    beforeAll(async () => {
      cluster = await DevCluster.start();
    }, 90_000);
    afterAll(() => cluster?.stop(), 30_000);

    test.each(['plain', 'tls'])(
      '1,000 messages to SimpleConsumer and PushConsumer, FIFO in order, over %s',
      async (mode) => {
        await cluster.admin('topic', 'create', `Java-${mode}`, '--type', 'NORMAL');
        await cluster.admin('topic', 'create', `JavaFifo-${mode}`, '--type', 'FIFO');
        await cluster.admin('group', 'create', `java-fifo-${mode}`, '--fifo');
        const classPath = `${join(WORK, 'target', 'classes')}:${join(WORK, 'target', 'lib', '*')}`;
        const programArgs = [
          cluster.endpoints,
          `Java-${mode}`,
          `JavaFifo-${mode}`,
          `java-fifo-${mode}`,
          '1000',
          mode,
        ];
        const result = await runCommand(
          'java',
          ['-Xmx256m', `-Duser.home=${WORK}`, '-cp', classPath, 'Messages', ...programArgs],
          200_000,
        );
        expect({
          code: result.code,
          stderr: result.code === 0 ? '' : result.stderr.slice(-4000),
        }).toEqual({ code: 0, stderr: '' });
        expect(JSON.parse(result.stdout.trim().split('\n').pop()!)).toMatchObject({
          sent: 1000,
          simple: 1000,
          push: 1000,
          fifoInOrder: true,
        });
      },
      240_000,
    );
  },
);
