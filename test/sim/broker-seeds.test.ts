import { describe, expect, it } from '@jest/globals';
import { type Plant } from '@raftmq/testkit';
import { baseSeed, expectClean, foundWithin, knownSeeds } from './runs.js';

const FRESH_SEEDS = 200;
const SEEDS_PER_TEST = 20;
const TEST_TIMEOUT_MS = 180_000;

describe(`fresh seeds from ${baseSeed} (repeat with RAFTMQ_SIM_SEED=${baseSeed})`, () => {
  const totals = { faults: 0, entries: 0, sent: 0, received: 0 };
  const froms = Array.from(
    { length: FRESH_SEEDS / SEEDS_PER_TEST },
    (_, i) => baseSeed + i * SEEDS_PER_TEST,
  );
  it.each(froms)(
    'seeds from %i hold every invariant',
    async (from) => {
      for (let seed = from; seed < from + SEEDS_PER_TEST; seed++) {
        const result = await expectClean('broker', seed);
        totals.faults += result.faultsInjected;
        totals.entries += result.entriesCommitted;
        totals.sent += result.valuesAcked;
        totals.received += result.readsServed;
      }
    },
    TEST_TIMEOUT_MS,
  );

  it('really did something', () => {
    expect(totals.faults).toBeGreaterThan(FRESH_SEEDS);
    expect(totals.entries).toBeGreaterThan(FRESH_SEEDS * 50);
    expect(totals.sent).toBeGreaterThan(FRESH_SEEDS * 20);
    expect(totals.received).toBeGreaterThan(FRESH_SEEDS * 40);
  });
});

describe('known seeds', () => {
  it.each(knownSeeds('broker-seeds.txt'))(
    'seed %i: %s',
    async (seed) => void (await expectClean('broker', seed)),
    TEST_TIMEOUT_MS,
  );
});

describe('determinism', () => {
  it.each([1, 3, 7, 11])(
    'seed %i gives the same world twice',
    async (seed) => {
      const [first, second] = [
        await expectClean('broker', seed),
        await expectClean('broker', seed),
      ];
      expect(second).toEqual(first);
      expect((await expectClean('broker', seed + 1)).hash).not.toBe(first.hash);
    },
    TEST_TIMEOUT_MS,
  );
});

describe('planted bugs', () => {
  /** Seeds from 0 on that have to be enough. */
  const bounds: readonly (readonly [Plant, number])[] = [
    ['ack-any-lease', 10],
    ['progress-not-saved', 10],
    ['fired-timers-kept', 20],
    ['attempts-forgotten', 10],
    ['sends-forgotten', 20],
    ['renewals-ignored', 60],
    ['deleted-topics-kept', 100],
    ['subscriptions-not-saved', 20],
    ['outcomes-not-saved', 200],
  ];
  it.each(bounds)(
    '%s is found within %i seeds',
    async (plant, seedsMax) => {
      expect(await foundWithin('broker', plant, seedsMax)).not.toBeNull();
    },
    TEST_TIMEOUT_MS,
  );
});
