import { type StoredView } from '@raftmq/protocol';
import { type TermSink } from '../ports.js';
import { PairBuffer } from './pair-buffer.js';
import { RunDamaged, RunFile, type PairQuery } from './run-file.js';
import { parseRunFileName } from './run-layout.js';
import {
  RunStore,
  type MessageIndexCounters,
  type MessageIndexLimits,
  type MessageIndexOptions,
} from './run-store.js';
import { TermCollector, type Term } from './term-collector.js';

export interface FindRange {
  readonly fromPosition: number;
  readonly endPosition: number;
  /** Oldest first, else newest first. */
  readonly ascending: boolean;
  readonly countMax: number;
}

export interface Found {
  /** Entries or records that may be what was looked for: hashes were compared, not texts. In the order asked for. */
  readonly positions: readonly number[];
  /** Bytes of log in the range that are not indexed yet, after files were lost: hits in them are missing. */
  readonly missingBytes: number;
}

const defaults: MessageIndexLimits = {
  runPairs: 256 * 1024,
  runSpanBytes: 64 * 1024 * 1024,
  waitingRunsMax: 4,
};

/**
 * Where messages lie, by id and by key, and where commands about a range of a queue lie: pairs of a 64-bit hash and a
 * position. Derived from the log, and rebuilt from it wherever a file is missing or damaged.
 *
 *   0 .. | run | run | run | waiting | waiting | open ) applied
 *            files, sorted      full, in memory   grows while entries are applied
 *
 * A full buffer is sorted and written as one immutable file; sixteen small files in a row become one. Nothing here ever
 * holds up an entry that is applied: a disk that is too slow leaves a gap, which is filled in the background.
 */
export class MessageIndex implements TermSink {
  readonly #store: RunStore;
  readonly #collector: TermCollector;
  readonly #limits: MessageIndexLimits;
  /** Everything below is in a file, a buffer or a gap. */
  #end: number;

  /** Finds the files that fit the log; the stretches without one are indexed in the background. */
  static async open(options: MessageIndexOptions): Promise<MessageIndex> {
    const { disk, directory, log } = options;
    const appliedEnd = appliedEndOf(options);
    await disk.makeDirectory(directory);
    const runs: RunFile[] = [];
    const useless: string[] = [];
    const names = (await disk.list(directory)).filter((name) => isOurs(name));
    for (const name of names.sort(longestFirst)) {
      const run = await RunFile.open(disk, directory, name).catch(() => null);
      const coveredEnd = runs[runs.length - 1]?.end ?? 0;
      const fits =
        run !== null &&
        run.from >= coveredEnd &&
        run.from < appliedEnd &&
        run.end > log.firstPosition &&
        run.end <= log.endPosition;
      if (fits) runs.push(run);
      else useless.push(name);
    }
    for (const name of useless) await disk.unlink(`${directory}/${name}`);
    return new MessageIndex(options, runs, appliedEnd);
  }

  private constructor(options: MessageIndexOptions, runs: RunFile[], appliedEnd: number) {
    this.#limits = { ...defaults, ...options.limits };
    const store = new RunStore(options, this.#limits, runs);
    this.#store = store;
    let covered = options.log.firstPosition;
    for (const run of runs) {
      store.gaps.add(covered, run.from);
      covered = Math.max(covered, run.end);
    }
    store.gaps.add(covered, appliedEnd);
    this.#end = Math.max(covered, appliedEnd);
    this.#collector = new TermCollector(new PairBuffer(this.#end));
    if (store.gaps.sizeBytes > 0) {
      options.logger.info(
        { bytes: store.gaps.sizeBytes },
        'part of the log is not in the message index; it is indexed in the background',
      );
    }
    store.kick();
  }

  /** Plain counters for metrics. */
  get counters(): Readonly<MessageIndexCounters> {
    return this.#store.counters;
  }

  /** Bytes of log that wait to be indexed again: a gauge. */
  get missingBytes(): number {
    return this.#store.gaps.sizeBytes;
  }

  /** Files: a gauge. */
  get runCount(): number {
    return this.#store.runCount;
  }

  message(message: StoredView, position: number): void {
    if (position >= this.#end) this.#collector.message(message, position);
  }

  messageId(messageId: string, position: number): void {
    if (position >= this.#end) this.#collector.messageId(messageId, position);
  }

  queueRange(
    topic: string,
    queueId: number,
    fromOffset: number,
    count: number,
    position: number,
  ): void {
    if (position >= this.#end)
      this.#collector.queueRange(topic, queueId, fromOffset, count, position);
  }

  /** The entry that ends at `end` is applied, and everything in it was given to this sink. */
  applied(end: number): void {
    if (end <= this.#end) return;
    this.#end = end;
    const { buffer } = this.#collector;
    const { runPairs, runSpanBytes } = this.#limits;
    if (buffer.count >= runPairs || end - buffer.from >= runSpanBytes) this.#pushFull();
  }

  /** Positions of a term. */
  async find(term: Term, range: FindRange): Promise<Found> {
    const store = this.#store;
    store.counters.lookups++;
    const { fromPosition, endPosition, ascending, countMax } = range;
    const query: PairQuery = { ...term, fromPosition, endPosition, ascending };
    for (;;) {
      const missingBytes = store.gaps.missingBytes(fromPosition, endPosition);
      try {
        const positions = await store.find(query, this.#collector.buffer, countMax);
        return { positions, missingBytes };
      } catch (error) {
        if (!(error instanceof RunDamaged)) throw error;
        store.discard(error.run, error.message);
      }
    }
  }

  /** Messages below are gone: files that reach no further go away. */
  dropBelow(position: number): void {
    this.#store.dropBelow(position);
  }

  /** Resolves when nothing is left to be written, merged or indexed again. */
  idle(): Promise<void> {
    return this.#store.idle();
  }

  /** Writes what is in memory, so that the next start finds it, and closes the files. Nothing may be applied any more. */
  async close(): Promise<void> {
    await this.#store.stop();
    this.#pushFull();
    await this.#store.close();
  }

  #pushFull(): void {
    const { buffer } = this.#collector;
    if (this.#end === buffer.from) return;
    this.#collector.begin(new PairBuffer(this.#end));
    this.#store.push(buffer, this.#end);
  }
}

/** Position behind the last entry that the state machine has seen, as far as the log has it. */
function appliedEndOf({ log, appliedIndex }: MessageIndexOptions): number {
  if (appliedIndex >= log.lastIndex) return log.endPosition;
  const next = Math.max(appliedIndex + 1, log.firstIndex);
  return log.read(next, next, 1)[0]!.position;
}

function isOurs(name: string): boolean {
  return parseRunFileName(name.replace(/\.tmp$/, '')) !== null;
}

/** By start, a merged run before the runs that it was made of. */
function longestFirst(a: string, b: string): number {
  const [fromA, endA = ''] = a.split('-');
  const [fromB, endB = ''] = b.split('-');
  if (fromA !== fromB) return fromA! < fromB! ? -1 : 1;
  return endA > endB ? -1 : 1;
}
