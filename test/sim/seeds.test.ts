import { describe, expect, it } from '@jest/globals';
import { type Plant } from '@raftmq/testkit';
import { baseSeed, expectClean, foundWithin, knownSeeds } from './runs.js';

const FRESH_SEEDS = 200;
const SEEDS_PER_TEST = 20;
const TEST_TIMEOUT_MS = 180_000;

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
        const result = await expectClean('raft', seed);
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
  it.each(knownSeeds('seeds.txt'))(
    'seed %i: %s',
    async (seed) => void (await expectClean('raft', seed)),
    TEST_TIMEOUT_MS,
  );
});

describe('determinism', () => {
  it.each([1, 3, 7, 11])(
    'seed %i gives the same world twice',
    async (seed) => {
      const [first, second] = [await expectClean('raft', seed), await expectClean('raft', seed)];
      expect(second).toEqual(first);
      expect((await expectClean('raft', seed + 1)).hash).not.toBe(first.hash);
    },
    TEST_TIMEOUT_MS,
  );
});

describe('planted bugs', () => {
  /** Seeds that have to be enough, and where they begin: a little before the one that finds it today. */
  const bounds: readonly (readonly [Plant, seedsMax: number, fromSeed: number])[] = [
    ['ack-before-sync', 3, 0],
    ['vote-not-synced', 3, 0],
    ['disk-errors-ignored', 10, 0],
    ['power-cuts-forgotten', 60, 0],
    ['commit-old-term', 1500, 240],
  ];
  it.each(bounds)(
    '%s is found within %i seeds from %i',
    async (plant, seedsMax, fromSeed) => {
      expect(await foundWithin('raft', plant, seedsMax, fromSeed)).not.toBeNull();
    },
    TEST_TIMEOUT_MS,
  );
});
