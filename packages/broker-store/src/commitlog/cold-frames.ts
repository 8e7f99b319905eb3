import { type Entry } from '@raftmq/raft';

/** More frames than this make the linear search dearer than a read from the page cache. */
const FRAMES_MAX = 64;

/**
 * Older entries that were read back from disk, most recently used first, at most 64 and within a byte limit.
 * A consumer that catches up finds all records of an entry here after one read and one check of its sum.
 */
export class ColdFrames {
  readonly #bytesMax: number;
  readonly #frames: Entry[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The entry whose frame holds `position`, undefined when it is not held. */
  holding(position: number): Entry | undefined {
    for (let i = 0; i < this.#frames.length; i++) {
      const entry = this.#frames[i]!;
      if (position < entry.position || position >= entry.position + entry.frame.length) continue;
      if (i > 0) {
        this.#frames.copyWithin(1, 0, i);
        this.#frames[0] = entry;
      }
      return entry;
    }
    return undefined;
  }

  /** Keeps an entry; one that is larger than the whole limit is not kept. */
  admit(entry: Entry): void {
    if (entry.frame.length > this.#bytesMax || this.holding(entry.position) !== undefined) return;
    this.#frames.unshift(entry);
    this.#bytes += entry.frame.length;
    while (this.#bytes > this.#bytesMax || this.#frames.length > FRAMES_MAX) {
      this.#bytes -= this.#frames.pop()!.frame.length;
    }
  }

  clear(): void {
    this.#frames.length = 0;
    this.#bytes = 0;
  }
}
