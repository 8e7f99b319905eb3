import { assert } from '@raftmq/base';

/** Words of one slot, which fills half a cache line and never straddles two. */
const SLOT_WORDS = 8;
const HIGH = 0;
const LOW = 1;
/** Number of the entry before it in the same chain. */
const EARLIER = 2;
const STAMP = 3;
const EXTRA = 4;
const VALUE_LOW = 5;
const VALUE_HIGH = 6;

/** Entries of one chain that are looked at. Chains are hardly ever longer than five; only chosen hashes make longer ones. */
const CHAIN_MAX = 64;

/**
 * The most recent entries by 64-bit hash, in typed arrays: a ring of slots in the order of their numbers, and chains
 * through it by the low bits of the hash.
 *
 *   heads   hash -> number of the newest entry of its chain
 *   slots   number mod capacity -> high, low, number of the earlier one, stamp, extra, value
 *   marks   hash -> a bit of the hash for every entry of its chain: a lookup of something new ends there nearly always,
 *           in a twentieth of the memory, which the processor's cache holds
 *
 * Nothing is ever taken out. A new entry overwrites the oldest, and a chain ends where it would lead to an entry that
 * was overwritten, which the numbers tell. So an insertion costs three writes, and a removal nothing.
 * Source: the hash chains of LZ77 compressors, such as zlib's deflate.
 */
export class IdTable {
  readonly #slots: Uint32Array;
  readonly #heads: Uint32Array;
  readonly #marks: Uint8Array;
  readonly #slotMask: number;
  readonly #headMask: number;
  /** Number of the next entry, modulo 2^32; 0 is no number. */
  #next = 1;
  #size = 0;

  /** @param capacity a power of two */
  constructor(capacity: number) {
    assert(capacity > 0 && capacity <= 2 ** 26, 'the capacity of a table is in bounds');
    assert((capacity & (capacity - 1)) === 0, 'the capacity of a table is a power of two');
    this.#slots = new Uint32Array(capacity * SLOT_WORDS);
    // Twice as many chains as entries: a lookup of something new meets few others.
    this.#heads = new Uint32Array(capacity * 2);
    this.#marks = new Uint8Array(capacity * 2);
    this.#slotMask = capacity - 1;
    this.#headMask = capacity * 2 - 1;
  }

  get capacity(): number {
    return this.#slotMask + 1;
  }

  /** Entries held. */
  get size(): number {
    return this.#size;
  }

  get sizeBytes(): number {
    return this.#slots.byteLength + this.#heads.byteLength + this.#marks.byteLength;
  }

  /** The next {@link add} overwrites the oldest entry. */
  get isFull(): boolean {
    return this.#size > this.#slotMask;
  }

  /** Stamp of the newest entry; only when there is one. */
  get newestStamp(): number {
    return this.#slots[this.#slotOf(this.#next - 1) + STAMP]!;
  }

  /** Stamp of the oldest entry; only when there is one. */
  get oldestStamp(): number {
    return this.#slots[this.#slotOf(this.#next - this.#size) + STAMP]!;
  }

  /** @param stamp, extra unsigned 32-bit numbers; @param value a safe integer, not negative */
  add(high: number, low: number, stamp: number, extra: number, value: number): void {
    const number = this.#next;
    const slots = this.#slots;
    const at = this.#slotOf(number);
    slots[at + HIGH] = high;
    slots[at + LOW] = low;
    slots[at + STAMP] = stamp;
    slots[at + EXTRA] = extra;
    slots[at + VALUE_LOW] = value;
    slots[at + VALUE_HIGH] = value / 0x1_0000_0000;
    this.#link(at, number);
    this.#next = (number + 1) >>> 0;
    if (this.#size <= this.#slotMask) this.#size++;
    // Once in 2^32 entries, 0 is passed over: its slot holds an entry that cannot be found.
    if (this.#next === 0) this.#next = 1;
  }

  /** Number of the newest entry with this hash, 0 without one. Valid until the next `add`. */
  newest(high: number, low: number): number {
    const chain = low & this.#headMask;
    if ((this.#marks[chain]! & markOf(high)) === 0) return 0;
    return this.#walk(this.#heads[chain]!, high, low);
  }

  /** Number of the next older entry with the hash of the entry `number`, 0 without one. */
  earlier(number: number): number {
    const at = this.#slotOf(number);
    const slots = this.#slots;
    return this.#walk(slots[at + EARLIER]!, slots[at + HIGH]!, slots[at + LOW]!);
  }

  stamp(number: number): number {
    return this.#slots[this.#slotOf(number) + STAMP]!;
  }

  extra(number: number): number {
    return this.#slots[this.#slotOf(number) + EXTRA]!;
  }

  value(number: number): number {
    const at = this.#slotOf(number);
    return this.#slots[at + VALUE_HIGH]! * 0x1_0000_0000 + this.#slots[at + VALUE_LOW]!;
  }

  /** Adds every entry to `target`, oldest first. */
  copyTo(target: IdTable): void {
    for (let left = this.#size; left > 0; left--) {
      const number = (this.#next - left) >>> 0;
      const at = this.#slotOf(number);
      const high = this.#slots[at + HIGH]!;
      const low = this.#slots[at + LOW]!;
      target.add(high, low, this.stamp(number), this.extra(number), this.value(number));
    }
  }

  #slotOf(number: number): number {
    return (number & this.#slotMask) * SLOT_WORDS;
  }

  #link(at: number, number: number): void {
    const chain = this.#slots[at + LOW]! & this.#headMask;
    const mark = markOf(this.#slots[at + HIGH]!);
    const newest = this.#heads[chain]!;
    const isEmpty = newest === 0 || (number - newest) >>> 0 > this.#size;
    this.#marks[chain] = isEmpty ? mark : this.#marks[chain]! | mark;
    this.#slots[at + EARLIER] = newest;
    this.#heads[chain] = number;
  }

  #walk(number: number, high: number, low: number): number {
    const slots = this.#slots;
    for (let steps = 0; steps < CHAIN_MAX; steps++) {
      // The newest entry has age 1; what is older than all that is held was overwritten.
      const age = (this.#next - number) >>> 0;
      if (number === 0 || age > this.#size) return 0;
      const at = this.#slotOf(number);
      if (slots[at + HIGH] === high && slots[at + LOW] === low) return number;
      number = slots[at + EARLIER]!;
    }
    return 0;
  }
}

function markOf(high: number): number {
  return 1 << (high & 7);
}
