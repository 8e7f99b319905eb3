import { serve } from '../workers/serve.js';
import { ModelRun } from './model-run.js';

/** A run of the model: how often it did what. */
export interface ModelQuestion {
  readonly seed: number;
  readonly operations: number;
}

serve<ModelQuestion, ReadonlyMap<string, number>>(async ({ seed, operations }) => {
  const run = new ModelRun(seed);
  await run.start();
  for (let i = 0; i < operations; i++) {
    try {
      await run.step();
      if (i % 1_000 === 0) await run.compareReplicas();
    } catch (error) {
      throw new Error(`operation ${i}`, { cause: error });
    }
  }
  await run.drain();
  await run.compareReplicas();
  return run.counts;
});
