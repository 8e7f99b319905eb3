import { expect } from '@jest/globals';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { eventually, raftmq, runNode, type DevCluster, type RaftStatus } from '@raftmq/testkit';

const program = (name: string): string => join(__dirname, '..', 'conformance', 'node-sdk', name);

/** Sends through one broker until `enough` messages are acknowledged; returns their numbers. */
export async function send(
  running: DevCluster,
  topic: string,
  enough: number,
  endpoint = running.endpointOf(0),
): Promise<Set<number>> {
  const args = [program('send.cjs'), '--endpoints', endpoint, '--topic', topic];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const acknowledged = new Set<number>();
  let rest = '';
  child.stdout.on('data', (data: Buffer) => {
    const lines = (rest + data.toString()).split('\n');
    rest = lines.pop()!;
    for (const line of lines) acknowledged.add(Number(line));
  });
  await eventually(() => acknowledged.size >= enough, 60_000, `${enough} messages acknowledged`);
  child.stdin.end();
  await ended;
  return acknowledged;
}

/** The replicas as the broker at `endpoint` sees them. */
export async function replicas(
  endpoint: string,
): Promise<RaftStatus['groups'][number]['replicas']> {
  const result = await raftmq(['raft', 'status', '--json', '--endpoints', endpoint], 20_000);
  if (result.code !== 0) return [];
  return (JSON.parse(result.stdout) as RaftStatus).groups[0]?.replicas ?? [];
}

/** Numbers of all messages of a topic. */
export async function drain(running: DevCluster, topic: string): Promise<Set<number>> {
  const { grpc } = await running.leader();
  const args = [program('drain.cjs'), '--endpoints', grpc, '--topic', topic];
  const { code, stdout } = await runNode(args, 120_000);
  expect(code).toBe(0);
  return new Set(stdout.split('\n').filter(Boolean).map(Number));
}

/** The digests of all replicas, at one applied index. */
export function settledDigests(running: DevCluster): Promise<readonly string[]> {
  return eventually(
    async () => {
      const [group] = (await running.raftStatus().catch(() => undefined))?.groups ?? [];
      if (group === undefined || !group.replicas.every((replica) => replica.up)) return undefined;
      const applied = new Set(group.replicas.map((replica) => replica.appliedIndex));
      return applied.size === 1 ? group.replicas.map((replica) => replica.digest) : undefined;
    },
    30_000,
    'all replicas applied the same index',
  );
}
