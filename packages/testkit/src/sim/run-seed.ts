import { createPrng, errorText } from '@raftmq/base';
import { Cluster } from './cluster.js';
import { type Plant } from './plants.js';
import { drawScenario, type Scenario } from './scenario.js';
import { type Violation, World } from './world.js';

export interface RunOptions {
  readonly seed: number;
  readonly plant?: Plant | null;
  /** Gets a line per event. */
  readonly trace?: ((line: string) => void) | null;
}

/** What one seed did. */
export interface RunResult {
  readonly seed: number;
  readonly scenario: Scenario;
  readonly failure: RunFailure | null;
  readonly virtualMs: number;
  readonly steps: number;
  /** Equal for equal seeds, or something looked at real time or chance. */
  readonly hash: number;
  readonly faultsInjected: number;
  readonly entriesCommitted: number;
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
  const random = createPrng(options.seed);
  const scenario = drawScenario(options.seed, random.fork('scenario'));
  const world = new World(options.trace ?? null);
  const cluster = new Cluster(world, scenario, random, options.plant ?? null);
  let failure: RunFailure | null = null;
  try {
    await cluster.safetyPhase();
    await cluster.livenessPhase();
  } catch (error) {
    failure = describe(error, world, cluster);
  }
  const { history } = cluster.workload;
  return {
    seed: options.seed,
    scenario,
    failure,
    virtualMs: world.nowMs,
    steps: world.steps,
    hash: world.hash,
    faultsInjected: cluster.nemesis.injected,
    entriesCommitted: cluster.committed.lastIndex,
    valuesAcked: history.ackedCount,
    readsServed: cluster.workload.readCount,
  };
}

function describe(error: unknown, world: World, cluster: Cluster): RunFailure {
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
