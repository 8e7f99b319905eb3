import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { DevCluster, runNode } from '@raftmq/testkit';

/** The official npm package, unmodified, in programs that use nothing of ours. */
const program = (name: string): string => join(__dirname, 'node-sdk', name);
const KILLS = Number(process.env['RAFTMQ_TEST_KILLS'] ?? 3);

function expectSuccess(result: { readonly code: number | null; readonly stderr: string }): void {
  expect({ code: result.code, stderr: result.code === 0 ? '' : result.stderr }).toEqual({
    code: 0,
    stderr: '',
  });
}

let cluster: DevCluster;
beforeAll(async () => {
  cluster = await DevCluster.start();
  await cluster.admin('topic', 'create', 'ConformanceFailover', '--type', 'NORMAL');
  await cluster.admin('topic', 'create', 'ConformanceFifo', '--type', 'FIFO');
  await cluster.admin('group', 'create', 'fifo-group', '--fifo');
}, 90_000);
afterAll(() => cluster?.stop(), 30_000);

describe('rocketmq-client-nodejs', () => {
  test.each([0, 1, 2])(
    '1,000 messages, SimpleConsumer and PushConsumer, through replica %i',
    async (id) => {
      const topic = `ConformanceNormal${id}`;
      const count = 1000;
      await cluster.admin('topic', 'create', topic, '--type', 'NORMAL');
      const args = [
        program('messages.cjs'),
        '--endpoints',
        cluster.endpointOf(id),
        '--topic',
        topic,
        '--count',
        String(count),
      ];
      const result = await runNode(args, 150_000);
      expectSuccess(result);
      expect(JSON.parse(result.stdout)).toMatchObject({
        sent: count,
        simple: count,
        push: count,
        simpleTwice: 0,
        pushTwice: 0,
      });
    },
    180_000,
  );

  test('a FIFO topic keeps the order of each message group', async () => {
    const result = await runNode(
      [program('fifo.cjs'), '--endpoints', cluster.endpointOf(0), '--topic', 'ConformanceFifo'],
      150_000,
    );
    expectSuccess(result);
    expect(JSON.parse(result.stdout)).toMatchObject({ inOrder: true });
  }, 180_000);

  test(
    `loses nothing, repeats nothing that was acknowledged, while the leader is killed ${KILLS} times`,
    async () => {
      const child = spawn(
        process.execPath,
        [
          program('failover.cjs'),
          '--endpoints',
          cluster.endpointOf(0),
          '--topic',
          'ConformanceFailover',
        ],
        {
          stdio: ['pipe', 'pipe', 'pipe'],
        },
      );
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
      child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
      const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
      try {
        await new Promise((resolve) => setTimeout(resolve, 3000));
        for (let kill = 0; kill < KILLS; kill++) {
          await cluster.kill(await cluster.leader());
          await new Promise((resolve) => setTimeout(resolve, 1500));
          await cluster.allUp();
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
        child.stdin.write('stop\n');
        const code = await ended;
        expectSuccess({ code, stderr });
      } finally {
        child.kill('SIGKILL');
      }
      const report = JSON.parse(stdout) as Record<string, number>;
      process.stderr.write(`failover with the Node.js SDK, ${KILLS} kills: ${stdout}`);
      expect(report).toMatchObject({ lost: 0, redeliveredAfterAck: 0, failedSends: 0 });
      expect(report['acknowledged']).toBeGreaterThan(100);
    },
    60_000 + KILLS * 20_000,
  );
});
