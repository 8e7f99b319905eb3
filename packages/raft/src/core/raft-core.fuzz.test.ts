import { describe, expect, test } from '@jest/globals';
import { createPrng, type Prng } from '@raftmq/base';
import { raftCoreConfig } from './config.js';
import { Cluster, type NodeSetup, type TestNode } from './testing/cluster.js';
import { type NodeId } from './types.js';

// Random schedules over cores, disks and messages: the cluster's history checks every step. Then everything heals,
// and the group has to agree.

interface Coverage {
  commits: number;
  cuts: number;
  elections: number;
  crashes: number;
  transfers: number;
  wipes: number;
  powerCuts: number;
}

function randomNode(cluster: Cluster, random: Prng): NodeId {
  return random.pick([...cluster.nodes.keys()]);
}

function actOnce(
  cluster: Cluster,
  random: Prng,
  coverage: Coverage,
  reads: { next: number },
): void {
  const id = randomNode(cluster, random);
  if (!cluster.isUp(id)) {
    if (random.chance(0.02)) wipe(cluster, id, coverage);
    if (random.chance(0.05)) losePower(cluster, id, random, coverage);
    if (random.chance(0.1)) startAgain(cluster, id);
    return;
  }
  const draw = random.next();
  if (draw < 0.3) return actOnNetwork(cluster, random);
  if (draw < 0.5) {
    cluster.nowMs += random.integer(0, 30);
    return cluster.step(id, { kind: 'tick' });
  }
  if (draw < 0.72) return void cluster.sync(id);
  if (draw < 0.92) return void cluster.propose(id, random.integer(0, 200));
  if (draw < 0.94) return cluster.read(id, reads.next++);
  if (draw < 0.95) {
    coverage.transfers++;
    const target = random.chance(0.5) ? null : randomNode(cluster, random);
    return cluster.step(id, { kind: 'transfer', target });
  }
  if (draw < 0.965) {
    const kind = random.chance(0.5) ? 'peer-lost' : 'peer-connected';
    return cluster.step(id, { kind, peer: randomNode(cluster, random) });
  }
  if (draw < 0.975) {
    coverage.crashes++;
    return cluster.crash(id, random.chance(0.3));
  }
  if (draw < 0.985) return cluster.cut(id, randomNode(cluster, random));
  if (draw < 0.992) return cluster.heal();
  cluster.nowMs += random.integer(0, 1500);
}

function isSound({ disk }: TestNode): boolean {
  return disk.takesPart && !disk.forgetful;
}

/** A machine loses power, and the end of its log with it, unless that could hit a majority at once. */
function losePower(cluster: Cluster, id: NodeId, random: Prng, coverage: Coverage): void {
  // Of four kinds of seeds, one in which disks last and machines lose power, and one with both.
  if (cluster.seed % 4 < 2) return;
  const others = [...cluster.nodes.values()].filter((node) => node.id !== id);
  if (others.filter(isSound).length <= cluster.nodes.size / 2) return;
  const { log } = cluster.node(id).disk;
  cluster.losePower(id, random.integer(log.firstIndex - 1, log.lastIndex));
  coverage.powerCuts++;
}

/** A disk is lost, unless a majority could be without its memory then. */
function wipe(cluster: Cluster, id: NodeId, coverage: Coverage): void {
  const others = [...cluster.nodes.values()].filter((node) => node.id !== id);
  // In every second seed disks last, so that the other faults keep their share.
  if (cluster.seed % 2 === 0) return;
  if (others.filter(isSound).length <= cluster.nodes.size / 2) return;
  cluster.wipe(id);
  coverage.wipes++;
}

/** A node comes back, and those who run connect to it anew. */
function startAgain(cluster: Cluster, id: NodeId): void {
  cluster.start(id);
  for (const node of cluster.nodes.values()) {
    if (node.core !== null && node.id !== id)
      cluster.step(node.id, { kind: 'peer-connected', peer: id });
  }
}

/** Delivers, copies, or loses some messages, in order or not. */
function actOnNetwork(cluster: Cluster, random: Prng): void {
  for (let burst = random.integer(1, 12); burst > 0 && cluster.network.length > 0; burst--) {
    const at = random.chance(0.8) ? 0 : random.integer(0, cluster.network.length - 1);
    if (random.chance(0.03)) cluster.network.push(cluster.network[at]!);
    if (random.chance(0.05)) cluster.network.splice(at, 1);
    else cluster.deliver(at);
  }
}

function runSeed(seed: number, coverage: Coverage): void {
  const random = createPrng(seed);
  const setups = new Map<NodeId, NodeSetup>();
  const count = random.pick([1, 2, 3, 3, 3, 4, 5, 5]);
  for (let id = 1; id <= count; id++) setups.set(id, { terms: [] });
  const config = raftCoreConfig({
    maxInflightAppends: random.integer(1, 4),
    maxInflightBytes: 4096,
    maxAppendBytes: random.pick([1, 300, 4096]),
  });
  const cluster = new Cluster(config, setups, seed, (line) => {
    if (line.includes('-> leader')) coverage.elections++;
  });
  const reads = { next: 1 };
  for (let i = 0; i < 1500; i++) actOnce(cluster, random, coverage, reads);
  converge(cluster);
  coverage.commits += cluster.history.committedIndex;
  coverage.cuts += cluster.cutCount;
}

function converge(cluster: Cluster): void {
  cluster.heal();
  for (const id of cluster.nodes.keys()) if (!cluster.isUp(id)) startAgain(cluster, id);
  const committed = cluster.history.committedIndex;
  // Every old contact may delay an election by one timeout, and one vote may be split.
  cluster.run(8000);
  const leaders = [...cluster.nodes.keys()].filter((id) => cluster.core(id).role === 'leader');
  expect(leaders).toHaveLength(1);
  expect(cluster.propose(leaders[0]!)).toBe(true);
  cluster.run(300);
  const { lastIndex } = cluster.core(leaders[0]!);
  expect(lastIndex).toBeGreaterThan(committed);
  for (const id of cluster.nodes.keys()) {
    expect(cluster.core(id).recovery).toBe('none');
    expect(cluster.core(id).commitIndex).toBe(lastIndex);
    expect(cluster.core(id).term).toBe(cluster.core(leaders[0]!).term);
  }
}

const seedCount = Number(process.env['FUZZ_SEEDS'] ?? 120);
const firstSeed = Number(process.env['FUZZ_FROM'] ?? 1);

describe('random schedules', () => {
  test(`keep every promise, and converge after healing (${seedCount} seeds)`, () => {
    const coverage: Coverage = {
      commits: 0,
      cuts: 0,
      elections: 0,
      crashes: 0,
      transfers: 0,
      wipes: 0,
      powerCuts: 0,
    };
    for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
      try {
        runSeed(seed, coverage);
      } catch (error) {
        throw new Error(`seed ${seed} (FUZZ_FROM=${seed} FUZZ_SEEDS=1)`, { cause: error });
      }
    }
    // The schedules must be interesting: a harness that never elects or cuts proves nothing.
    if (seedCount < 100) return;
    expect(coverage.commits).toBeGreaterThan(20 * seedCount);
    expect(coverage.cuts).toBeGreaterThan(0.2 * seedCount);
    expect(coverage.elections).toBeGreaterThan(3 * seedCount);
    expect(coverage.crashes).toBeGreaterThan(5 * seedCount);
    expect(coverage.transfers).toBeGreaterThan(5 * seedCount);
    expect(coverage.wipes).toBeGreaterThan(seedCount / 4);
    expect(coverage.powerCuts).toBeGreaterThan(seedCount / 2);
  });
});
