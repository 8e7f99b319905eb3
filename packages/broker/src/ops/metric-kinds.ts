import { type ProbedMetric } from '@raftmq/base';

/** Reads a metric: the value now, or one per set of labels. */
export type Read = ProbedMetric['read'];

/** A number that only grows while the process lives. */
export const counter = (
  name: string,
  help: string,
  read: Read,
  labels: readonly string[] = [],
): ProbedMetric => ({
  name,
  help,
  kind: 'counter',
  labels,
  read,
});
/** A number that goes up and down. */
export const gauge = (
  name: string,
  help: string,
  read: Read,
  labels: readonly string[] = [],
): ProbedMetric => ({
  name,
  help,
  kind: 'gauge',
  labels,
  read,
});
