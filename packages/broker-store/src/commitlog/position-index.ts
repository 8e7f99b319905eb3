import { assert } from '@raftmq/base';

/** Entries per block: 16 KiB of positions. */
export const BLOCK_ENTRIES = 4096;
const BLOCK_SHIFT = 12;

/** Gives block `block` of a sealed segment: its relative positions in order. */
export type BlockSource = (block: number) => Uint32Array;

/**
 * Where each entry of one segment starts, relative to the segment, in blocks of 4096.
 *
 * While the segment grows all blocks are in memory. `seal` hands them over to a file; from then on only the first
 * position of each block stays, and blocks are loaded on demand through a shared {@link BlockCache}.
 */
export class PositionIndex {
  readonly #cache: BlockCache;
  readonly #blocks: (Uint32Array | null)[] = [];
  readonly #firsts: number[] = [];
  #source: BlockSource | null = null;
  #count = 0;
  #truncations = 0;

  constructor(cache: BlockCache) {
    this.#cache = cache;
  }

  /** An index whose blocks lie in a file; `firsts` holds the first relative position of each block. */
  static sealed(
    cache: BlockCache,
    count: number,
    firsts: readonly number[],
    source: BlockSource,
  ): PositionIndex {
    const index = new PositionIndex(cache);
    index.#count = count;
    for (const first of firsts) {
      index.#firsts.push(first);
      index.#blocks.push(null);
    }
    index.#source = source;
    return index;
  }

  get count(): number {
    return this.#count;
  }

  /** How often `truncate` was called: tells whether the index is still the one that was written to a file. */
  get truncations(): number {
    return this.#truncations;
  }

  get firsts(): readonly number[] {
    return this.#firsts;
  }

  append(relative: number): void {
    assert(this.#source === null, 'only the index of a growing segment is appended to');
    const slot = this.#count & (BLOCK_ENTRIES - 1);
    if (slot === 0) {
      this.#blocks.push(new Uint32Array(BLOCK_ENTRIES));
      this.#firsts.push(relative);
    }
    this.#blocks[this.#blocks.length - 1]![slot] = relative;
    this.#count++;
  }

  /** Relative position of entry `i`, 0 <= i < count. */
  at(i: number): number {
    assert(i >= 0 && i < this.#count, 'the entry is in this segment');
    return this.block(i >>> BLOCK_SHIFT)[i & (BLOCK_ENTRIES - 1)]!;
  }

  /** The last entry that starts at or before `relative`; -1 when there is none. */
  findAtOrBefore(relative: number): number {
    let low = 0;
    let high = this.#firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#firsts[middle]! <= relative) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return -1;
    const blockNumber = low - 1;
    const block = this.block(blockNumber);
    let from = 0;
    let end = this.blockCount(blockNumber);
    while (from < end) {
      const middle = (from + end) >>> 1;
      if (block[middle]! <= relative) from = middle + 1;
      else end = middle;
    }
    return (blockNumber << BLOCK_SHIFT) + from - 1;
  }

  /** Number of entries in a block: 4096 in all but the last. */
  blockCount(block: number): number {
    return Math.min(BLOCK_ENTRIES, this.#count - (block << BLOCK_SHIFT));
  }

  /** The positions of one block; at least `blockCount(block)` of them are set. Do not write to it. */
  block(block: number): Uint32Array {
    const held = this.#blocks[block];
    if (held !== null && held !== undefined) return held;
    assert(this.#source !== null, 'a block that is not in memory has a source');
    const loaded = this.#source(block);
    this.#blocks[block] = loaded;
    this.#cache.admit(this, block);
    return loaded;
  }

  /** The blocks now lie in a file: memory may forget them. */
  seal(source: BlockSource): void {
    this.#source = source;
    this.#blocks.fill(null);
  }

  /** Forgets entries from `count` on and makes the index growing again; its file may be deleted afterwards. */
  truncate(count: number): void {
    assert(count <= this.#count, 'truncation only shortens');
    const blockCount = Math.ceil(count / BLOCK_ENTRIES);
    for (let i = 0; this.#source !== null && i < blockCount; i++) {
      const whole = new Uint32Array(BLOCK_ENTRIES);
      whole.set(this.#blocks[i] ?? this.#source(i));
      this.#blocks[i] = whole;
    }
    this.#cache.forget(this);
    this.#source = null;
    this.#blocks.length = blockCount;
    this.#firsts.length = blockCount;
    this.#count = count;
    this.#truncations++;
  }

  /** Called by the cache only. */
  drop(block: number): void {
    if (this.#source !== null && block < this.#blocks.length) this.#blocks[block] = null;
  }
}

interface Held {
  readonly index: PositionIndex;
  readonly block: number;
}

/** Bounds the blocks that sealed segments keep in memory: the one loaded first leaves first. */
export class BlockCache {
  readonly #blocksMax: number;
  #held: (Held | null)[] = [];
  #next = 0;

  /** @param blocksMax at least 1; each block takes 16 KiB */
  constructor(blocksMax: number) {
    this.#blocksMax = blocksMax;
  }

  admit(index: PositionIndex, block: number): void {
    const leaving = this.#held[this.#next];
    if (leaving !== null && leaving !== undefined) leaving.index.drop(leaving.block);
    this.#held[this.#next] = { index, block };
    this.#next = (this.#next + 1) % this.#blocksMax;
  }

  /** Removes all blocks of `index` from the books. */
  forget(index: PositionIndex): void {
    for (let i = 0; i < this.#held.length; i++) {
      if (this.#held[i]?.index === index) this.#held[i] = null;
    }
  }
}
