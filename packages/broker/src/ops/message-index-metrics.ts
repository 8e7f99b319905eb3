import { type ProbedMetric, type Sample } from '@raftmq/base';
import { counter, gauge } from './metric-kinds.js';
import { type MetricsSource } from './metrics.js';

/** Metrics of the index that finds messages by id and key. */
export function messageIndexMetrics({ messageIndex, group }: MetricsSource): ProbedMetric[] {
  const labels = ['group'] as const;
  const one = (read: () => number) => (): Sample[] => [{ labels: { group }, value: read() }];
  const { counters } = messageIndex;
  return [
    gauge(
      'raftmq_index_files',
      'Files of the message index.',
      one(() => messageIndex.runCount),
      labels,
    ),
    gauge(
      'raftmq_index_missing_bytes',
      'Bytes of log that wait to be indexed again; queries by id and key miss what is in them.',
      one(() => messageIndex.missingBytes),
      labels,
    ),
    counter(
      'raftmq_index_pairs_total',
      'Ids, keys and queue ranges that went from memory towards a file.',
      one(() => counters.pairs),
      labels,
    ),
    counter(
      'raftmq_index_reindexed_bytes_total',
      'Bytes of log that were indexed again.',
      one(() => counters.reindexedBytes),
      labels,
    ),
    counter(
      'raftmq_index_damaged_files_total',
      'Files that did not match their sums, or were missing.',
      one(() => counters.runsDamaged),
      labels,
    ),
    counter(
      'raftmq_index_failures_total',
      'Failed attempts to write a file; they are repeated.',
      one(() => counters.failures),
      labels,
    ),
    counter(
      'raftmq_index_lookups_total',
      'Lookups by id, key or queue range.',
      one(() => counters.lookups),
      labels,
    ),
  ];
}
