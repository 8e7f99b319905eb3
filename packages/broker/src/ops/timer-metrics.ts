import { type ProbedMetric, type Sample } from '@raftmq/base';
import { LATENESS_BOUNDS_MS } from '../timers/probe.js';
import { counter, gauge } from './metric-kinds.js';
import { type MetricsSource } from './metrics.js';

/** Metrics of messages that wait for their delivery time; all but the first count on the leader. */
export function timerMetrics({ timers, group, cluster, nodeId }: MetricsSource): ProbedMetric[] {
  const labels = ['group'] as const;
  const { probe } = timers;
  const one = (read: () => number) => (): Sample[] => [{ labels: { group }, value: read() }];
  const node = { cluster, node_type: 'broker', node_id: String(nodeId) };
  const compatible = (read: () => number) => (): Sample[] => [{ labels: node, value: read() }];
  const nodeLabels = ['cluster', 'node_type', 'node_id'] as const;
  return [
    gauge('raftmq_timers_pending', 'Messages that wait.', one(timers.pending), labels),
    gauge('raftmq_timers_loaded', 'Of them, those in memory.', one(timers.loaded), labels),
    gauge('raftmq_timers_loaded_bytes', 'Bytes of these.', one(timers.loadedBytes), labels),
    counter(
      'raftmq_timers_put_total',
      'Messages taken in to wait.',
      one(() => probe.put),
      labels,
    ),
    counter(
      'raftmq_timers_fired_total',
      'Messages delivered at their time.',
      one(() => probe.fired),
      labels,
    ),
    counter(
      'raftmq_timers_recalled_total',
      'Messages taken back.',
      one(() => probe.recalled),
      labels,
    ),
    counter(
      'raftmq_timers_recalls_failed_total',
      'Recalls refused: no handle, or delivered already.',
      one(() => probe.recallsFailed),
      labels,
    ),
    counter(
      'raftmq_timers_dropped_total',
      'Messages whose topic was deleted before their time.',
      one(() => probe.dropped),
      labels,
    ),
    counter(
      'raftmq_timers_refused_total',
      'Messages refused because too many wait.',
      one(() => probe.refused),
      labels,
    ),
    counter(
      'raftmq_timers_early_total',
      'Batches held back because the wall clock went back under them.',
      one(() => probe.early),
      labels,
    ),
    counter(
      'raftmq_timers_loads_total',
      'Reads of waiting messages from disk.',
      one(() => probe.loads),
      labels,
    ),
    counter(
      'raftmq_timers_lateness_seconds_bucket',
      'Messages delivered at most this much after their time, until their commit.',
      () => latenessBuckets(group, probe.lateness),
      ['group', 'le'],
    ),
    counter(
      'raftmq_timers_lateness_seconds_sum',
      'Lateness of all delivered messages together.',
      one(() => probe.latenessSumMs / 1000),
      labels,
    ),
    counter(
      'raftmq_timers_lateness_seconds_count',
      'Messages in that sum.',
      one(() => probe.fired),
      labels,
    ),
    gauge(
      'raftmq_timers_lateness_seconds_max',
      'Largest lateness since the start.',
      one(() => probe.latenessMaxMs / 1000),
      labels,
    ),
    gauge(
      'rocketmq_timing_messages',
      'Messages that wait for their delivery time.',
      compatible(timers.pending),
      nodeLabels,
    ),
    counter(
      'rocketmq_timer_enqueue_total',
      'Messages taken in to wait.',
      compatible(() => probe.put),
      nodeLabels,
    ),
    counter(
      'rocketmq_timer_dequeue_total',
      'Messages delivered at their time.',
      compatible(() => probe.fired),
      nodeLabels,
    ),
  ];
}

function latenessBuckets(group: string, counts: readonly number[]): Sample[] {
  let sum = 0;
  return counts.map((count, i) => {
    sum += count;
    const boundMs = LATENESS_BOUNDS_MS[i];
    const le = boundMs === undefined ? '+Inf' : String(boundMs / 1000);
    return { labels: { group, le }, value: sum };
  });
}
