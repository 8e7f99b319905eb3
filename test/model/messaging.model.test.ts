import { describe, expect, it } from '@jest/globals';
import { ModelRun } from './model-run.js';

const OPERATIONS = 10_000;
const TEST_TIMEOUT_MS = 120_000;

describe('the messaging service against a naive model', () => {
  it.each([1, 2, 3, 4, 5, 6])(
    'seed %i: random operations, with failovers, restarts and lost answers',
    async (seed) => {
      const run = new ModelRun(seed);
      await run.start();
      for (let i = 0; i < OPERATIONS; i++) {
        try {
          await run.step();
          if (i % 1_000 === 0) await run.compareReplicas();
        } catch (error) {
          throw new Error(`operation ${i}`, { cause: error });
        }
      }
      await run.drain();
      await run.compareReplicas();
      for (const count of run.counts.values()) expect(count).toBeGreaterThan(0);
      expect(run.counts.size).toBe(22);
    },
    TEST_TIMEOUT_MS,
  );
});
