import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { prepareStoredMessage, writeStoredMessage, type PublishMessage } from '@raftmq/protocol';
import { MemoryQueueIndex } from '../testing/single-node.js';
import { offsetByTimestamp } from './offset-by-time.js';

const message: PublishMessage = {
  messageId: 'id',
  body: Buffer.from('b'),
  tag: null,
  keys: [],
  userProperties: [],
  messageGroup: null,
  traceContext: null,
  bornTimestampMs: 1,
  bornHost: 'host',
  gzip: false,
};
const prepared = prepareStoredMessage(message, 'T');

/** A queue with messages stored at the given times; every second record comes from "disk". */
class StoredQueue {
  readonly queueIndex = new MemoryQueueIndex();
  readonly records: (Buffer | null)[];
  reads = 0;
  /** Called in front of each read from disk. */
  beforeRead = (): void => undefined;

  constructor(timesMs: readonly number[]) {
    this.records = timesMs.map((storeTimestampMs, queueOffset) => {
      const record = Buffer.alloc(prepared.sizeBytes);
      const position = queueOffset * prepared.sizeBytes;
      writeStoredMessage(record, 0, prepared, {
        queueId: 0,
        queueOffset,
        physicalOffset: position,
        storeTimestampMs,
      });
      this.queueIndex.append('T', 0, queueOffset, position, record.length, 0);
      return record;
    });
  }

  readonly log = {
    cachedRecord: (position: number): Buffer | null => {
      const at = position / prepared.sizeBytes;
      return at % 2 === 0 ? null : this.records[at]!;
    },
    readRecord: async (position: number): Promise<Buffer | null> => {
      this.reads++;
      await Promise.resolve();
      this.beforeRead();
      return this.records[position / prepared.sizeBytes]!;
    },
  };
}

describe('the offset of a time', () => {
  test('is that of the first message at or after it', async () => {
    const queue = new StoredQueue([100, 200, 200, 200, 300]);
    const at = (timestampMs: number) => offsetByTimestamp(queue, 'T', 0, timestampMs);
    expect(await at(0)).toBe(0);
    expect(await at(100)).toBe(0);
    expect(await at(101)).toBe(1);
    expect(await at(200)).toBe(1);
    expect(await at(201)).toBe(4);
    expect(await at(300)).toBe(4);
    expect(await at(301)).toBe(5);
    expect(await at(Number.MAX_SAFE_INTEGER)).toBe(5);
  });

  test('is the end of an empty or unknown queue', async () => {
    expect(await offsetByTimestamp(new StoredQueue([]), 'T', 0, 5)).toBe(0);
    expect(await offsetByTimestamp(new StoredQueue([1]), 'other', 3, 0)).toBe(0);
  });

  test('never lies below what retention left', async () => {
    const queue = new StoredQueue([100, 200, 300, 400]);
    queue.queueIndex.forgetBelow('T', 0, 2);
    expect(await offsetByTimestamp(queue, 'T', 0, 0)).toBe(2);
    expect(await offsetByTimestamp(queue, 'T', 0, 400)).toBe(3);
  });

  test('survives retention and deletion in the middle of the search', async () => {
    const shrinking = new StoredQueue([1, 2, 3, 4, 5, 6, 7, 8]);
    shrinking.beforeRead = () => {
      shrinking.records.fill(null, 0, 6);
      shrinking.queueIndex.forgetBelow('T', 0, 6);
    };
    expect(await offsetByTimestamp(shrinking, 'T', 0, 2)).toBe(6);
    const gone = new StoredQueue([1, 2, 3, 4, 5, 6, 7, 8]);
    gone.beforeRead = () => void gone.queueIndex.deleteTopic('T');
    expect(await offsetByTimestamp(gone, 'T', 0, 8)).toBe(0);
  });

  test('equals a naive search, with few reads', async () => {
    const random = createPrng(5);
    for (let round = 0; round < 50; round++) {
      const timesMs: number[] = [];
      let nowMs = 1_000;
      for (let left = random.integer(0, 300); left > 0; left--) {
        timesMs.push((nowMs += random.integer(0, 2)));
      }
      const queue = new StoredQueue(timesMs);
      const timestampMs = random.integer(995, nowMs + 15);
      const found = timesMs.findIndex((time) => time >= timestampMs);
      expect(await offsetByTimestamp(queue, 'T', 0, timestampMs)).toBe(
        found === -1 ? timesMs.length : found,
      );
      expect(queue.reads).toBeLessThanOrEqual(9);
    }
  });
});
