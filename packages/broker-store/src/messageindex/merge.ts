import { type Disk } from '@raftmq/base';
import { type RunCache } from './run-cache.js';
import { type RunFile } from './run-file.js';
import { blockCountOf, PAIR_SIZE_BYTES } from './run-layout.js';
import { RunWriter } from './run-writer.js';

/** Adjacent runs of so many become one. */
const MERGE_RUNS_MIN = 16;
/** Blocks of each run that are in memory at a time: 48 KiB. */
const READ_BLOCKS = 8;
/** A merged run holds at most so many pairs (48 MiB) … */
const MERGED_PAIRS_MAX = 4 * 1024 * 1024;
/** … and spans at most so much of the log, so that it goes away soon after its messages. */
const MERGED_SPAN_MAX = 1024 * 1024 * 1024;

/**
 * Adjacent runs that are worth being merged, oldest first; [] when there are none. Runs that are half as large as a
 * merged one may become are left alone, so every pair is rewritten a few times at most.
 * @param runs ascending
 */
export function mergeCandidates(runs: readonly RunFile[]): readonly RunFile[] {
  let group: RunFile[] = [];
  let pairs = 0;
  for (const run of runs) {
    const previous = group[group.length - 1];
    const fits =
      previous?.end === run.from &&
      pairs + run.pairCount <= MERGED_PAIRS_MAX &&
      run.end - group[0]!.from <= MERGED_SPAN_MAX;
    if (isFinal(run) || !fits) {
      if (group.length >= MERGE_RUNS_MIN || (group.length > 1 && previous?.end === run.from))
        return group;
      group = [];
      pairs = 0;
    }
    if (isFinal(run)) continue;
    group.push(run);
    pairs += run.pairCount;
  }
  return group.length >= MERGE_RUNS_MIN ? group : [];
}

function isFinal(run: RunFile): boolean {
  return run.pairCount * 2 > MERGED_PAIRS_MAX || (run.end - run.from) * 2 > MERGED_SPAN_MAX;
}

/**
 * Writes one run with the pairs of all `runs`, durable before it gets its name. Reads and writes in small pieces; other
 * work gets its turn in between.
 * @param wanted looked at between pieces; false ends the work, and null is given
 * @throws RunDamaged, and errors of the disk; nothing is left behind then
 */
export async function mergeRuns(
  disk: Disk,
  directory: string,
  runs: readonly RunFile[],
  cache: RunCache,
  wanted: () => boolean,
): Promise<string | null> {
  const from = runs[0]!.from;
  const end = runs[runs.length - 1]!.end;
  const pairCount = runs.reduce((sum, run) => sum + run.pairCount, 0);
  const writer = await RunWriter.open(disk, directory, from, end, pairCount);
  try {
    const sources = runs.map((run) => new Source(run, run.from - from, cache));
    for (const source of sources) await source.next();
    for (let left = pairCount; left > 0; left--) {
      const source = smallest(sources);
      if (writer.add(source.high, source.low, source.relative)) await writer.flush();
      if (!source.step()) {
        if (!wanted()) {
          await writer.abandon();
          return null;
        }
        await source.next();
      }
    }
    return await writer.finish(true);
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** Walks over the pairs of one run. */
class Source {
  high = 0;
  low = 0;
  /** Relative to the merged run. */
  relative = 0;
  done = false;
  readonly #run: RunFile;
  readonly #shift: number;
  readonly #cache: RunCache;
  #block = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(run: RunFile, shift: number, cache: RunCache) {
    this.#run = run;
    this.#shift = shift;
    this.#cache = cache;
  }

  /** Goes on within the blocks in memory; false when {@link next} is needed. */
  step(): boolean {
    if (this.#at === this.#bytes.length) return false;
    const at = this.#at;
    this.high = this.#bytes.readUInt32BE(at);
    this.low = this.#bytes.readUInt32BE(at + 4);
    this.relative = this.#bytes.readUInt32BE(at + 8) + this.#shift;
    this.#at = at + PAIR_SIZE_BYTES;
    return true;
  }

  /** Goes on to the first pair of the next blocks, or is `done`. */
  async next(): Promise<void> {
    if (this.#block === blockCountOf(this.#run.pairCount)) {
      this.done = true;
      this.#bytes = Buffer.alloc(0);
      this.#at = 0;
      return;
    }
    const block = this.#block;
    this.#block = Math.min(block + READ_BLOCKS, blockCountOf(this.#run.pairCount));
    this.#bytes = await this.#cache.use(this.#run, () => this.#run.readBlocks(block, READ_BLOCKS));
    this.#at = 0;
    this.step();
  }
}

/** Of equal hashes the pair of the earlier run comes first: positions ascend. */
function smallest(sources: readonly Source[]): Source {
  let best: Source | null = null;
  for (const source of sources) {
    if (source.done) continue;
    if (
      best === null ||
      source.high < best.high ||
      (source.high === best.high && source.low < best.low)
    )
      best = source;
  }
  return best!;
}
