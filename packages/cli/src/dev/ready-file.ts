import { renameSync, writeFileSync } from 'node:fs';
import { type NodeProcess } from './node-process.js';

/** The text of the ready file: where everything listens, and the process ids. */
export function readyFileText(namesrv: NodeProcess, brokers: readonly NodeProcess[]): string {
  const nodes = [namesrv, ...brokers].map(({ plan, pid }) => ({
    kind: plan.kind,
    group: plan.group,
    id: plan.id,
    pid,
    grpc: plan.grpc,
    remoting: plan.remoting,
    metrics: plan.metrics,
    dataDir: plan.dataDir,
  }));
  return (
    JSON.stringify({
      namesrv: [namesrv.plan.grpc],
      endpoints: brokers.map(({ plan }) => plan.grpc).join(';'),
      nodes,
    }) + '\n'
  );
}

/** Replaces `path` in one step: a reader sees the old text or the new one, never a part. */
export function writeAtomically(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text);
  renameSync(temporary, path);
}
