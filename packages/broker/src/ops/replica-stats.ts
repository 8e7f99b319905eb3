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
 * How far a consumer group is, in every queue that it has ever read; none for an unknown group. Of lite topics only
 * those in which something is in flight, or just was.
 */
export function groupProgress(tables: Tables, group: string): GroupProgress[] {
  const progress: GroupProgress[] = [];
  for (const [topic, rows] of tables.groups.get(group)?.deliveries.topics() ?? []) {
    const config = tables.topics.get(topic);
    for (const row of rows) {
      progress.push({
        topic,
        queueId: row.queueId,
        committedOffset: row.state.committedOffset,
        maxOffset: config === undefined ? 0 : tables.endOffset(config, row.queueId),
        inFlight: row.state.openCount,
      });
    }
  }
  return progress;
}
