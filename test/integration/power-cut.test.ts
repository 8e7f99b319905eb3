import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DevCluster, eventually, type ClusterNode } from '@raftmq/testkit';
import { drain, replicas, send, settledDigests } from './group.js';

/*
 * A power cut without one: the process is killed, what it wrote lately is cut off its log, and the file that stands in for
 * the kernel's boot id changes. Flushes are so rare that nothing of it is known to be on disk.
 */

let cluster: DevCluster | undefined;
let bootIdFile: string;
beforeEach(() => {
  bootIdFile = join(mkdtempSync(join(tmpdir(), 'raftmq-boot-')), 'boot_id');
  writeFileSync(bootIdFile, 'boot-1\n');
});
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
  rmSync(join(bootIdFile, '..'), { recursive: true });
}, 30_000);

function start(flushDiskType: 'SYNC_FLUSH' | 'ASYNC_FLUSH'): Promise<DevCluster> {
  const set = [`flushDiskType=${flushDiskType}`, `bootIdFile=${bootIdFile}`];
  set.push('flushIntervalMs=10000', 'flushBytes=1073741824', 'checkpointIntervalMs=600000');
  return DevCluster.start({ set });
}

/** The file that a broker's log ends with. */
function logFile(node: ClusterNode): string {
  const directory = join(node.dataDir, 'commitlog');
  const names = readdirSync(directory).filter((name) => /^\d+$/.test(name));
  return join(directory, names.sort().at(-1)!);
}

/** Kills a broker and takes half of what its log got since it had `keptBytes`. The supervisor starts it a second later. */
async function cutPower(node: ClusterNode, keptBytes: number): Promise<void> {
  await cluster!.kill(node);
  const path = logFile(node);
  const sizeBytes = statSync(path).size;
  expect(sizeBytes).toBeGreaterThan(keptBytes);
  truncateSync(path, keptBytes + Math.floor((sizeBytes - keptBytes) / 2));
}

/** What the brokers recover from, by id, as the one at `endpoint` sees them. */
async function recoveries(endpoint: string): Promise<ReadonlyMap<number, string | undefined>> {
  const up = (await replicas(endpoint)).filter((replica) => replica.up);
  return new Map(up.map(({ id, recovery }) => [id, recovery]));
}

async function readyz(node: ClusterNode): Promise<string> {
  return (await fetch(`http://${node.metrics}/readyz`)).text();
}

test('a replica that lost power elects nobody with one that is behind, and is brought up to date', async () => {
  cluster = await start('ASYNC_FLUSH');
  await cluster.admin('topic', 'create', 'PowerCut');
  const leader = await cluster.leader();
  const [victim, lagging] = cluster.brokers().filter((node) => node.id !== leader.id);
  const keptBytes = statSync(logFile(victim!)).size;
  let acknowledged: Set<number>;
  process.kill(lagging!.pid, 'SIGSTOP');
  try {
    acknowledged = await send(cluster, 'PowerCut', 100, leader.grpc);
    process.kill(leader.pid, 'SIGSTOP');
    writeFileSync(bootIdFile, 'boot-2\n');
    await cutPower(victim!, keptBytes);
  } finally {
    process.kill(lagging!.pid, 'SIGCONT');
  }
  try {
    const endpoint = lagging!.grpc;
    const forgot = async (): Promise<boolean> =>
      (await recoveries(endpoint)).get(victim!.id) === 'forgetful';
    await eventually(forgot, 30_000, 'the replica knows that it may have forgotten something');
    expect(await readyz(victim!)).toContain('recovering: ');
    // Several election timeouts, in which the two talk to each other all the time.
    const endsAt = Date.now() + 6_000;
    while (Date.now() < endsAt) {
      const roles = await replicas(endpoint);
      expect(roles.filter(({ id, role }) => id !== leader.id && role === 'leader')).toEqual([]);
    }
    expect(await readyz(victim!)).toContain(`not there: ${leader.id}`);
  } finally {
    process.kill(leader.pid, 'SIGCONT');
  }
  await cluster.allUp();
  expect(new Set(await settledDigests(cluster)).size).toBe(1);
  const whole = async (): Promise<boolean> => {
    const all = await recoveries(lagging!.grpc);
    return all.size === 3 && [...all.values()].every((recovery) => recovery === undefined);
  };
  await eventually(whole, 20_000, 'all replicas take part');
  const found = await drain(cluster, 'PowerCut');
  expect([...acknowledged].filter((n) => !found.has(n))).toEqual([]);
}, 180_000);

test('when all lose power, ASYNC_FLUSH waits for the last of them and loses nothing that a disk has', async () => {
  cluster = await start('ASYNC_FLUSH');
  await cluster.admin('topic', 'create', 'Blackout');
  const leader = await cluster.leader();
  const kept = new Map(cluster.brokers().map((node) => [node.id, statSync(logFile(node)).size]));
  const acknowledged = await send(cluster, 'Blackout', 100, leader.grpc);
  const followers = cluster.brokers().filter((node) => node.id !== leader.id);
  // The leader's kernel wrote everything back in time; it is the last to return.
  process.kill(leader.pid, 'SIGSTOP');
  writeFileSync(bootIdFile, 'boot-2\n');
  for (const node of followers) await cutPower(node, kept.get(node.id)!);
  const endpoint = followers[0]!.grpc;
  const both = async (): Promise<boolean> => {
    const known = await recoveries(endpoint);
    return followers.every(({ id }) => known.get(id) === 'forgetful');
  };
  await eventually(both, 30_000, 'both followers have lost power');
  const endsAt = Date.now() + 4_000;
  while (Date.now() < endsAt) {
    const roles = await replicas(endpoint);
    expect(roles.filter(({ up, role }) => up && role === 'leader')).toEqual([]);
  }
  await cluster.kill(leader);
  await cluster.allUp();
  expect(new Set(await settledDigests(cluster)).size).toBe(1);
  const found = await drain(cluster, 'Blackout');
  expect([...acknowledged].filter((n) => !found.has(n))).toEqual([]);
  const metrics = await Promise.all(
    cluster.brokers().map(async (node) => (await fetch(`http://${node.metrics}/metrics`)).text()),
  );
  expect(metrics.join('')).toMatch(/raftmq_raft_elections_by_all_total\{[^}]*\} [1-9]/);
}, 180_000);

test('when all lose power, SYNC_FLUSH goes on with any majority', async () => {
  cluster = await start('SYNC_FLUSH');
  await cluster.admin('topic', 'create', 'Rack');
  const acknowledged = await send(cluster, 'Rack', 50);
  const leader = await cluster.leader();
  const followers = cluster.brokers().filter((node) => node.id !== leader.id);
  process.kill(leader.pid, 'SIGSTOP');
  try {
    writeFileSync(bootIdFile, 'boot-2\n');
    for (const node of followers) await cluster.kill(node);
    const elected = async (): Promise<boolean> =>
      (await replicas(followers[0]!.grpc)).some(
        ({ id, role }) => id !== leader.id && role === 'leader',
      );
    await eventually(elected, 30_000, 'the other two elect a leader');
    const known = await recoveries(followers[0]!.grpc);
    for (const { id } of followers) expect(known.get(id)).toBeUndefined();
  } finally {
    process.kill(leader.pid, 'SIGCONT');
  }
  await cluster.allUp();
  const found = await drain(cluster, 'Rack');
  expect([...acknowledged].filter((n) => !found.has(n))).toEqual([]);
}, 180_000);
