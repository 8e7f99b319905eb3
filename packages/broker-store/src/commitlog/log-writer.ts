import {
  assert,
  errorText,
  MqError,
  RingQueue,
  type CancelTimer,
  type Clock,
  type Disk,
  type Logger,
} from '@raftmq/base';
import {
  pushFrames,
  type CutOperation,
  type Operation,
  type SyncOperation,
  type WriteOperation,
} from './log-operations.js';
import { storeSidecar } from './sealed-index.js';
import { createSegmentFile, writeMark } from './segment-file.js';
import { type Segment } from './segment.js';
import { type CommitLogConfig } from './settings.js';
import { sidecarPath } from './sidecar.js';
import { type TermRanges } from './term-ranges.js';

/** At most this much goes into one write and one fdatasync, beyond the first operation. */
const BATCH_SIZE_BYTES_MAX = 16 * 1024 * 1024;

/** What the writer needs from the log. */
export interface LogWriterOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly config: CommitLogConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly terms: TermRanges;
  /** The segment that recovery left open: durable to its end. */
  readonly active: Segment;
  /** Entries through `index` are in the page cache, or on disk. */
  readonly written: (epoch: number, index: number) => void;
  readonly failed: (error: MqError) => void;
}

/** Plain counters; a probe copies them when metrics are asked for. */
export interface LogWriterCounters {
  appendedBytes: number;
  batches: number;
  syncs: number;
  /** Sum of the time that fdatasync took. */
  syncMs: number;
  pendingBytes: number;
}

/**
 * The only place that changes segment files. Operations run one after the other, in the order they were handed over:
 * appends that arrive while the disk is busy are gathered into one write and one fdatasync.
 *
 *   SYNC_FLUSH   mark + entries -> fdatasync -> resolve        (always one batch on its way)
 *   ASYNC_FLUSH  entries -> resolve, and beside it, every flushIntervalMs or flushBytes: mark -> fdatasync
 *   roll         old durable -> create, head, fdatasync, directory sync -> mark old as followed, fdatasync -> entries
 *   cut          newest segment first: mark, fdatasync, unlink, directory sync; then truncate -> fdatasync
 *
 * After the first failed write or sync no file is touched again (R25): all operations, now and later, are rejected.
 */
export class LogWriter {
  readonly counters: LogWriterCounters = {
    appendedBytes: 0,
    batches: 0,
    syncs: 0,
    syncMs: 0,
    pendingBytes: 0,
  };
  readonly #options: LogWriterOptions;
  readonly #strict: boolean;
  readonly #operations = new RingQueue<Operation>();
  #active: Segment;
  /** Position up to which the active segment is written, and up to which it is durable. */
  #writtenEnd: number;
  #durableEnd: number;
  /** Cuts that are not done yet begin here; Infinity without one. */
  #cutFrom = Infinity;
  #busy = false;
  #run: Promise<void> = Promise.resolve();
  /** A roll, a cut or a sync is on its way: no flush beside it. */
  #exclusive = false;
  #background: Promise<void> | null = null;
  #cancelTimer: CancelTimer | null = null;
  #failure: MqError | null = null;
  #closed = false;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#strict = options.config.flushDiskType === 'SYNC_FLUSH';
    this.#active = options.active;
    this.#writtenEnd = options.active.end;
    this.#durableEnd = options.active.end;
  }

  get failure(): MqError | null {
    return this.#failure;
  }

  /** Everything below this position is durable, also of what replaces a tail whose cut is still under way. */
  get durableEnd(): number {
    return Math.min(this.#durableEnd, this.#cutFrom);
  }

  enqueue(operation: WriteOperation | CutOperation | SyncOperation): void {
    assert(this.#failure === null && !this.#closed, 'a failed or closed log takes no operations');
    if (operation.kind === 'write') this.counters.pendingBytes += operation.sizeBytes;
    else if (operation.kind === 'cut') this.#cutFrom = Math.min(this.#cutFrom, operation.position);
    this.#operations.push(operation);
    this.#start();
  }

  /** Finishes what was handed over, makes it durable, marks it, and stops. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    while (this.#busy || this.#background !== null) {
      await this.#run;
      await this.#background;
    }
    if (this.#failure !== null || this.#active.mark.durableEnd === this.#writtenEnd) return;
    try {
      await this.#makeDurable();
      await this.#markDurable();
    } catch (error) {
      this.#fail(error, 'closing');
    }
  }

  #start(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.#run = this.#work();
  }

  async #work(): Promise<void> {
    try {
      for (
        let next = this.#operations.shift();
        next !== undefined;
        next = this.#operations.shift()
      ) {
        if (next.kind === 'write') await this.#write(next);
        else if (next.kind === 'cut') await this.#exclusively(() => this.#cut(next));
        else if (next.kind === 'sync') await this.#syncAll(next);
        else if (this.#durableEnd === this.#writtenEnd) await this.#markDurable();
      }
      this.#armTimer();
    } catch (error) {
      this.#fail(error, 'writing to');
    } finally {
      this.#busy = false;
    }
  }

  async #write(first: WriteOperation): Promise<void> {
    const batch: WriteOperation[] = [first];
    let sizeBytes = first.sizeBytes;
    try {
      const { segment } = first;
      if (segment !== this.#active) await this.#exclusively(() => this.#roll(first));
      const frames: Buffer[] = [];
      pushFrames(frames, first);
      for (
        let next = this.#operations.peek();
        next?.kind === 'write';
        next = this.#operations.peek()
      ) {
        if (next.segment !== segment || sizeBytes + next.sizeBytes > BATCH_SIZE_BYTES_MAX) break;
        batch.push(next);
        pushFrames(frames, next);
        sizeBytes += next.sizeBytes;
        this.#operations.shift();
      }
      assert(first.position === this.#writtenEnd, 'a batch continues where the one before ended');
      await this.#put(segment, frames, first.position, sizeBytes);
    } catch (error) {
      this.#fail(error, 'writing to', batch);
      return;
    }
    this.counters.batches++;
    this.counters.appendedBytes += sizeBytes;
    this.counters.pendingBytes -= sizeBytes;
    const last = batch[batch.length - 1]!;
    this.#options.written(last.epoch, last.entries[last.end - 1]!.index);
    this.#armTimer();
    for (const operation of batch) operation.resolve?.();
    if (!this.#strict && this.#writtenEnd - this.#durableEnd >= this.#options.config.flushBytes) {
      this.#flushInBackground();
    }
  }

  async #put(
    segment: Segment,
    frames: readonly Buffer[],
    position: number,
    sizeBytes: number,
  ): Promise<void> {
    const { file } = segment;
    assert(file !== null, 'the active segment has an open file');
    const end = position + sizeBytes;
    const entriesWritten = file.write(frames, segment.offsetOf(position));
    if (!this.#strict) {
      await entriesWritten;
      this.#writtenEnd = end;
      return;
    }
    const markWritten = writeMark(segment, {
      durableEnd: this.#durableEnd,
      batchEnd: end,
      strict: true,
      followed: false,
    });
    await Promise.all([entriesWritten, markWritten]);
    this.#writtenEnd = end;
    await this.#sync(segment);
    this.#durableEnd = end;
  }

  async #sync(segment: Segment): Promise<void> {
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    await segment.file!.sync();
    this.counters.syncs++;
    this.counters.syncMs += clock.monotonicMs() - startedMs;
  }

  /** Says on disk that everything written is durable, which a batch's own mark cannot. */
  async #markDurable(): Promise<void> {
    const end = this.#durableEnd;
    await writeMark(this.#active, {
      durableEnd: end,
      batchEnd: end,
      strict: this.#strict,
      followed: false,
    });
    await this.#sync(this.#active);
  }

  async #makeDurable(): Promise<void> {
    if (this.#durableEnd === this.#writtenEnd) return;
    const end = this.#writtenEnd;
    await this.#sync(this.#active);
    this.#durableEnd = end;
  }

  async #syncAll({ resolve, reject }: SyncOperation): Promise<void> {
    try {
      await this.#exclusively(() => this.#makeDurable());
    } catch (error) {
      this.#fail(error, 'syncing');
      reject(this.#failure!);
      return;
    }
    resolve();
  }

  /** Runs a roll, a cut or a sync after the flush in the background, and keeps the next one away meanwhile. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    this.#exclusive = true;
    try {
      while (this.#background !== null) await this.#background;
      if (this.#failure !== null) throw this.#failure;
      await work();
    } finally {
      this.#exclusive = false;
    }
  }

  async #roll(first: WriteOperation): Promise<void> {
    const old = this.#active;
    const { disk, directory, terms, logger } = this.#options;
    await this.#makeDurable();
    assert(first.position === this.#writtenEnd, 'a segment begins where the one before ended');
    await createSegmentFile(disk, directory, first.segment, this.#strict);
    const end = this.#durableEnd;
    await writeMark(old, { durableEnd: end, batchEnd: end, strict: this.#strict, followed: true });
    await this.#sync(old);
    this.#active = first.segment;
    logger.info(
      { file: first.segment.path, index: first.segment.firstIndex },
      'new commit log segment',
    );
    // With a cut on its way the readers' view may be shorter than the file. Start-up makes a missing index again.
    if (this.#cutFrom === Infinity)
      old.sidecarWork = storeSidecar(disk, directory, old, terms, logger);
  }

  /** Where the first of the cuts that wait begins; Infinity without one. */
  #waitingCut(): number {
    let position = Infinity;
    for (let i = 0; i < this.#operations.size; i++) {
      const operation = this.#operations.at(i);
      if (operation?.kind === 'cut') position = Math.min(position, operation.position);
    }
    return position;
  }

  async #cut({ keep, position, dropped }: CutOperation): Promise<void> {
    const { disk, directory, logger } = this.#options;
    for (let i = dropped.length - 1; i >= 0; i--) {
      const before = i === 0 ? keep : dropped[i - 1]!;
      const end = i === 0 ? position : before.mark.durableEnd;
      await writeMark(before, {
        durableEnd: end,
        batchEnd: end,
        strict: this.#strict,
        followed: false,
      });
      await this.#sync(before);
      await this.#removeFiles(dropped[i]!);
    }
    await keep.sidecarWork;
    if (await disk.exists(sidecarPath(keep.path))) {
      await disk.unlink(sidecarPath(keep.path));
      await disk.syncDirectory(directory);
    }
    if (dropped.length === 0) {
      const end = Math.min(position, this.#durableEnd);
      await writeMark(keep, {
        durableEnd: end,
        batchEnd: end,
        strict: this.#strict,
        followed: false,
      });
      await this.#sync(keep);
    }
    await keep.file!.truncate(keep.offsetOf(position));
    await this.#sync(keep);
    this.#active = keep;
    this.#writtenEnd = position;
    this.#durableEnd = position;
    this.#cutFrom = this.#waitingCut();
    logger.info(
      { file: keep.path, position, segmentsRemoved: dropped.length },
      'conflicting tail of the commit log cut off',
    );
  }

  async #removeFiles(segment: Segment): Promise<void> {
    const { disk, directory } = this.#options;
    await segment.sidecarWork;
    await segment.retire();
    if (await disk.exists(sidecarPath(segment.path))) await disk.unlink(sidecarPath(segment.path));
    await disk.unlink(segment.path);
    await disk.syncDirectory(directory);
  }

  /** After some idle time: flush what is not durable, or note on disk that everything is. */
  #armTimer(): void {
    if (this.#cancelTimer !== null || this.#closed || this.#failure !== null) return;
    if (this.#active.mark.durableEnd === this.#writtenEnd) return;
    const batchesBefore = this.counters.batches;
    this.#cancelTimer = this.#options.clock.setTimer(this.#options.config.flushIntervalMs, () => {
      this.#cancelTimer = null;
      if (this.#closed || this.#failure !== null) return;
      if (this.#durableEnd < this.#writtenEnd && !this.#strict) this.#flushInBackground();
      else if (this.#busy || this.counters.batches !== batchesBefore) this.#armTimer();
      else {
        this.#operations.push({ kind: 'mark' });
        this.#start();
      }
    });
  }

  #flushInBackground(): void {
    if (this.#background !== null || this.#exclusive) return;
    this.#background = this.#flush()
      .catch((error: unknown) => {
        this.#fail(error, 'syncing');
      })
      .finally(() => {
        this.#background = null;
        this.#armTimer();
      });
  }

  /** ASYNC_FLUSH: everything written before this call becomes durable. */
  async #flush(): Promise<void> {
    const segment = this.#active;
    const end = this.#writtenEnd;
    await writeMark(segment, {
      durableEnd: this.#durableEnd,
      batchEnd: end,
      strict: false,
      followed: false,
    });
    await this.#sync(segment);
    this.#durableEnd = end;
  }

  /** Remembers the first failure, and rejects `batch` and all that waits. */
  #fail(error: unknown, doing: string, batch: readonly WriteOperation[] = []): void {
    const first = this.#failure === null;
    const failure = this.#failure ?? this.#describe(error, doing);
    this.#failure = failure;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    for (const operation of batch) operation.reject?.(failure);
    for (let next = this.#operations.shift(); next !== undefined; next = this.#operations.shift()) {
      if (next.kind === 'write') next.reject?.(failure);
      else if (next.kind === 'sync') next.reject(failure);
    }
    if (!first) return;
    this.#options.logger.fatal(
      { file: this.#active.path, error: errorText(error) },
      'commit log failed',
    );
    this.#options.failed(failure);
  }

  #describe(error: unknown, doing: string): MqError {
    return new MqError(
      'DISK_FAILED',
      `${doing} the commit log at ${this.#active.path} failed: ${errorText(error)}. The process must stop; check the ` +
        'disk, then start it again: only what was not acknowledged may be missing.',
      { cause: error },
    );
  }
}
