import { parseArgs } from 'node:util';
import { errorText } from '@raftmq/base';
import { isPlant, plants, type Plant } from './plants.js';
import { failureReport } from './report.js';
import { runSeed, type RunResult, type WorkloadName } from './run-seed.js';

const HELP = `raftmq sim: runs a broker group's replication on simulated machines, with faults, and checks its promises

usage: raftmq sim [--seed N | --seeds N [--from S]] [--workload W] [--trace] [--plant NAME] [--json]

  --workload W  raft (replication alone), broker (messages, deliveries and their clients on it), or both (default)
  --seed N      run one seed
  --seeds N     run N seeds (default 100)
  --from S      the first of them; without it, one is made from the date
  --trace       print every event of the virtual world
  --plant NAME  plant a mistake on purpose, and expect it to be found:
${Object.entries(plants)
  .map(([name, { what }]) => `                  ${name.padEnd(20)} ${what}`)
  .join('\n')}
  --json        print the summary as one line of JSON

Exit code 0: every invariant held (or the planted mistake was found). 1: not so. 2: wrong usage.
`;

interface SimArguments {
  readonly seeds: readonly number[];
  readonly workloads: readonly WorkloadName[];
  readonly trace: boolean;
  readonly plant: Plant | null;
  readonly json: boolean;
}

/** Sums over several runs. */
interface Totals {
  seeds: number;
  virtualMs: number;
  steps: number;
  faults: number;
  entries: number;
  acked: number;
  reads: number;
}

/**
 * The command `raftmq sim`. Prints to stdout and stderr.
 * @param argv what follows the command's name
 * @returns the exit code
 */
export async function main(argv: readonly string[]): Promise<number> {
  let parsed: SimArguments | null;
  try {
    parsed = parse(argv);
  } catch (error) {
    process.stderr.write(`raftmq sim: ${errorText(error)}\n\n${HELP}`);
    return 2;
  }
  if (parsed === null) {
    process.stdout.write(HELP);
    return 0;
  }
  const startedAtMs = performance.now();
  const totals: Totals = {
    seeds: 0,
    virtualMs: 0,
    steps: 0,
    faults: 0,
    entries: 0,
    acked: 0,
    reads: 0,
  };
  let failed: RunResult | null = null;
  const runs = parsed.seeds.flatMap((seed) =>
    parsed.workloads.map((workload) => ({ seed, workload })),
  );
  for (const run of runs) {
    const result = await runSeed({
      ...run,
      plant: parsed.plant,
      trace: parsed.trace ? (line) => void process.stdout.write(line + '\n') : null,
    });
    add(totals, result);
    if (result.failure !== null) {
      failed = result;
      break;
    }
    if (totals.seeds % 10 === 0) progress(totals, runs.length, performance.now() - startedAtMs);
    // Lets signals and streams have their turn.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  if (process.stderr.isTTY) process.stderr.write('\n');
  if (failed !== null) process.stdout.write(failureReport(failed, parsed.plant) + '\n');
  process.stdout.write(
    summary(totals, failed, performance.now() - startedAtMs, parsed.json) + '\n',
  );
  return (failed !== null) === (parsed.plant !== null) ? 0 : 1;
}

function parse(argv: readonly string[]): SimArguments | null {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      from: { type: 'string' },
      trace: { type: 'boolean', default: false },
      workload: { type: 'string', default: 'both' },
      plant: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  if (values.seed !== undefined && (values.seeds !== undefined || values.from !== undefined)) {
    throw new Error('--seed runs one seed: leave --seeds and --from away');
  }
  const plant = values.plant ?? null;
  if (plant !== null && !isPlant(plant))
    throw new Error(`--plant must be one of ${Object.keys(plants).join(', ')}`);
  const { trace, json } = values;
  const workloads = workloadsOf(values.workload, plant);
  if (values.seed !== undefined)
    return { seeds: [whole('--seed', values.seed)], workloads, trace, plant, json };
  const from =
    values.from === undefined ? Date.now() % 1_000_000_000 : whole('--from', values.from);
  const count = values.seeds === undefined ? 100 : whole('--seeds', values.seeds);
  return {
    seeds: Array.from({ length: count }, (_, i) => from + i),
    workloads,
    trace,
    plant,
    json,
  };
}

/** A mistake in the broker's state is looked for where there is one. */
function workloadsOf(name: string, plant: Plant | null): readonly WorkloadName[] {
  if (name === 'raft' || name === 'broker') return [name];
  if (name !== 'both') throw new Error(`--workload must be raft, broker or both, not "${name}"`);
  if (plant !== null) return [plants[plant].workload];
  return ['raft', 'broker'];
}

function whole(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`${flag} must be a whole number from 0 on, not "${text}"`);
  return value;
}

function add(totals: Totals, result: RunResult): void {
  totals.seeds++;
  totals.virtualMs += result.virtualMs;
  totals.steps += result.steps;
  totals.faults += result.faultsInjected;
  totals.entries += result.entriesCommitted;
  totals.acked += result.valuesAcked;
  totals.reads += result.readsServed;
}

function progress(totals: Totals, count: number, elapsedMs: number): void {
  const line = `${totals.seeds}/${count} seeds, ${((totals.seeds / elapsedMs) * 1000).toFixed(1)}/s, ${totals.faults} faults, ${totals.entries} entries`;
  if (process.stderr.isTTY) process.stderr.write(`\r${line}  `);
  else if (totals.seeds % 100 === 0) process.stderr.write(line + '\n');
}

function summary(
  totals: Totals,
  failed: RunResult | null,
  elapsedMs: number,
  json: boolean,
): string {
  if (json) {
    return JSON.stringify({
      seeds: totals.seeds,
      failedSeed: failed?.seed ?? null,
      invariant: failed?.failure?.invariant ?? null,
      virtualSeconds: Math.round(totals.virtualMs / 1000),
      events: totals.steps,
      faults: totals.faults,
      entriesCommitted: totals.entries,
      valuesAcked: totals.acked,
      readsServed: totals.reads,
      elapsedSeconds: Math.round(elapsedMs) / 1000,
    });
  }
  const perSecond = (totals.seeds / elapsedMs) * 1000;
  return (
    `${totals.seeds} runs in ${(elapsedMs / 1000).toFixed(1)} s (${perSecond.toFixed(1)}/s): ` +
    `${(totals.virtualMs / 1000).toFixed(0)} virtual seconds, ${totals.steps} events, ${totals.faults} faults, ` +
    `${totals.entries} entries committed, ${totals.acked} values acknowledged, ${totals.reads} reads; ` +
    (failed === null
      ? 'all invariants held'
      : `seed ${failed.seed} broke ${failed.failure!.invariant}`)
  );
}
