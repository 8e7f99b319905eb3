import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { DevCluster, eventually } from '@raftmq/testkit';

/* Load of the official Node.js SDK through many kills, one after the other; RAFTMQ_TEST_KILLS says how many. */

const KILLS = Number(process.env['RAFTMQ_TEST_KILLS'] ?? 2);
let cluster: DevCluster;
beforeAll(async () => {
  cluster = await DevCluster.start();
  await cluster.admin('topic', 'create', 'Failover', '--type', 'NORMAL');
}, 90_000);
afterAll(() => cluster?.stop(), 30_000);

test(
  `loses nothing, repeats nothing that was acknowledged, while the leader is killed ${KILLS} times`,
  async () => {
    const program = join(__dirname, 'node-sdk', 'failover.cjs');
    const args = [program, '--endpoints', cluster.endpointOf(0), '--topic', 'Failover'];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    const acknowledged = (): number => stdout.split('"acknowledged":100').length - 1;
    const load = (times: number): Promise<unknown> =>
      eventually(() => acknowledged() >= times, 60_000, `load number ${times}; ${stderr}`);
    try {
      await load(1);
      for (let kill = 0; kill < KILLS; kill++) {
        await cluster.kill(await cluster.leader());
        await cluster.allUp();
        await load(acknowledged() + 1);
      }
      child.stdin.write('stop\n');
      const code = await ended;
      expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    } finally {
      child.kill('SIGKILL');
    }
    const facts = stdout.trim().split('\n').pop()!;
    process.stderr.write(`failover with the Node.js SDK, ${KILLS} kills: ${facts}\n`);
    const report = JSON.parse(facts) as Record<string, number>;
    const expected = { lost: 0, redeliveredAfterAck: 0, failedSends: 0, storedTwice: 0 };
    expect(report).toMatchObject(expected);
    expect(report['acknowledged']).toBeGreaterThanOrEqual(100 * (KILLS + 1));
  },
  90_000 + KILLS * 20_000,
);
