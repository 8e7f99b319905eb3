import { type CommitLogReader, type QueueIndex } from '@raftmq/broker-store';
import { storedStoreTimestampMs } from '@raftmq/protocol';

/** What {@link offsetByTimestamp} reads: the queue index, and store timestamps out of the records it points to. */
export interface OffsetByTimeSource {
  readonly queueIndex: Pick<QueueIndex, 'minOffset' | 'maxOffset' | 'read'>;
  readonly log: Pick<CommitLogReader, 'cachedRecord' | 'readRecord'>;
}

/**
 * Offset of the first message of a queue that was stored at or after `timestampMs`; the queue's end when all were
 * stored before it, or there are none. So a consumer set to it gets everything from that time on, and the messages of
 * a range of time lie from the offset of its first millisecond to (exclusive) that of the millisecond behind its last.
 *
 * Store timestamps never go back in the log, hence not in a queue: a binary search, which reads about twenty records
 * of a queue of a million. Messages that retention takes away meanwhile count as stored before.
 */
export async function offsetByTimestamp(
  { queueIndex, log }: OffsetByTimeSource,
  topic: string,
  queueId: number,
  timestampMs: number,
): Promise<number> {
  let low = queueIndex.minOffset(topic, queueId);
  let high = queueIndex.maxOffset(topic, queueId);
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const slice = queueIndex.read(topic, queueId, middle, 1);
    // The queue shrank while a record was read: it begins later now, or went away with its topic.
    if (slice.count === 0) return queueIndex.maxOffset(topic, queueId);
    if (slice.fromOffset > middle) {
      low = Math.min(slice.fromOffset, high);
      continue;
    }
    const position = slice.positions[0]!;
    const sizeBytes = slice.sizesBytes[0]!;
    const record =
      log.cachedRecord(position, sizeBytes) ?? (await log.readRecord(position, sizeBytes));
    if (record === null || storedStoreTimestampMs(record) < timestampMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
