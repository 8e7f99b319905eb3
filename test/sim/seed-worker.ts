import { failureReport, runSeed, type RunOptions, type RunResult } from '@raftmq/testkit';
import { serve } from '../workers/serve.js';

/** What a seed did, and the report for whoever looks into its failure. */
export interface SeedAnswer {
  readonly result: RunResult;
  readonly report: string;
}

serve<RunOptions, SeedAnswer>(async (options) => {
  const result = await runSeed(options);
  return { result, report: failureReport(result, options.plant ?? null) };
});
