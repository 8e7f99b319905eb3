import { type QueueIndex, type QueueSlice } from '@raftmq/broker-store';
import { javaStringHashCode } from '@raftmq/protocol';
import { type LiteTable } from './lite-table.js';
import { isLiteQueueId } from './lite-queue-ids.js';
import { type LiteTopicRow } from './lite-rows.js';

/** The part of the queue index that delivery needs. */
export type QueueReader = Pick<QueueIndex, 'read' | 'maxOffset'>;

/** Entries of the parent's queue looked at in one go, and in one call. */
const CHUNK = 1_024;
const SCAN_MAX = 65_536;

const nothing = {
  count: 0,
  positions: new Float64Array(0),
  sizesBytes: new Int32Array(0),
  tagHashes: new Int32Array(0),
} as const;

/**
 * Queues as delivery sees them: those of ordinary topics as they are, and each lite topic as a queue of its own whose
 * offsets are those of the parent's queue, with gaps where other lite topics' messages lie. On topics of type LITE the
 * index holds the hash of the lite topic in place of the tag's; a slice may hold a message of another lite topic with an
 * equal hash, which the reader of the record has to refuse.
 */
export class DeliveryQueues implements QueueReader {
  readonly #index: QueueReader;
  readonly #lite: LiteTable;

  constructor(index: QueueReader, lite: LiteTable) {
    this.#index = index;
    this.#lite = lite;
  }

  maxOffset(topic: string, queueId: number): number {
    if (!isLiteQueueId(queueId)) return this.#index.maxOffset(topic, queueId);
    return this.#lite.byId(topic, queueId)?.endOffset ?? 0;
  }

  /** As {@link QueueIndex.read}; of a lite topic one message at most, the next one at or behind `fromOffset`. */
  read(topic: string, queueId: number, fromOffset: number, countMax: number): QueueSlice {
    if (!isLiteQueueId(queueId)) return this.#index.read(topic, queueId, fromOffset, countMax);
    const lite = this.#lite.byId(topic, queueId);
    if (lite === undefined) return { fromOffset, ...nothing };
    const next = lite.nextFrom(fromOffset);
    if (next.offset < 0) return { fromOffset, ...nothing };
    return this.#scan(lite, next.offset);
  }

  #scan(lite: LiteTopicRow, fromOffset: number): QueueSlice {
    const hash = javaStringHashCode(lite.name);
    let at = fromOffset;
    for (let looked = 0; looked < SCAN_MAX && at < lite.endOffset;) {
      const chunk = looked === 0 ? 1 : CHUNK;
      const slice = this.#index.read(lite.topic, lite.queueId, at, chunk);
      if (slice.count === 0) {
        // Retention may have dropped what lay here.
        return { ...nothing, fromOffset: Math.min(Math.max(at, slice.fromOffset), lite.endOffset) };
      }
      for (let i = 0; i < slice.count; i++) {
        if (slice.tagHashes[i] === hash) return one(slice, i);
      }
      looked += slice.count;
      at = slice.fromOffset + slice.count;
    }
    return { ...nothing, fromOffset: Math.min(at, lite.endOffset) };
  }
}

function one(slice: QueueSlice, i: number): QueueSlice {
  return {
    fromOffset: slice.fromOffset + i,
    count: 1,
    positions: slice.positions.subarray(i, i + 1),
    sizesBytes: slice.sizesBytes.subarray(i, i + 1),
    tagHashes: slice.tagHashes.subarray(i, i + 1),
  };
}
