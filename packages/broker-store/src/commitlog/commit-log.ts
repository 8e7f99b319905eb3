import { assert, type Clock, type Disk, type Logger, type MqError } from '@raftmq/base';
import { type Entry } from '@raftmq/raft';
import { type CommitLogReader, type LogByPosition } from '../ports.js';
import { ColdReader } from './cold-reader.js';
import { readRun, recordOf, storeTimestampOnDisk } from './disk-reads.js';
import { FrameCache } from './frame-cache.js';
import { LogWriter, type LogWriterCounters } from './log-writer.js';
import { BlockCache, PositionIndex } from './position-index.js';
import { recoverLog } from './recovery.js';
import { RetentionGuard, type RetentionReason, type RetentionRequest } from './retention.js';
import { Segment } from './segment.js';
import { segmentFileName } from './segment-head.js';
import { SegmentList } from './segment-list.js';
import { type CommitLogConfig } from './settings.js';
import { sidecarPath } from './sidecar.js';
import { type TermRanges } from './term-ranges.js';

/** Blocks of finished segments' indexes in memory: 4 MiB. */
const INDEX_BLOCKS_MAX = 256;
export interface CommitLogOptions {
  readonly disk: Disk;
  /** Directory of the segment files: `<data>/commitlog`. Created when missing. */
  readonly directory: string;
  readonly config: CommitLogConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  /** This replica has had a log before: an empty directory is refused. Default false. */
  readonly mustExist?: boolean;
  /** Called once, when a write or sync failed, also in the background: the process must stop. */
  readonly onFailure?: (error: MqError) => void;
}

/** What the log takes on disk, and how full the disk is. */
export interface CommitLogUsage {
  readonly logBytes: number;
  readonly segmentCount: number;
  readonly diskUsedBytes: number;
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
}

/**
 * The Raft log of a broker group and the place where its messages lie: segment files of whole entries, positions
 * without gaps.
 *
 *   append --> memory (readers see it) --> LogWriter --> segment file
 *   read   <-- recent frames in memory, else the segment file, sums checked
 *
 * One instance owns its directory. After a failed write or sync every `append` rejects with DISK_FAILED, reads still
 * work, and the process has to stop.
 */
export class CommitLog implements CommitLogReader, LogByPosition {
  readonly #options: CommitLogOptions;
  readonly #blocks: BlockCache;
  readonly #segments: SegmentList;
  readonly #terms: TermRanges;
  readonly #hot: FrameCache;
  readonly #cold: ColdReader;
  readonly #writer: LogWriter;
  readonly #guard: RetentionGuard;
  #writtenThroughIndex: number;
  #epoch = 0;
  #compaction: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;

  /**
   * Opens the log, cutting off a torn tail; begins a new one in an empty directory.
   * @throws MqError LOG_CORRUPTED naming file, byte and index; VERSION_UNSUPPORTED; errors of the disk
   */
  static async open(options: CommitLogOptions): Promise<CommitLog> {
    const blocks = new BlockCache(INDEX_BLOCKS_MAX);
    const { segments, terms } = await recoverLog({
      ...options,
      blocks,
      strict: options.config.flushDiskType === 'SYNC_FLUSH',
      mustExist: options.mustExist ?? false,
    });
    return new CommitLog(options, blocks, segments, terms);
  }

  private constructor(
    options: CommitLogOptions,
    blocks: BlockCache,
    segments: Segment[],
    terms: TermRanges,
  ) {
    const { config, clock } = options;
    this.#options = options;
    this.#blocks = blocks;
    this.#segments = new SegmentList(segments);
    this.#terms = terms;
    this.#hot = new FrameCache(config.cacheBytes, this.lastIndex + 1);
    this.#cold = new ColdReader(this.#segments, config.cacheBytes / 4);
    this.#writtenThroughIndex = this.lastIndex;
    this.#guard = new RetentionGuard(
      options.logger,
      this.lastStoreTimestampMs,
      clock.wallMs(),
      clock.monotonicMs(),
    );
    this.#writer = new LogWriter({
      ...options,
      terms,
      active: this.#segments.newest,
      written: (epoch, index) => {
        if (epoch === this.#epoch) this.#writtenThroughIndex = index;
        this.#hot.evict(this.#writtenThroughIndex);
      },
      failed: (error) => options.onFailure?.(error),
    });
  }

  get firstIndex(): number {
    return this.#segments.oldest.firstIndex;
  }

  get lastIndex(): number {
    return this.#segments.newest.lastIndex;
  }

  get firstPosition(): number {
    return this.#segments.oldest.start;
  }

  get endPosition(): number {
    return this.#segments.newest.end;
  }

  get lastStoreTimestampMs(): number {
    return this.#segments.newest.lastStoreTimestampMs;
  }

  /** Every byte of the log below this position is durable. */
  get durablePosition(): number {
    return this.#writer.durableEnd;
  }

  /** Why the log no longer takes appends, null while it does. */
  get failure(): MqError | null {
    return this.#writer.failure;
  }

  /** Plain counters for metrics. */
  get counters(): Readonly<LogWriterCounters> {
    return this.#writer.counters;
  }

  termAt(index: number): number {
    assert(
      index >= this.firstIndex - 1 && index <= this.lastIndex,
      'the term of the index is known',
    );
    return this.#terms.termOfRange(this.#terms.rangeAt(index));
  }

  firstIndexOfTermAt(index: number): number {
    assert(index >= this.firstIndex && index <= this.lastIndex, 'the index is in the log');
    return Math.max(this.firstIndex, this.#terms.firstIndexAt(this.#terms.rangeAt(index)));
  }

  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[] {
    assert(
      fromIndex >= this.firstIndex && throughIndex <= this.lastIndex,
      'the range is in the log',
    );
    assert(fromIndex <= throughIndex, 'the range is not empty');
    const entries: Entry[] = [];
    let leftBytes = bytesMax;
    let index = fromIndex;
    while (index < this.#hot.firstIndex && index <= throughIndex) {
      const through = Math.min(throughIndex, this.#hot.firstIndex - 1);
      const segment = this.#segments.ofIndex(index);
      const readBytes = readRun(segment, index, through, leftBytes, entries);
      if (readBytes === 0) return entries;
      leftBytes -= readBytes;
      index = entries[entries.length - 1]!.index + 1;
    }
    for (; index <= throughIndex; index++) {
      const entry = this.#hot.get(index)!;
      if (entry.frame.length > leftBytes && entries.length > 0) break;
      leftBytes -= entry.frame.length;
      entries.push(entry);
    }
    return entries;
  }

  append(entries: readonly Entry[]): Promise<void> {
    assert(this.#closing === null, 'a closed log takes no entries');
    if (this.#writer.failure !== null) return Promise.reject(this.#writer.failure);
    this.#checkAppend(entries);
    if (entries[0]!.index <= this.lastIndex) this.#cutFrom(entries[0]!.index);
    for (let i = 0; i < entries.length; i++) this.#hot.push(entries[i]!);
    return new Promise((resolve, reject) => this.#enqueue(entries, resolve, reject));
  }

  makeDurable(): Promise<void> {
    assert(this.#closing === null, 'a closed log is durable already');
    if (this.#writer.failure !== null) return Promise.reject(this.#writer.failure);
    return new Promise((resolve, reject) =>
      this.#writer.enqueue({ kind: 'sync', resolve, reject }),
    );
  }

  cachedRecord(position: number, sizeBytes: number): Buffer | null {
    if (position < this.firstPosition) return null;
    const entry = this.#hot.holding(position) ?? this.#cold.holding(position);
    return entry === undefined ? null : recordOf(entry, position, sizeBytes);
  }

  async readRecord(position: number, sizeBytes: number): Promise<Buffer | null> {
    const cached = this.cachedRecord(position, sizeBytes);
    if (cached !== null) return cached;
    if (position < this.firstPosition || position + sizeBytes > this.endPosition) return null;
    for (;;) {
      const epoch = this.#epoch;
      const entry = await this.#cold.load(position);
      if (entry !== null) return recordOf(entry, position, sizeBytes);
      if (epoch === this.#epoch || position + sizeBytes > this.endPosition) return null;
      const hot = this.cachedRecord(position, sizeBytes);
      if (hot !== null) return hot;
    }
  }

  indexAt(position: number): number {
    assert(position >= this.firstPosition && position < this.endPosition, 'the byte is in the log');
    const segment = this.#segments.ofPosition(position);
    return segment.firstIndex + segment.positions.findAtOrBefore(position - segment.start);
  }

  async entryAt(position: number): Promise<Entry | null> {
    for (;;) {
      if (position < this.firstPosition || position >= this.endPosition) return null;
      const cached = this.#hot.holding(position) ?? this.#cold.holding(position);
      if (cached !== undefined) return cached;
      const epoch = this.#epoch;
      const entry = await this.#cold.load(position);
      // Deleted, or cut off and perhaps written anew, while it was read.
      if (entry !== null || epoch === this.#epoch) return entry;
    }
  }

  compactThrough(index: number): Promise<void> {
    const dropped: Segment[] = [];
    while (this.#oldestIsFinished() && this.#segments.oldest.lastIndex <= index) {
      dropped.push(this.#forgetOldest());
    }
    return this.#removeFiles(dropped);
  }

  /**
   * Deletes the oldest segment file when it is older than `maxAgeMs`, or when all take more than `maxTotalBytes`; at
   * most one per call, never the one that is written to, never entries from `keepFromIndex` on.
   * @returns why a segment was deleted; null when nothing was to do, or a clock cannot be trusted
   */
  async retain(request: RetentionRequest): Promise<RetentionReason | null> {
    if (!this.#oldestIsFinished()) return null;
    const oldest = this.#segments.oldest;
    const reason = this.#guard.reasonToDelete(
      oldest,
      this.endPosition - this.firstPosition,
      request,
    );
    if (reason === null) return null;
    const { logger } = this.#options;
    logger.info(
      { file: oldest.path, throughIndex: oldest.lastIndex, reason },
      'old commit log segment deleted',
    );
    await this.#removeFiles([this.#forgetOldest()]);
    return reason;
  }

  /** Bytes and files of the log, and how full its disk is. */
  async usage(): Promise<CommitLogUsage> {
    const disk = await this.#options.disk.usage(this.#options.directory);
    return {
      logBytes: this.endPosition - this.firstPosition,
      segmentCount: this.#segments.count,
      diskUsedBytes: disk.usedBytes,
      diskTotalBytes: disk.totalBytes,
      diskFreeBytes: disk.freeBytes,
    };
  }

  /** Waits for what was appended, makes it durable, and closes the files. Calling it again gives the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#writer.close();
    await this.#compaction.catch(() => undefined); // Reported to whoever asked for it.
    for (let i = 0; i < this.#segments.count; i++) {
      const segment = this.#segments.at(i)!;
      await segment.sidecarWork;
      await segment.retire();
    }
  }

  #checkAppend(entries: readonly Entry[]): void {
    assert(entries.length > 0, 'an append has entries');
    const first = entries[0]!;
    assert(first.index >= this.firstIndex, 'an append does not begin before the log');
    assert(first.index <= this.lastIndex + 1, 'an append leaves no gap');
    const isNext = first.index === this.lastIndex + 1;
    let position = isNext
      ? this.endPosition
      : this.#segments.ofIndex(first.index).positionOf(first.index);
    let term = this.termAt(first.index - 1);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      assert(entry.index === first.index + i, 'indexes ascend by one');
      assert(entry.position === position, 'entries lie back to back');
      assert(entry.term >= term, 'terms never go down');
      position += entry.frame.length;
      term = entry.term;
    }
  }

  /** Splits the entries at segment ends and hands them to the writer; the last part settles the promise. */
  #enqueue(entries: readonly Entry[], resolve: () => void, reject: (error: MqError) => void): void {
    const { segmentSizeBytes } = this.#options.config;
    let from = 0;
    let segment = this.#segments.newest;
    for (let i = 0; i < entries.length; i++) {
      const { position, frame, storeTimestampMs, index, term } = entries[i]!;
      if (segment.sizeBytes > 0 && segment.sizeBytes + frame.length > segmentSizeBytes) {
        if (i > from) this.#enqueuePart(segment, entries, from, i, null, null);
        from = i;
        segment = this.#addSegment(position);
      }
      segment.append(position, frame.length, storeTimestampMs);
      this.#terms.append(index, term);
    }
    this.#enqueuePart(segment, entries, from, entries.length, resolve, reject);
  }

  #enqueuePart(
    segment: Segment,
    entries: readonly Entry[],
    from: number,
    end: number,
    resolve: (() => void) | null,
    reject: ((error: MqError) => void) | null,
  ): void {
    const { position } = entries[from]!;
    const last = entries[end - 1]!;
    const sizeBytes = last.position + last.frame.length - position;
    const epoch = this.#epoch;
    this.#writer.enqueue({
      kind: 'write',
      segment,
      entries,
      from,
      end,
      position,
      sizeBytes,
      epoch,
      resolve,
      reject,
    });
  }

  #addSegment(start: number): Segment {
    const origin = {
      start,
      firstIndex: this.lastIndex + 1,
      prevTerm: this.termAt(this.lastIndex),
      prevStoreTimestampMs: this.lastStoreTimestampMs,
    };
    const path = `${this.#options.directory}/${segmentFileName(start)}`;
    const segment = new Segment(path, origin, new PositionIndex(this.#blocks));
    this.#segments.push(segment);
    return segment;
  }

  /** Forgets entries from `index` on, and asks the writer to do the same on disk. */
  #cutFrom(index: number): void {
    const keep = this.#segments.ofIndex(index);
    const position = keep.positionOf(index);
    const lastStoreTimestampMs =
      index === keep.firstIndex ? keep.prevStoreTimestampMs : this.#storeTimestampAt(index - 1);
    const dropped = this.#segments.cutBehind(keep);
    keep.positions.truncate(index - keep.firstIndex);
    keep.end = position;
    keep.lastStoreTimestampMs = lastStoreTimestampMs;
    this.#terms.truncateAfter(index - 1);
    this.#hot.truncateAfter(index - 1);
    this.#cold.clear();
    this.#epoch++;
    this.#writtenThroughIndex = Math.min(this.#writtenThroughIndex, index - 1);
    this.#writer.enqueue({ kind: 'cut', keep, position, dropped });
  }

  #storeTimestampAt(index: number): number {
    const cached = this.#hot.get(index);
    if (cached !== undefined) return cached.storeTimestampMs;
    return storeTimestampOnDisk(this.#segments.ofIndex(index), index);
  }

  /** Whether the writer has gone on to a later segment than the oldest. */
  #oldestIsFinished(): boolean {
    const next = this.#segments.at(1);
    return next !== undefined && next.firstIndex <= this.#writtenThroughIndex;
  }

  #forgetOldest(): Segment {
    const oldest = this.#segments.shift();
    this.#terms.dropBefore(oldest.lastIndex);
    return oldest;
  }

  /** Removes files, oldest first, one directory sync each: what a crash leaves has no gap. */
  #removeFiles(segments: readonly Segment[]): Promise<void> {
    if (segments.length === 0) return this.#compaction;
    const { disk, directory } = this.#options;
    const before = this.#compaction.catch(() => undefined);
    this.#compaction = before.then(async () => {
      for (const segment of segments) {
        await segment.sidecarWork;
        await segment.retire();
        await disk.unlink(segment.path);
        await disk.syncDirectory(directory);
        if (await disk.exists(sidecarPath(segment.path)))
          await disk.unlink(sidecarPath(segment.path));
      }
    });
    return this.#compaction;
  }
}
