import { assert, crc32 } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, type Entry, type LogStorage } from '@raftmq/raft';

/**
 * A sum per log index that depends on that entry and all before it: two logs with the same sum at an index are the same
 * up to there. The header of an entry holds the sum of its payload, so headers are enough.
 */
export class LogChain {
  #baseIndex = 0;
  readonly #sums: number[] = [0];

  get lastIndex(): number {
    return this.#baseIndex + this.#sums.length - 1;
  }

  /** The sum at `index`; null where the chain does not reach. */
  at(index: number): number | null {
    return this.#sums[index - this.#baseIndex] ?? null;
  }

  /** Appends one entry, dropping what was at its index and behind; returns the sum there. */
  append(entry: Entry): number {
    assert(entry.index > this.#baseIndex, 'the chain reaches back to the entry');
    assert(entry.index <= this.lastIndex + 1, 'the chain has no hole');
    this.#sums.length = entry.index - this.#baseIndex;
    const sum = crc32(
      entry.frame.subarray(0, ENTRY_HEADER_SIZE_BYTES),
      this.#sums[this.#sums.length - 1],
    );
    this.#sums.push(sum);
    return sum;
  }

  /** Starts over from a log as recovered; `baseSum` is the known sum right before its first entry. */
  rebuild(log: LogStorage, baseSum: number): void {
    this.#baseIndex = log.firstIndex - 1;
    this.#sums.length = 0;
    this.#sums.push(baseSum);
    for (let index = log.firstIndex; index <= log.lastIndex;) {
      for (const entry of log.read(index, log.lastIndex, 1024 * 1024)) {
        this.append(entry);
        index = entry.index + 1;
      }
    }
  }
}
