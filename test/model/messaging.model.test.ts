import { afterAll, describe, expect, it } from '@jest/globals';
import { TestWorker } from '../workers/test-worker.js';
import { type ModelQuestion } from './model-worker.js';

const OPERATIONS = 10_000;
const TEST_TIMEOUT_MS = 120_000;

describe('the messaging service against a naive model', () => {
  const worker = new TestWorker<ModelQuestion, ReadonlyMap<string, number>>('model-worker');
  afterAll(() => worker.stop());

  it.each([1, 2, 3, 4, 5, 6])(
    'seed %i: random operations, with failovers, restarts and lost answers',
    async (seed) => {
      const counts = await worker.ask({ seed, operations: OPERATIONS });
      for (const count of counts.values()) expect(count).toBeGreaterThan(0);
      expect(counts.size).toBe(22);
    },
    TEST_TIMEOUT_MS,
  );
});
