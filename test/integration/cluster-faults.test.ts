import { afterEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DevCluster, eventually, runNode, type ClusterNode } from '@raftmq/testkit';

const program = (name: string): string => join(__dirname, '..', 'conformance', 'node-sdk', name);

let cluster: DevCluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
}, 30_000);

/** A producer that runs until `stop`; knows which messages were acknowledged. */
class Load {
  readonly acknowledged = new Set<number>();
  readonly #child;
  readonly #ended: Promise<void>;

  constructor(endpoint: string, topic: string) {
    this.#child = spawn(
      process.execPath,
      [program('send.cjs'), '--endpoints', endpoint, '--topic', topic],
      { stdio: ['pipe', 'pipe', 'ignore'] },
    );
    let rest = '';
    this.#child.stdout.on('data', (data: Buffer) => {
      const lines = (rest + data.toString()).split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.acknowledged.add(Number(line));
    });
    this.#ended = new Promise((resolve) => this.#child.on('close', () => resolve()));
  }

  reaches(count: number): Promise<unknown> {
    return eventually(
      () => this.acknowledged.size >= count,
      60_000,
      `${count} messages are acknowledged`,
    );
  }

  async stop(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 15_000);
    await this.#ended;
    clearTimeout(timer);
  }
}

async function drained(endpoint: string, topic: string): Promise<Set<number>> {
  const result = await runNode(
    [program('drain.cjs'), '--endpoints', endpoint, '--topic', topic],
    120_000,
  );
  expect({ code: result.code, stderr: result.code === 0 ? '' : result.stderr }).toEqual({
    code: 0,
    stderr: '',
  });
  return new Set(
    result.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(Number),
  );
}

const missing = (acknowledged: ReadonlySet<number>, found: ReadonlySet<number>): number[] =>
  [...acknowledged].filter((n) => !found.has(n));

/** Waits until every replica has applied the same index, and gives their digests. */
async function settledDigests(running: DevCluster): Promise<readonly string[]> {
  return eventually(
    async () => {
      const [group] = (await running.raftStatus().catch(() => undefined))?.groups ?? [];
      if (group === undefined || !group.replicas.every((replica) => replica.up)) return undefined;
      if (new Set(group.replicas.map((replica) => replica.appliedIndex)).size !== 1)
        return undefined;
      return group.replicas.map((replica) => replica.digest);
    },
    30_000,
    'all replicas applied the same index',
  );
}

describe('a cluster of three real processes', () => {
  test('kill -9 of all three under load: after the restart every acknowledged message is there', async () => {
    cluster = await DevCluster.start();
    await cluster.admin('topic', 'create', 'KillAll');
    const load = new Load(cluster.endpointOf(0), 'KillAll');
    await load.reaches(500);
    const before = load.acknowledged.size;
    await Promise.all(cluster.brokers().map((node) => cluster!.kill(node)));
    await cluster.allUp();
    await load.reaches(before + 200);
    await load.stop();
    const found = await drained((await cluster.leader()).grpc, 'KillAll');
    expect(missing(load.acknowledged, found)).toEqual([]);
    expect(new Set(await settledDigests(cluster)).size).toBe(1);
  }, 180_000);

  test('a replica whose RocksDB directory was deleted rebuilds it: same digest as the others', async () => {
    cluster = await DevCluster.start();
    await cluster.admin('topic', 'create', 'Rebuild');
    await cluster.admin('group', 'create', 'rebuild-group', '--fifo');
    const load = new Load(cluster.endpointOf(0), 'Rebuild');
    await load.reaches(500);
    await load.stop();
    await drained(cluster.endpointOf(1), 'Rebuild');
    const leader = await cluster.leader();
    const victim = cluster.brokers().find((node) => node.id !== leader.id) as ClusterNode;
    const state = join(victim.dataDir, 'state');
    await cluster.kill(victim);
    expect(existsSync(state)).toBe(true);
    rmSync(state, { recursive: true });
    await cluster.allUp();
    const digests = await settledDigests(cluster);
    expect(digests[0]).toMatch(/^[0-9a-f]{16,}$/);
    expect(new Set(digests).size).toBe(1);
  }, 180_000);

  test('a replica with the data directory of another one refuses to start, and says why', async () => {
    cluster = await DevCluster.start({ autoRestart: false });
    const [first, second] = cluster.brokers() as [ClusterNode, ClusterNode, ClusterNode];
    await cluster.kill(first);
    await cluster.kill(second);
    const aside = `${first.dataDir}.aside`;
    renameSync(first.dataDir, aside);
    renameSync(second.dataDir, first.dataDir);
    renameSync(aside, second.dataDir);
    const bin = join(__dirname, '..', '..', 'packages', 'cli', 'bin', 'raftmq.js');
    const result = await runNode(
      [
        bin,
        'broker',
        '--data-dir',
        first.dataDir,
        '--node-id',
        '0',
        '--group',
        first.group,
        '--grpc-port',
        '0',
        '--raft-port',
        '0',
        '--metrics-port',
        '0',
      ],
      20_000,
    );
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(first.dataDir);
    expect(result.stderr).toMatch(/belongs to/);
  }, 120_000);
});
