import { assert } from '@raftmq/base';
import { type Entry } from '@raftmq/raft';

/** What one entry costs beside its frame: the object, the Buffer's own object, the slot. */
const ENTRY_OVERHEAD_BYTES = 256;

/**
 * The newest entries of the log, whole frames in a power-of-two ring, without gaps.
 *
 *   first                 written               last
 *     [ may be evicted ... ][ not on disk yet ... ]
 *
 * Entries that are not written stay whatever the limit says: readers have no other place to find them.
 */
export class FrameCache {
  readonly #bytesMax: number;
  #slots: (Entry | undefined)[] = new Array<Entry | undefined>(64).fill(undefined);
  #head = 0;
  #size = 0;
  #bytes = 0;
  #firstIndex: number;

  constructor(bytesMax: number, nextIndex: number) {
    this.#bytesMax = bytesMax;
    this.#firstIndex = nextIndex;
  }

  /** Index of the oldest entry held; one behind the newest entry of the log when empty. */
  get firstIndex(): number {
    return this.#firstIndex;
  }

  get bytes(): number {
    return this.#bytes;
  }

  push(entry: Entry): void {
    assert(entry.index === this.#firstIndex + this.#size, 'the cache has no gaps');
    if (this.#size === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#size) & (this.#slots.length - 1)] = entry;
    this.#size++;
    this.#bytes += entry.frame.length + ENTRY_OVERHEAD_BYTES;
  }

  /** The entry at `index`, undefined when it is not held. */
  get(index: number): Entry | undefined {
    const i = index - this.#firstIndex;
    return i < 0 || i >= this.#size ? undefined : this.#at(i);
  }

  /** The entry whose frame holds `position`, undefined when it is not held. */
  holding(position: number): Entry | undefined {
    let low = 0;
    let high = this.#size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at(middle).position <= position) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const entry = this.#at(low - 1);
    return position < entry.position + entry.frame.length ? entry : undefined;
  }

  /** Lets the oldest entries go while over the limit, none behind `writtenThroughIndex`. */
  evict(writtenThroughIndex: number): void {
    while (
      this.#bytes > this.#bytesMax &&
      this.#size > 0 &&
      this.#firstIndex <= writtenThroughIndex
    ) {
      this.#bytes -= this.#at(0).frame.length + ENTRY_OVERHEAD_BYTES;
      this.#slots[this.#head] = undefined;
      this.#head = (this.#head + 1) & (this.#slots.length - 1);
      this.#size--;
      this.#firstIndex++;
    }
  }

  /** Forgets entries behind `lastIndex`. */
  truncateAfter(lastIndex: number): void {
    while (this.#size > 0 && this.#firstIndex + this.#size - 1 > lastIndex) {
      this.#size--;
      this.#bytes -= this.#at(this.#size).frame.length + ENTRY_OVERHEAD_BYTES;
      this.#slots[(this.#head + this.#size) & (this.#slots.length - 1)] = undefined;
    }
    if (this.#size === 0) this.#firstIndex = Math.min(this.#firstIndex, lastIndex + 1);
  }

  #at(i: number): Entry {
    return this.#slots[(this.#head + i) & (this.#slots.length - 1)]!;
  }

  #grow(): void {
    const grown = new Array<Entry | undefined>(this.#slots.length * 2).fill(undefined);
    for (let i = 0; i < this.#size; i++) grown[i] = this.#at(i);
    this.#slots = grown;
    this.#head = 0;
  }
}
