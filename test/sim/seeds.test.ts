import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { failureReport, runSeed, type Plant, type RunResult } from '@raftmq/testkit';

const FRESH_SEEDS = 200;
const SEEDS_PER_TEST = 20;
const TEST_TIMEOUT_MS = 180_000;

/** `RAFTMQ_SIM_SEED` repeats a run; without it every second of the calendar gives other seeds. */
const given = Number(process.env['RAFTMQ_SIM_SEED'] ?? NaN);
const baseSeed =
  Number.isSafeInteger(given) && given >= 0 ? given : Math.floor(Date.now() / 1000) * 1000;

function knownSeeds(): readonly (readonly [seed: number, reason: string])[] {
  return readFileSync(join(__dirname, 'seeds.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => [Number(line.split(' ')[0]), line.slice(line.indexOf(' ') + 1)]);
}

async function expectClean(seed: number): Promise<RunResult> {
  const result = await runSeed({ seed });
  if (result.failure !== null) throw new Error(failureReport(result, null));
  return result;
}

describe(`fresh seeds from ${baseSeed} (repeat with RAFTMQ_SIM_SEED=${baseSeed})`, () => {
  const totals = { faults: 0, entries: 0, acked: 0, reads: 0 };
  const froms = Array.from(
    { length: FRESH_SEEDS / SEEDS_PER_TEST },
    (_, i) => baseSeed + i * SEEDS_PER_TEST,
  );
  it.each(froms)(
    'seeds from %i hold every invariant',
    async (from) => {
      for (let seed = from; seed < from + SEEDS_PER_TEST; seed++) {
        const result = await expectClean(seed);
        totals.faults += result.faultsInjected;
        totals.entries += result.entriesCommitted;
        totals.acked += result.valuesAcked;
        totals.reads += result.readsServed;
      }
    },
    TEST_TIMEOUT_MS,
  );

  it('really did something', () => {
    expect(totals.faults).toBeGreaterThan(FRESH_SEEDS);
    expect(totals.entries).toBeGreaterThan(FRESH_SEEDS * 20);
    expect(totals.acked).toBeGreaterThan(FRESH_SEEDS * 20);
    expect(totals.reads).toBeGreaterThan(FRESH_SEEDS);
  });
});

describe('known seeds', () => {
  it.each(knownSeeds())(
    'seed %i: %s',
    async (seed) => void (await expectClean(seed)),
    TEST_TIMEOUT_MS,
  );
});

describe('determinism', () => {
  it.each([1, 3, 7, 11])(
    'seed %i gives the same world twice',
    async (seed) => {
      const [first, second] = [await expectClean(seed), await expectClean(seed)];
      expect(second).toEqual(first);
      expect((await expectClean(seed + 1)).hash).not.toBe(first.hash);
    },
    TEST_TIMEOUT_MS,
  );
});

describe('planted bugs', () => {
  /** Seeds from 0 on that have to be enough. */
  const bounds: readonly (readonly [Plant, number])[] = [
    ['ack-before-sync', 3],
    ['vote-not-synced', 3],
    ['commit-old-term', 1500],
  ];
  it.each(bounds)(
    '%s is found within %i seeds',
    async (plant, seedsMax) => {
      let found: string | null = null;
      for (let seed = 0; seed < seedsMax && found === null; seed++) {
        found = (await runSeed({ seed, plant })).failure?.invariant ?? null;
      }
      expect(found).not.toBeNull();
    },
    TEST_TIMEOUT_MS,
  );
});
