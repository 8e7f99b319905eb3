import { type StoredView } from '@raftmq/protocol';
import { type Entry, type LogStorage } from '@raftmq/raft';

/** A key-value engine with ordered keys and atomic batches. RocksDB in production, memory in the simulator. */
export interface KvEngine {
  get(key: Buffer): Promise<Buffer | null>;
  /** All pairs whose key starts with `prefix`, ascending. */
  scan(prefix: Buffer): AsyncIterable<KvPair>;
  /** Pairs with from <= key < before, ascending; at most `countMax`, and after the first no more than fit `bytesMax`. */
  range(
    from: Buffer,
    before: Buffer,
    countMax: number,
    bytesMax?: number,
  ): Promise<readonly KvPair[]>;
  /** All of it or nothing, even across a crash; durable after the next `flush` or by itself some time later. */
  write(batch: KvBatch): Promise<void>;
  /** What was written before is durable when it resolves. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface KvPair {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface KvBatch {
  readonly puts: readonly KvPair[];
  readonly deletes: readonly Buffer[];
}

/** The CommitLog: the Raft log of a group, and the one place where messages lie. */
export interface CommitLogReader extends LogStorage {
  /** Position of the first byte still held. */
  readonly firstPosition: number;
  /** The record at `position` when memory has it (recently appended), else null. A view: do not write to it. */
  cachedRecord(position: number, sizeBytes: number): Buffer | null;
  /** The record at `position`, from memory or disk; null when it is no longer held. */
  readRecord(position: number, sizeBytes: number): Promise<Buffer | null>;
  /**
   * Resolves when everything appended before this call would survive a power cut, also with ASYNC_FLUSH.
   * @throws MqError DISK_FAILED as `append`
   */
  makeDurable(): Promise<void>;
}

/** Access to the log by position, for those who come from an index. */
export interface LogByPosition {
  readonly firstPosition: number;
  readonly endPosition: number;
  /** Index of the entry that holds the byte at `position`, which must be in the log. */
  indexAt(position: number): number;
  /** The entry that holds the byte at `position`, from memory or disk; null when it is not, or no longer, held. */
  entryAt(position: number): Promise<Entry | null>;
}

/** Takes what messages and commands can be found by. Positions never go down. */
export interface TermSink {
  /** Every id and key of a stored message whose record lies at `position`. The view is the caller's, for the next one. */
  message(message: StoredView, position: number): void;
  /** A command in the entry at `position` names the message with this id. */
  messageId(messageId: string, position: number): void;
  /** A command in the entry at `position` is about these offsets of a queue. */
  queueRange(
    topic: string,
    queueId: number,
    fromOffset: number,
    count: number,
    position: number,
  ): void;
}

/** Some entries of one queue, as parallel arrays; entry i has offset fromOffset + i. */
export interface QueueSlice {
  readonly fromOffset: number;
  readonly count: number;
  readonly positions: Float64Array;
  readonly sizesBytes: Int32Array;
  /** Java's String.hashCode of the tag, 0 without one. */
  readonly tagHashes: Int32Array;
}

/**
 * Which message lies where: per queue a dense array of (position, size, tag hash), in memory at the tail and in a file
 * of fixed entries behind. Derived from the log: never synced on its own, cut back and appended again at recovery.
 */
export interface QueueIndex {
  /** Smallest offset whose message the log still holds; 0 for an unknown queue. */
  minOffset(topic: string, queueId: number): number;
  /** Offset that the next message will get; 0 for an unknown queue. */
  maxOffset(topic: string, queueId: number): number;
  /**
   * `queueOffset` must equal maxOffset (asserted); lower ones, replayed after a restart, are ignored. An empty queue
   * may begin anywhere: what came before is no longer in the log.
   */
  append(
    topic: string,
    queueId: number,
    queueOffset: number,
    position: number,
    sizeBytes: number,
    tagHash: number,
  ): void;
  /** At most `countMax` entries from `fromOffset` on; fewer at the end of the queue. */
  read(topic: string, queueId: number, fromOffset: number, countMax: number): QueueSlice;
  /** Everything appended before this call is durable when it resolves. */
  flush(): Promise<void>;
  /** Forgets offsets from `endOffset` on: recovery cuts back to the checkpoint. */
  truncate(topic: string, queueId: number, endOffset: number): Promise<void>;
  /** Moves minOffset past messages below `firstPosition`. */
  dropBelow(firstPosition: number): void;
  deleteTopic(topic: string): Promise<void>;
  /** Topic and queue id of every queue there is. */
  queues(): Iterable<readonly [topic: string, queueId: number]>;
  close(): Promise<void>;
}

/** The state machine's tables at one applied index. */
export interface Checkpoint {
  readonly appliedIndex: number;
  /** Row by key; keys are `<table>/<name…>`. */
  readonly rows: ReadonlyMap<string, Buffer>;
}

/** Rows to be saved: what changed since the last time. A key is in one of the two. */
export interface RowChanges {
  readonly puts: ReadonlyMap<string, Buffer>;
  readonly deletes: ReadonlySet<string>;
}

/** A row that is not kept in memory. Keys are ASCII, so that their order is that of their bytes. */
export interface ColdRow {
  readonly key: string;
  readonly value: Buffer;
}

/**
 * Rows and the applied index, always changed together in one write batch (R19). Rows live in memory too and are loaded
 * at the start; cold rows lie on disk only and are asked for. After a crash in the middle of a save they may be ahead of
 * the applied index: applying the log from there must put and delete the same ones again, and no key is ever used twice.
 */
export interface StateStore {
  /** The last saved state without its cold rows; appliedIndex 0 and no rows when there is none. */
  load(): Promise<Checkpoint>;
  save(appliedIndex: number, rows: RowChanges, cold: RowChanges): Promise<void>;
  coldGet(key: string): Promise<Buffer | null>;
  /** Cold rows with from <= key < before, ascending; at most `countMax`, and no more than about `bytesMax` (at least one). */
  coldRange(
    from: string,
    before: string,
    countMax: number,
    bytesMax?: number,
  ): Promise<readonly ColdRow[]>;
  /** The last saved state survives a power cut once this resolves: call it before log entries behind it are dropped. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
