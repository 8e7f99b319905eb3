import { createPrng, errorText } from '@raftmq/base';
import { type Application } from './application.js';
import { type BrokerApplication } from './broker/broker-application.js';
import { BrokerLoad } from './broker/broker-load.js';
import { drawBrokerScenario } from './broker/broker-scenario.js';
import { Cluster } from './cluster.js';
import { type Plant } from './plants.js';
import { drawScenario, type Scenario } from './scenario.js';
import { ValueLoad } from './value-load.js';
import { type Violation, World } from './world.js';

/** What runs on the simulated machines: replication under a sum of values, or the broker with its clients. */
export type WorkloadName = 'raft' | 'broker';

export interface RunOptions {
  readonly seed: number;
  /** `raft` when left out. */
  readonly workload?: WorkloadName;
  readonly plant?: Plant | null;
  /** Gets a line per event. */
  readonly trace?: ((line: string) => void) | null;
}

/** What one seed did. */
export interface RunResult {
  readonly seed: number;
  readonly workload: WorkloadName;
  readonly scenario: Scenario;
  readonly failure: RunFailure | null;
  readonly virtualMs: number;
  readonly steps: number;
  /** Equal for equal seeds, or something looked at real time or chance. */
  readonly hash: number;
  readonly faultsInjected: number;
  readonly entriesCommitted: number;
  /** How often committed entries were lost, as may be where many machines lose power (ASYNC_FLUSH). */
  readonly losses: number;
  readonly valuesAcked: number;
  readonly readsServed: number;
}

export interface RunFailure {
  readonly invariant: string;
  readonly message: string;
  readonly virtualMs: number;
  readonly step: number;
  readonly nodes: readonly string[];
  readonly recent: readonly string[];
}

/** Runs one seed from boot to verdict. Never rejects: whatever goes wrong is the result's `failure`. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const world = new World(options.trace ?? null);
  return options.workload === 'broker' ? runBroker(options, world) : runRaft(options, world);
}

function runRaft(options: RunOptions, world: World): Promise<RunResult> {
  const random = createPrng(options.seed);
  const scenario = drawScenario(options.seed, random.fork('scenario'));
  const plant = options.plant ?? null;
  const cluster = new Cluster(
    world,
    scenario,
    random,
    plant,
    (forLoad, acked) => new ValueLoad(world, forLoad, scenario, acked),
  );
  return run(options, world, cluster);
}

function runBroker(options: RunOptions, world: World): Promise<RunResult> {
  const random = createPrng(options.seed);
  const scenario = drawBrokerScenario(options.seed, random.fork('broker scenario'));
  const plant = options.plant ?? null;
  const cluster = new Cluster<BrokerApplication>(
    world,
    scenario.cluster,
    random,
    plant,
    (forLoad, acked) => new BrokerLoad(world, forLoad, scenario, plant, acked),
  );
  return run(options, world, cluster);
}

async function run<A extends Application>(
  { seed, workload = 'raft' }: RunOptions,
  world: World,
  cluster: Cluster<A>,
): Promise<RunResult> {
  let failure: RunFailure | null = null;
  try {
    await cluster.safetyPhase();
    await cluster.livenessPhase();
  } catch (error) {
    failure = describe(error, world, cluster);
  }
  const { acked, reads } = cluster.load.counts;
  return {
    seed,
    workload,
    scenario: cluster.scenario,
    failure,
    virtualMs: world.nowMs,
    steps: world.steps,
    hash: world.hash,
    faultsInjected: cluster.nemesis.injected,
    entriesCommitted: cluster.committed.lastIndex,
    losses: cluster.losses,
    valuesAcked: acked,
    readsServed: reads,
  };
}

function describe(error: unknown, world: World, cluster: { table(): string[] }): RunFailure {
  const known =
    typeof error === 'object' &&
    error !== null &&
    (error as { name?: unknown }).name === 'Violation';
  const stack =
    typeof error === 'object' && error !== null && 'stack' in error
      ? String(error.stack)
      : errorText(error);
  return {
    invariant: known ? (error as Violation).invariant : 'no-crash',
    message: known ? errorText(error) : stack,
    virtualMs: world.nowMs,
    step: world.steps,
    nodes: cluster.table(),
    recent: [...world.recent],
  };
}
