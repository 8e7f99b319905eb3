import { Program, type ProgramResult } from './program.js';
import { type Scenario } from './scenarios.js';
import { scenariosOf, type Sdk } from './sdk.js';
import { type Target } from './target.js';

/** Why a scenario does not work; empty when it does. By the id of the scenario. */
export type Results = ReadonlyMap<string, readonly string[]>;

const PROGRAM_TIMEOUT_MS = 120_000;
const FACTS_MAX = 2_000;

/**
 * Runs all programs of an SDK, several at a time. With `kill` every batch waits until all its programs are half way;
 * then the leader is killed and they go on.
 */
export async function runRound(sdk: Sdk, target: Target, kill: boolean): Promise<Results> {
  const results = new Map<string, readonly string[]>();
  const own = scenariosOf(sdk);
  for (let from = 0; from < own.length; from += sdk.parallel) {
    const batch = own.slice(from, from + sdk.parallel);
    const done = await runBatch(sdk, target, batch, kill);
    batch.forEach((scenario, i) => results.set(scenario.id, complaints(scenario, done[i]!, kill)));
  }
  return results;
}

function complaints(scenario: Scenario, result: ProgramResult, killed: boolean): readonly string[] {
  if (result.facts === null) return [result.failure];
  const found = scenario.judge(result.facts, { killed });
  return found.length === 0 ? [] : [...found, JSON.stringify(result.facts).slice(0, FACTS_MAX)];
}

async function runBatch(
  sdk: Sdk,
  target: Target,
  batch: readonly Scenario[],
  kill: boolean,
): Promise<readonly ProgramResult[]> {
  const name = (scenario: Scenario): string =>
    `${sdk.id}-${scenario.id}-${kill ? 'killed' : 'calm'}${NAME_SUFFIX}`;
  await Promise.all(
    batch.map((scenario) => target.prepare(scenario, name(scenario), `group-${name(scenario)}`)),
  );
  const programs = batch.map((scenario, turn) => {
    const { command, args, env = {} } = sdk.program(scenario.id);
    const options = [
      ...['--endpoints', target.endpoints(sdk.singleAddress, turn)],
      ...['--topic', name(scenario), '--group', `group-${name(scenario)}`],
      ...(kill ? ['--halt'] : []),
      ...EXTRA_OPTIONS,
    ];
    const timeoutMs = PROGRAM_TIMEOUT_MS;
    return new Program({ command, args: [...args, ...options], timeoutMs, env });
  });
  try {
    if (kill) {
      await target.killer!.aim();
      await Promise.all(programs.map((program) => program.middle));
      await target.killer!.kill();
      for (const program of programs) program.goOn();
    }
    return await Promise.all(programs.map((program) => program.ended));
  } finally {
    for (const program of programs) program.stop();
    if (kill) await target.killer!.recover();
  }
}

/** Options for all programs, for example `--await 3000` against a server that refuses short polls. */
const EXTRA_OPTIONS = (process.env['RAFTMQ_TEST_OPTIONS'] ?? '').split(' ').filter(Boolean);
/** Another server keeps its topics from run to run. */
const NAME_SUFFIX = process.env['RAFTMQ_TEST_ENDPOINTS'] === undefined ? '' : `-${Date.now()}`;
