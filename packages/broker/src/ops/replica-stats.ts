import { type QueueIndex } from '@raftmq/broker-store';
import { type GroupProgress, type QueueStats } from '../admin/admin-source.js';
import { type Tables } from '../state/tables.js';

/** Offsets of all queues of a topic; none for an unknown topic. */
export function queueStats(tables: Tables, queueIndex: QueueIndex, topic: string): QueueStats[] {
  const row = tables.topics.get(topic);
  if (row === undefined) return [];
  return Array.from({ length: row.config.queues }, (_, queueId) => ({
    queueId,
    minOffset: queueIndex.minOffset(topic, queueId),
    maxOffset: row.queues[queueId]?.endOffset ?? 0,
  }));
}

/**
 * How far a consumer group is, in every queue of every topic that it has ever read; none for an unknown group. In a queue
 * that it has not reached yet it stands at the beginning.
 */
export function groupProgress(
  tables: Tables,
  queueIndex: Pick<QueueIndex, 'minOffset'>,
  group: string,
): GroupProgress[] {
  const progress: GroupProgress[] = [];
  for (const [name, rows] of tables.groups.get(group)?.deliveries.topics() ?? []) {
    const topic = tables.topics.get(name);
    if (topic === undefined) continue;
    const queueIds = new Set([...rows].map((row) => row.queueId));
    // Of a topic of type LITE only its lite topics are delivered, and only those with something in flight have a row.
    if (topic.config.type !== 'LITE')
      for (let queueId = 0; queueId < topic.config.queues; queueId++) queueIds.add(queueId);
    for (const queueId of [...queueIds].sort((a, b) => a - b)) {
      const minOffset = queueIndex.minOffset(name, queueId);
      const state = tables.delivery(group, name, queueId)?.state;
      const committedOffset = state?.committedOffset ?? minOffset;
      const maxOffset = tables.endOffset(topic, queueId);
      const lag = Math.max(0, maxOffset - Math.max(committedOffset, minOffset));
      const inFlight = state?.openCount ?? 0;
      progress.push({ topic: name, queueId, committedOffset, maxOffset, inFlight, lag });
    }
  }
  return progress;
}

/** What a consumer group has to do in a topic, all queues together. */
export interface ConsumerLag {
  readonly group: string;
  readonly topic: string;
  readonly messages: number;
}

/** Groups and topics that are told of: a label each. */
const LAG_ROWS_MAX = 10_000;

/** The lag of every group in every topic that it reads, on the leader; lite topics count to their parent. */
export function* consumerLag(
  tables: Tables,
  queueIndex: Pick<QueueIndex, 'minOffset'>,
): Iterable<ConsumerLag> {
  let rows = 0;
  for (const group of tables.groups.keys()) {
    const byTopic = new Map<string, number>();
    for (const { topic, lag } of groupProgress(tables, queueIndex, group))
      byTopic.set(topic, (byTopic.get(topic) ?? 0) + lag);
    for (const [topic, messages] of byTopic) {
      if (++rows > LAG_ROWS_MAX) return;
      yield { group, topic, messages };
    }
  }
}
