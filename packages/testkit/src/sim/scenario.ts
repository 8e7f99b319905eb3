import { type Prng } from '@raftmq/base';
import { type RaftCoreConfig, type RaftDriverConfig } from '@raftmq/raft';
import { type DiskTimes } from './disk.js';
import { type NetworkTimes } from './network.js';

/** Kinds of faults; each seed has some of them switched on. */
export const faultKinds = [
  'kill',
  'power-cut',
  'power-cut-all',
  'clean-restart',
  'partition',
  'isolate-leader',
  'one-way-cut',
  'hold-link',
  'reset',
  'pause',
  'disk-stall',
  'sync-error',
  'transfer',
  'wall-jump',
] as const;

/** Drawn apart from the others, so that seeds of before keep what they had. */
export const diskFaultKinds = ['write-error', 'disk-full', 'slow-sync'] as const;
/** The schedule that ASYNC_FLUSH has to fear: drawn where it is on. */
export const flushFaultKinds = ['power-cut-behind'] as const;
export type FaultKind =
  (typeof faultKinds)[number] | (typeof diskFaultKinds)[number] | (typeof flushFaultKinds)[number];

/** Everything one seed decides before its first event. */
export interface Scenario {
  readonly seed: number;
  readonly nodeCount: number;
  readonly scale: 'tiny' | 'default';
  readonly core: Partial<RaftCoreConfig>;
  readonly driver: Partial<RaftDriverConfig>;
  readonly network: NetworkTimes;
  readonly disk: DiskTimes;
  readonly flushDiskType: 'SYNC_FLUSH' | 'ASYNC_FLUSH';
  /**
   * With ASYNC_FLUSH, how many machines may be without what they had acknowledged at any one time: as long as it is a
   * minority, nothing is ever lost. A machine that would be one too many keeps its power, and only its process dies.
   */
  readonly forgetful: 'minority' | 'any';
  readonly flushIntervalMs: number;
  readonly flushBytes: number;
  readonly segmentSizeBytes: number;
  readonly cacheBytes: number;
  readonly faults: readonly FaultKind[];
  /** Mean pause between two faults. */
  readonly faultEveryMs: number;
  /** How long faults last at most: cuts, pauses, stalls, downtime. */
  readonly faultLengthMaxMs: number;
  /** Share of new leaders that are struck within moments of their election. */
  readonly huntChance: number;
  /** Longest time a new leader has before it is struck. */
  readonly huntWithinMs: number;
  /** Length of the phase with faults. */
  readonly safetyMs: number;
  /** Once healed, the group must agree within this time. */
  readonly livenessMs: number;
  readonly clients: number;
  /** Mean pause of one client between two bursts. */
  readonly thinkMs: number;
  readonly burstMax: number;
  readonly recordBytesMax: number;
  readonly checkpointChance: number;
  readonly compactEveryMs: number;
  readonly readChance: number;
  /** What the wall clocks of two machines are apart at most, divided by two. */
  readonly wallSkewMaxMs: number;
  /** What a jump of a wall clock may be. */
  readonly wallJumpsMs: readonly number[];
}

/**
 * A tenth of all seeds: leaders that are struck right after their election, by the handful, while entries travel one by
 * one and get lost. Long histories of half-replicated terms are where commit rules are put to the test (figure 8 of the
 * Raft paper).
 */
function contested(scenario: Scenario, unitMs: number, random: Prng): Scenario {
  return {
    ...scenario,
    nodeCount: 5,
    core: { ...scenario.core, maxAppendBytes: 1, maxInflightAppends: 1, maxUncommittedBytes: 8192 },
    network: {
      ...scenario.network,
      latencyMinMs: unitMs * 0.005,
      latencyMeanMs: unitMs * random.pick([0.005, 0.02]),
      loss: random.pick([0.2, 0.3, 0.4]),
    },
    huntChance: 0.9,
    huntWithinMs: unitMs * random.pick([0.1, 0.3]),
    faults: ['reset'],
    faultEveryMs: unitMs * 8,
    faultLengthMaxMs: unitMs * random.pick([3, 6, 10]),
    safetyMs: unitMs * 60,
    thinkMs: unitMs * 0.05,
  };
}

/** Draws a scenario. The same seed gives the same scenario for as long as this function stays as it is. */
export function drawScenario(seed: number, random: Prng): Scenario {
  const tiny = random.chance(0.75);
  const isContested = random.chance(0.1);
  // Times of the algorithm, in units of the smallest election timeout.
  const unitMs = tiny ? random.integer(100, 200) : 1000;
  const heartbeatIntervalMs = unitMs / 10;
  const leaseMs = unitMs * 0.9;
  const more = random.fork('more');
  const power = random.fork('power');
  const flushDiskType = more.chance(0.15) ? 'ASYNC_FLUSH' : 'SYNC_FLUSH';
  const faults = [
    ...faultKinds.filter(() => random.chance(0.5)),
    ...diskFaultKinds.filter(() => more.chance(0.2)),
    ...flushFaultKinds.filter(() => flushDiskType === 'ASYNC_FLUSH' && power.chance(0.6)),
  ];
  const proposalTimeoutMs = unitMs * random.pick([3, 10, 20]);
  const network = drawNetwork(unitMs, random);
  // 1 makes every entry a request of its own, and catching up slow: then little may pile up.
  const maxAppendBytes = random.pick([1, 1, 2048, 65_536]);
  const recordBytesMax = random.pick([16, 200, 2000]);
  const scenario: Scenario = {
    seed,
    nodeCount: random.pick([3, 3, 3, 5, 5]),
    scale: tiny ? 'tiny' : 'default',
    core: {
      electionTimeoutMinMs: unitMs,
      electionTimeoutMaxMs: unitMs * 2,
      firstElectionTimeoutMinMs: unitMs * 0.15,
      firstElectionTimeoutMaxMs: unitMs * 0.45,
      startWindowMs: unitMs * 3,
      heartbeatIntervalMs,
      leaseMs,
      peerLostJitterMaxMs: unitMs * 0.05,
      preVoteRetryMinMs: unitMs * 0.05,
      preVoteRetryMaxMs: unitMs * 0.1,
      preVoteRetryWindowMs: unitMs * 1.5,
      // Every reordered request is refused and sent again: a wide window would make a storm of it.
      maxInflightAppends: network.reorders ? random.pick([1, 2, 4]) : random.pick([1, 2, 4, 256]),
      maxAppendBytes,
      maxInflightBytes: random.pick([65_536, 131_072]),
      maxUncommittedBytes: maxAppendBytes === 1 ? 8192 : random.pick([8192, 1_048_576]),
    },
    driver: {
      tickMs: Math.max(2, Math.round(unitMs / random.pick([20, 40]))),
      stallMs: leaseMs,
      maxUnsyncedEntries: random.pick([1, 1, 2, 4]),
      batchBytesMax: random.pick([512, 4096, 65_536]),
      batchRecordsMax: random.pick([2, 64, 1024]),
      proposalQueueMax: random.pick([8, 1000]),
      proposalQueueBytesMax: random.pick([2048, 1_048_576]),
      uncommittedBytesMax: random.pick([16_384, 1_048_576]),
      noQuorumPendingMax: random.pick([4, 1000]),
      applySliceBytes: random.pick([512, 65_536]),
      proposalTimeoutMs,
    },
    network,
    disk: drawDisk(unitMs, random),
    flushDiskType,
    ...drawFlush(flushDiskType, power),
    segmentSizeBytes: random.pick([6, 20, 100]) * Math.max(600, recordBytesMax),
    cacheBytes: random.pick([1024, 65_536]),
    faults,
    faultEveryMs: unitMs * random.pick([1, 3, 8]),
    faultLengthMaxMs: unitMs * random.pick([1, 4, 10]),
    huntChance: faults.length > 0 && random.chance(0.3) ? random.pick([0.3, 0.9]) : 0,
    huntWithinMs: unitMs * random.pick([0.02, 0.1, 0.5]),
    safetyMs: unitMs * random.pick([20, 40, 60]),
    // Small requests make catching up slow.
    livenessMs: unitMs * (maxAppendBytes <= 2048 ? 120 : 60) + proposalTimeoutMs,
    clients: random.integer(1, 4),
    thinkMs: unitMs * random.pick([0.05, 0.2, 1]),
    burstMax: random.pick([1, 3, 12]),
    recordBytesMax,
    checkpointChance: random.pick([0, 0.02, 0.3]),
    compactEveryMs: random.chance(0.5) ? unitMs * 4 : Infinity,
    readChance: random.pick([0, 0.2, 0.6]),
    wallSkewMaxMs: 5_000,
    wallJumpsMs: [-3_600_000, 3_600_000, 1_000],
  };
  return isContested ? contested(scenario, unitMs, random) : scenario;
}

function drawFlush(
  flushDiskType: Scenario['flushDiskType'],
  random: Prng,
): Pick<Scenario, 'forgetful' | 'flushIntervalMs' | 'flushBytes'> {
  const forgetful = random.chance(0.4) ? 'any' : 'minority';
  if (flushDiskType === 'SYNC_FLUSH') return { forgetful, flushIntervalMs: 200, flushBytes: 4096 };
  const flushIntervalMs = random.pick([20, 200, 2000]);
  return { forgetful, flushIntervalMs, flushBytes: random.pick([4096, 65_536]) };
}

function drawNetwork(unitMs: number, random: Prng): NetworkTimes {
  const datagrams = random.chance(0.3);
  return {
    latencyMinMs: unitMs * random.pick([0.0002, 0.002, 0.02]),
    latencyMeanMs: unitMs * random.pick([0.0005, 0.005, 0.03]),
    loss: random.pick([0, 0, 0.01, 0.1]),
    duplicates: datagrams ? random.pick([0.01, 0.2]) : 0,
    reorders: datagrams,
    reconnectMs: unitMs * random.pick([0.02, 0.1]),
  };
}

function drawDisk(unitMs: number, random: Prng): DiskTimes {
  const slow = random.pick([0.1, 1, 3]);
  return {
    writeMinMs: unitMs * 0.0001,
    writeMaxMs: unitMs * 0.002 * slow,
    syncMinMs: unitMs * 0.001,
    syncMaxMs: unitMs * 0.01 * slow,
  };
}
