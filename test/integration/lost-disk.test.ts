import { afterEach, expect, test } from '@jest/globals';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DevCluster, eventually } from '@raftmq/testkit';
import { drain, replicas, send, settledDigests } from './group.js';

let cluster: DevCluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
}, 30_000);

test('a replica that lost its data directory comes back, catches up, is admitted, and counts', async () => {
  cluster = await DevCluster.start();
  await cluster.admin('topic', 'create', 'LostDisk');
  const before = await send(cluster, 'LostDisk', 300);
  const leader = await cluster.leader();
  const [victim, witness] = cluster.brokers().filter((node) => node.id !== leader.id);
  // The supervisor waits a second before it starts a process again.
  await cluster.kill(victim!);
  rmSync(victim!.dataDir, { recursive: true });
  await cluster.allUp();
  const digests = await settledDigests(cluster);
  expect(digests[0]).toMatch(/^[0-9a-f]{16,}$/);
  expect(new Set(digests).size).toBe(1);
  // Standing 1 = takes part, and the index of the entry with which it was admitted; see peer-book.ts.
  const book = join(victim!.dataDir, 'raft', 'peers-b');
  await eventually(() => readFileSync(book)[16] === 1, 10_000, 'the replica is admitted');
  expect(readFileSync(book).readBigInt64BE(24)).toBeGreaterThan(1n);

  // Until the supervisor starts the other follower again, acknowledgements need the one that came back.
  await cluster.admin('topic', 'create', 'Afterwards');
  await cluster.kill(cluster.brokers().find((node) => node.id === witness!.id)!);
  const after = await send(cluster, 'Afterwards', 50);
  await cluster.allUp();
  for (const [topic, acknowledged] of [
    ['LostDisk', before],
    ['Afterwards', after],
  ] as const) {
    const found = await drain(cluster, topic);
    expect([...acknowledged].filter((n) => !found.has(n))).toEqual([]);
  }
  expect(new Set(await settledDigests(cluster)).size).toBe(1);
}, 180_000);

test('it and one other replica are a majority, but elect nobody while the leader of before is away', async () => {
  cluster = await DevCluster.start();
  await cluster.admin('topic', 'create', 'Forgotten');
  const leader = await cluster.leader();
  const [wiped, lagging] = cluster.brokers().filter((node) => node.id !== leader.id);
  process.kill(lagging!.pid, 'SIGSTOP');
  let acknowledged: Set<number>;
  try {
    acknowledged = await send(cluster, 'Forgotten', 100, leader.grpc);
    process.kill(leader.pid, 'SIGSTOP');
    await cluster.kill(wiped!);
    rmSync(wiped!.dataDir, { recursive: true });
  } finally {
    process.kill(lagging!.pid, 'SIGCONT');
  }
  try {
    const endpoint = lagging!.grpc;
    const isUp = async (id: number): Promise<boolean> =>
      (await replicas(endpoint)).some((replica) => replica.id === id && replica.up);
    await eventually(() => isUp(wiped!.id), 30_000, 'the wiped replica runs again');
    // Several election timeouts, in which the two talk to each other all the time.
    const endsAt = Date.now() + 8_000;
    while (Date.now() < endsAt) {
      const roles = (await replicas(endpoint)).map(({ id, role, up }) => ({ id, role, up }));
      const leads = roles.filter(({ id, role, up }) => up && id !== leader.id && role === 'leader');
      expect(leads).toEqual([]);
    }
  } finally {
    process.kill(leader.pid, 'SIGCONT');
  }
  await cluster.allUp();
  expect(new Set(await settledDigests(cluster)).size).toBe(1);
  const found = await drain(cluster, 'Forgotten');
  expect([...acknowledged].filter((n) => !found.has(n))).toEqual([]);
}, 180_000);
