import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';
import { type Plant, type RunOptions, type RunResult, type WorkloadName } from '@raftmq/testkit';
import { TestWorker } from '../workers/test-worker.js';
import { type SeedAnswer } from './seed-worker.js';

const worker = new TestWorker<RunOptions, SeedAnswer>('seed-worker');
afterAll(() => worker.stop());

/** `RAFTMQ_SIM_SEED` repeats a run; without it every second of the calendar gives other seeds. */
const given = Number(process.env['RAFTMQ_SIM_SEED'] ?? NaN);
export const baseSeed =
  Number.isSafeInteger(given) && given >= 0 ? given : Math.floor(Date.now() / 1000) * 1000;

/** Seeds with the reason why each is run for ever. */
export function knownSeeds(file: string): readonly (readonly [seed: number, reason: string])[] {
  return readFileSync(join(__dirname, file), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => [Number(line.split(' ')[0]), line.slice(line.indexOf(' ') + 1)]);
}

/** Runs a seed in which every invariant must hold. */
export async function expectClean(workload: WorkloadName, seed: number): Promise<RunResult> {
  const { result, report } = await worker.ask({ seed, workload });
  if (result.failure !== null) throw new Error(report);
  return result;
}

/** Looks for a planted mistake. @returns the invariant that it broke, null when it stayed hidden */
export async function foundWithin(
  workload: WorkloadName,
  plant: Plant,
  seedsMax: number,
  fromSeed = 0,
): Promise<string | null> {
  for (let seed = fromSeed; seed < fromSeed + seedsMax; seed++) {
    const { failure } = (await worker.ask({ seed, workload, plant })).result;
    if (failure !== null) return failure.invariant;
  }
  return null;
}
