import { assert, errorText, type Clock, type Disk, type Logger } from '@raftmq/base';
import { type Entry, type LogStorage } from '@raftmq/raft';
import { type LogByPosition, type TermSink } from '../ports.js';
import { Gaps } from './gaps.js';
import { mergeCandidates, mergeRuns } from './merge.js';
import { PairBuffer } from './pair-buffer.js';
import { RunCache } from './run-cache.js';
import { RunDamaged, RunFile, type PairQuery } from './run-file.js';
import { RunWriter } from './run-writer.js';
import { TermCollector } from './term-collector.js';

export interface MessageIndexOptions {
  readonly disk: Disk;
  /** `<data>/index`. Created when missing. */
  readonly directory: string;
  readonly log: Pick<LogStorage, 'firstIndex' | 'lastIndex' | 'read'> & LogByPosition;
  /** The driver will apply the entries behind this one. */
  readonly appliedIndex: number;
  /** Gives the terms of a whole entry: for stretches of the log that are indexed again. */
  readonly collect: (entry: Entry, sink: TermSink) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: Partial<MessageIndexLimits>;
}

/** Sizes; tests take smaller ones. */
export interface MessageIndexLimits {
  /** A run is written when it has so many pairs (12 bytes each) … */
  readonly runPairs: number;
  /** … or spans so many bytes of log: what a crash leaves to be indexed again. */
  readonly runSpanBytes: number;
  /** Full runs that wait for the disk; one more is given up, and indexed again later. */
  readonly waitingRunsMax: number;
}

/** Plain counters for metrics. */
export interface MessageIndexCounters {
  pairs: number;
  runsWritten: number;
  runsMerged: number;
  runsDamaged: number;
  /** Bytes of log that were indexed again. */
  reindexedBytes: number;
  failures: number;
  lookups: number;
}

/** A full buffer; its stretch of log ends where the next one begins. */
interface WaitingRun {
  readonly buffer: PairBuffer;
  readonly end: number;
  sorted: boolean;
}

const REINDEX_READ_BYTES = 512 * 1024;
/** Indexing again takes at most one part in so many of the time. */
const REINDEX_SHARE = 5;
const RETRY_AFTER_MS = 30_000;

/**
 * The runs of a message index, and the work behind them: full buffers are sorted and written, small files become larger
 * ones, files that are no longer needed go away, and stretches of log without a file are indexed again.
 */
export class RunStore {
  readonly counters: MessageIndexCounters = {
    pairs: 0,
    runsWritten: 0,
    runsMerged: 0,
    runsDamaged: 0,
    reindexedBytes: 0,
    failures: 0,
    lookups: 0,
  };
  readonly gaps = new Gaps();
  readonly #options: MessageIndexOptions;
  readonly #limits: MessageIndexLimits;
  readonly #cache = new RunCache();
  /** Ascending, disjoint. */
  #runs: RunFile[];
  /** Ascending. */
  #waiting: WaitingRun[] = [];
  /** Files to be removed once nobody reads them. */
  #doomed: RunFile[] = [];
  #work: Promise<void> | null = null;
  #wake: () => void = () => undefined;
  #closing = false;

  constructor(options: MessageIndexOptions, limits: MessageIndexLimits, runs: RunFile[]) {
    this.#options = options;
    this.#limits = limits;
    this.#runs = runs;
  }

  get runCount(): number {
    return this.#runs.length;
  }

  /** Takes over a full buffer. */
  push(buffer: PairBuffer, end: number): void {
    this.counters.pairs += buffer.count;
    if (this.#waiting.length >= this.#limits.waitingRunsMax) this.gaps.add(buffer.from, end);
    else this.#waiting.push({ buffer, end, sorted: false });
    this.kick();
  }

  /**
   * Positions of a hash in the runs, in full buffers, and in `open`, the one that grows.
   * @throws RunDamaged after which {@link discard} and another try are due
   */
  async find(query: PairQuery, open: PairBuffer, countMax: number): Promise<number[]> {
    const found: number[] = [];
    const { high, low, fromPosition, endPosition, ascending } = query;
    // Taken in one go: a buffer that becomes a file meanwhile is still here, and not looked at twice.
    const buffers = [...this.#waiting.map(({ buffer }) => buffer), open];
    const runs = [...this.#runs];
    const inBuffers = (): void => {
      for (const buffer of ascending ? buffers : buffers.reverse()) {
        const left = countMax - found.length;
        if (left === 0) return;
        found.push(...buffer.find(high, low, fromPosition, endPosition, ascending, left));
      }
    };
    for (const run of runs) run.readers++;
    try {
      if (!ascending) inBuffers();
      for (const run of ascending ? runs : [...runs].reverse()) {
        if (found.length === countMax) break;
        if (run.end <= fromPosition || run.from >= endPosition) continue;
        await this.#cache.use(run, () => run.find(query, found, countMax));
      }
      if (ascending) inBuffers();
    } finally {
      for (const run of runs) run.readers--;
      if (this.#doomed.length > 0) this.kick();
    }
    return found;
  }

  /** Takes a damaged file out; its stretch is indexed again. */
  discard(run: RunFile, why: string): void {
    const at = this.#runs.indexOf(run);
    if (at < 0) return;
    this.counters.runsDamaged++;
    this.#options.logger.warn(
      { file: run.path, error: why },
      'a file of the message index is damaged; its part of the log is indexed again',
    );
    this.#runs.splice(at, 1);
    this.#doomed.push(run);
    this.gaps.add(Math.max(run.from, this.#options.log.firstPosition), run.end);
    this.kick();
  }

  /** Messages below are gone: files that reach no further go away. */
  dropBelow(position: number): void {
    this.gaps.dropBelow(position);
    const keep = this.#runs.findIndex((run) => run.end > position);
    const dropped = this.#runs.splice(0, keep === -1 ? this.#runs.length : keep);
    if (dropped.length === 0) return;
    this.#doomed.push(...dropped);
    this.kick();
  }

  /** Starts the background work, or lets it look again. */
  kick(): void {
    this.#wake();
    if (this.#work !== null || this.#closing) return;
    this.#work = this.#run().finally(() => {
      this.#work = null;
    });
  }

  /** Resolves when nothing is left to be done. */
  async idle(): Promise<void> {
    while (this.#work !== null) await this.#work;
  }

  /** Ends the background work; what it had begun and is not needed is given up. */
  async stop(): Promise<void> {
    this.#closing = true;
    this.#wake();
    await this.#work;
  }

  /** Behind {@link stop}: writes the buffers that wait, and closes the files. */
  async close(): Promise<void> {
    try {
      await this.#writeWaiting();
    } catch (error) {
      this.#failed(error);
    }
    await this.#cache.close();
  }

  async #run(): Promise<void> {
    // Not in the turn of the entry that is being applied.
    await new Promise((resolve) => setImmediate(resolve));
    while (!this.#closing) {
      try {
        if (!(await this.#step())) return;
      } catch (error) {
        if (error instanceof RunDamaged) this.discard(error.run, error.message);
        else {
          this.#failed(error);
          await this.#pause(RETRY_AFTER_MS);
        }
      }
    }
  }

  /** Does the most urgent piece of work; false when there is none. */
  async #step(): Promise<boolean> {
    if (this.#waiting.length > 0) {
      await this.#writeWaiting();
      return true;
    }
    const removable = this.#doomed.findIndex((run) => run.readers === 0);
    if (removable >= 0) {
      const [run] = this.#doomed.splice(removable, 1);
      await this.#cache.drop(run!);
      // A damaged file may have been made again meanwhile, under the same name.
      const replaced = this.#runs.some((other) => other.path === run!.path);
      if (!replaced && (await this.#options.disk.exists(run!.path)))
        await this.#options.disk.unlink(run!.path);
      return true;
    }
    const group = mergeCandidates(this.#runs);
    if (group.length > 0) {
      await this.#merge(group);
      return true;
    }
    this.gaps.dropBelow(this.#options.log.firstPosition);
    const gap = this.gaps.latest;
    if (gap === null) return false;
    await this.#reindex(gap.from, gap.end);
    return true;
  }

  async #writeWaiting(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!next.sorted) {
        next.buffer.sort();
        next.sorted = true;
      }
      let run: RunFile;
      try {
        run = await this.#write(next.buffer, next.end);
      } catch (error) {
        // Memory is not for what the disk does not take.
        this.#waiting.shift();
        this.gaps.add(next.buffer.from, next.end);
        throw error;
      }
      this.#waiting.shift();
      this.#insert(run);
    }
  }

  /** @param buffer sorted */
  async #write(buffer: PairBuffer, end: number): Promise<RunFile> {
    const { disk, directory } = this.#options;
    await disk.makeDirectory(directory);
    const writer = await RunWriter.open(disk, directory, buffer.from, end, buffer.count);
    try {
      for (let i = 0; i < buffer.count; i++) {
        if (writer.add(buffer.highAt(i), buffer.lowAt(i), buffer.relativeAt(i)))
          await writer.flush();
      }
      const path = await writer.finish(false);
      this.counters.runsWritten++;
      return await this.#opened(path);
    } catch (error) {
      await writer.abandon();
      throw error;
    }
  }

  async #merge(group: readonly RunFile[]): Promise<void> {
    const { disk, directory } = this.#options;
    for (const run of group) run.readers++;
    let path: string | null;
    try {
      const wanted = (): boolean => !this.#closing && this.#waiting.length === 0;
      path = await mergeRuns(disk, directory, group, this.#cache, wanted);
    } finally {
      for (const run of group) run.readers--;
    }
    if (path === null) return;
    const merged = await this.#opened(path);
    const at = this.#runs.indexOf(group[0]!);
    if (at < 0 || this.#runs[at + group.length - 1] !== group[group.length - 1]) {
      // Retention took the oldest of them meanwhile.
      this.#doomed.push(merged);
      return;
    }
    this.#runs.splice(at, group.length, merged);
    this.#doomed.push(...group);
    this.counters.runsMerged += group.length;
  }

  /** Indexes the log from `from` on, at most through `end`, as one run. */
  async #reindex(from: number, end: number): Promise<void> {
    const { log, collect, clock } = this.#options;
    const { runPairs, runSpanBytes } = this.#limits;
    const collector = new TermCollector(new PairBuffer(from));
    let at = from;
    while (at < end && at - from < runSpanBytes && collector.buffer.count < runPairs) {
      if (this.#closing) return;
      const startedMs = clock.monotonicMs();
      if (at < log.firstPosition) return; // Retention took it, and the gap with it.
      for (const entry of log.read(log.indexAt(at), log.lastIndex, REINDEX_READ_BYTES)) {
        if (entry.position >= end) break;
        collect(entry, collector);
        at = entry.position + entry.frame.length;
      }
      if (this.#waiting.length > 0) await this.#writeWaiting();
      const tookMs = clock.monotonicMs() - startedMs;
      await this.#pause(Math.max(1, tookMs * (REINDEX_SHARE - 1)));
    }
    collector.buffer.sort();
    const run = await this.#write(collector.buffer, at);
    this.counters.reindexedBytes += at - from;
    this.counters.pairs += collector.buffer.count;
    this.gaps.fill(from, at);
    if (run.end > log.firstPosition) this.#insert(run);
    else this.#doomed.push(run);
    if (this.gaps.sizeBytes === 0)
      this.#options.logger.info({}, 'the message index is complete again');
  }

  async #opened(path: string): Promise<RunFile> {
    const { disk, directory } = this.#options;
    const run = await RunFile.open(disk, directory, path.slice(directory.length + 1));
    assert(run !== null, 'a run that was just written can be read');
    return run;
  }

  #insert(run: RunFile): void {
    const behind = this.#runs.findIndex((other) => other.from > run.from);
    this.#runs.splice(behind === -1 ? this.#runs.length : behind, 0, run);
  }

  #failed(error: unknown): void {
    this.counters.failures++;
    this.#options.logger.warn(
      { error: errorText(error), retryAfterMs: RETRY_AFTER_MS },
      'the message index could not be written; queries by id and key miss recent messages until it can',
    );
  }

  /** Waits; less long when something happens meanwhile that cannot wait. */
  async #pause(delayMs: number): Promise<void> {
    const { clock } = this.#options;
    await new Promise<void>((resolve) => {
      const cancel = clock.setTimer(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = () => undefined;
  }
}
