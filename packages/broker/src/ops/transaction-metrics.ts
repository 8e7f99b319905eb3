import { type ProbedMetric, type Sample } from '@raftmq/base';
import { counter, gauge } from './metric-kinds.js';
import { type MetricsSource } from './metrics.js';

/** Metrics of transactions. Counters count on the leader, and gauges are shown by it alone: their sum is the cluster's. */
export function transactionMetrics(source: MetricsSource): ProbedMetric[] {
  const { transactions, raftStatus, cluster, nodeId, group } = source;
  const { probe } = transactions;
  const labels = ['group'] as const;
  const one = (read: () => number) => (): Sample[] => [{ labels: { group }, value: read() }];
  const leading = (): boolean => raftStatus().role === 'leader';
  const broker = { cluster, node_type: 'broker', node_id: String(nodeId) };
  const names = ['cluster', 'node_type', 'node_id'] as const;
  return [
    gauge(
      'rocketmq_half_messages',
      'Transactional messages that wait for a decision.',
      () =>
        !leading()
          ? []
          : [...transactions.pendingByTopic()].map(([topic, value]) => ({
              labels: { ...broker, topic },
              value,
            })),
      [...names, 'topic'],
    ),
    counter(
      'rocketmq_commit_messages_total',
      'Transactions committed.',
      () => [{ labels: broker, value: probe.committed }],
      names,
    ),
    counter(
      'rocketmq_rollback_messages_total',
      'Transactions rolled back.',
      () => [{ labels: broker, value: probe.rolledBack }],
      names,
    ),
    gauge(
      'raftmq_transaction_parked',
      'Transactions that wait for an operator.',
      () => (leading() ? [{ labels: { group }, value: transactions.parkedCount }] : []),
      labels,
    ),
    counter(
      'raftmq_transaction_half_messages_total',
      'Half messages stored.',
      one(() => probe.halvesStored),
      labels,
    ),
    counter(
      'raftmq_transaction_half_messages_repeated_total',
      'Half messages that came again and were not stored twice.',
      one(() => probe.halvesRepeated),
      labels,
    ),
    counter(
      'raftmq_transaction_half_messages_refused_total',
      'Half messages refused because too many wait for a decision.',
      one(() => probe.halvesRefused),
      labels,
    ),
    counter(
      'raftmq_transaction_decided_by_check_total',
      'Transactions decided in answer to a check.',
      one(() => probe.decidedByCheck),
      labels,
    ),
    counter(
      'raftmq_transaction_decisions_refused_total',
      'Decisions about unknown transactions, or contrary to the first one.',
      one(() => probe.decisionsRefused),
      labels,
    ),
    counter(
      'raftmq_transaction_checks_total',
      'Checks handed to a producer.',
      one(() => probe.checksSent),
      labels,
    ),
    counter(
      'raftmq_transaction_checks_without_producer_total',
      'Times that a check was due and no producer of the topic was connected.',
      one(() => probe.checksWithoutProducer),
      labels,
    ),
    counter(
      'raftmq_transaction_parked_total',
      'Transactions parked after their last check.',
      one(() => probe.parked),
      labels,
    ),
    counter(
      'raftmq_transaction_discarded_total',
      'Parked transactions given up at the limit.',
      one(() => probe.discarded),
      labels,
    ),
    counter(
      'raftmq_transaction_resumed_total',
      'Parked transactions resumed.',
      one(() => probe.resumed),
      labels,
    ),
  ];
}
