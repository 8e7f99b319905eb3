import { type RunResult } from './run-seed.js';

/** One block that says what broke, where, and how to see it again. */
export function failureReport(result: RunResult, plant: string | null): string {
  const { failure, scenario, seed, workload } = result;
  if (failure === null) return `seed ${seed}: all invariants hold`;
  const again = `raftmq sim --seed ${seed} --workload ${workload} --trace${plant === null ? '' : ` --plant ${plant}`}`;
  return [
    `seed ${seed} of ${workload} broke ${failure.invariant} at ${failure.virtualMs.toFixed(3)} ms, step ${failure.step} (Node ${process.version})`,
    `  ${failure.message.split('\n').join('\n  ')}`,
    `scenario: ${scenario.nodeCount} nodes, ${scenario.scale} times, faults ${scenario.faults.join(' ') || 'none'}`,
    'nodes:',
    ...failure.nodes.map((line) => `  ${line}`),
    'last events:',
    ...failure.recent.slice(-50).map((line) => `  ${line}`),
    again,
  ].join('\n');
}
