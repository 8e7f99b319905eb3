import { assert } from '@raftmq/base';

const CAPACITY_MIN = 4_096;
const RADIX_BITS = 11;
const RADIX = 1 << RADIX_BITS;
/** Larger groups of equal upper lanes are not sorted one by one. */
const GROUP_MAX = 64;

/**
 * (hash, position) pairs in typed arrays, 12 bytes each. Positions are kept relative to `from`, so a buffer spans less
 * than 4 GiB of log.
 */
export class PairBuffer {
  /** Position in the log from which on the pairs count. */
  readonly from: number;
  count = 0;
  #high: Uint32Array;
  #low: Uint32Array;
  #relative: Uint32Array;

  constructor(from: number) {
    this.from = from;
    this.#high = new Uint32Array(CAPACITY_MIN);
    this.#low = new Uint32Array(CAPACITY_MIN);
    this.#relative = new Uint32Array(CAPACITY_MIN);
  }

  add(high: number, low: number, position: number): void {
    const at = this.count;
    if (at === this.#high.length) this.#grow();
    this.#high[at] = high;
    this.#low[at] = low;
    this.#relative[at] = position - this.from;
    this.count = at + 1;
  }

  highAt(i: number): number {
    return this.#high[i]!;
  }

  lowAt(i: number): number {
    return this.#low[i]!;
  }

  relativeAt(i: number): number {
    return this.#relative[i]!;
  }

  /**
   * Positions of a hash within [fromPosition, endPosition), in the order in which they were added, or back to front.
   * Looks at every pair: some hundred microseconds for a full buffer.
   */
  find(
    high: number,
    low: number,
    fromPosition: number,
    endPosition: number,
    ascending: boolean,
    countMax: number,
  ): number[] {
    const found: number[] = [];
    const highs = this.#high;
    const step = ascending ? 1 : -1;
    for (let i = ascending ? 0 : this.count - 1; i >= 0 && i < this.count; i += step) {
      if (highs[i] !== high || this.#low[i] !== low) continue;
      const position = this.from + this.#relative[i]!;
      if (position < fromPosition || position >= endPosition) continue;
      found.push(position);
      if (found.length === countMax) break;
    }
    return found;
  }

  /**
   * Sorts by hash; equal hashes stay in the order in which they were added. Radix sort by the upper lane, about 25 ns a
   * pair; the lower lane decides within the few groups of equal upper lanes, and by radix as well when they are not few.
   */
  sort(): void {
    this.#radixSort(this.#high);
    if (this.#sortGroups()) return;
    this.#radixSort(this.#low);
    this.#radixSort(this.#high);
  }

  /** Stable; three passes of 11 bits over one of the lanes, which moves the other arrays once. */
  #radixSort(lane: Uint32Array): void {
    const { count } = this;
    let digits = lane.subarray(0, count);
    let order: Uint32Array = new Uint32Array(count);
    let otherDigits: Uint32Array = new Uint32Array(count);
    let otherOrder: Uint32Array = new Uint32Array(count);
    for (let i = 0; i < count; i++) order[i] = i;
    const slots = new Uint32Array(RADIX);
    for (let shift = 0; shift < 3 * RADIX_BITS; shift += RADIX_BITS) {
      countDigits(digits, shift, slots);
      for (let i = 0; i < count; i++) {
        const digit = digits[i]!;
        const to = slots[(digit >>> shift) & (RADIX - 1)]!++;
        otherDigits[to] = digit;
        otherOrder[to] = order[i]!;
      }
      [digits, otherDigits] = [otherDigits, digits];
      [order, otherOrder] = [otherOrder, order];
    }
    const other = lane === this.#high ? this.#low : this.#high;
    const moved = inOrder(other, order, otherOrder);
    if (lane === this.#high) {
      this.#high = digits;
      this.#low = moved;
    } else {
      this.#low = digits;
      this.#high = moved;
    }
    this.#relative = inOrder(this.#relative, order, new Uint32Array(count));
  }

  /** Sorts groups of equal upper lanes by the lower one; false when that would take long. */
  #sortGroups(): boolean {
    const high = this.#high;
    const low = this.#low;
    const relative = this.#relative;
    let groupFrom = 0;
    for (let i = 1; i < this.count; i++) {
      if (high[i] !== high[i - 1]) groupFrom = i;
      else if (low[i]! < low[i - 1]!) {
        if (i - groupFrom > GROUP_MAX) return false;
        const movedLow = low[i]!;
        const movedRelative = relative[i]!;
        let at = i;
        for (; at > groupFrom && low[at - 1]! > movedLow; at--) {
          low[at] = low[at - 1]!;
          relative[at] = relative[at - 1]!;
        }
        low[at] = movedLow;
        relative[at] = movedRelative;
      }
    }
    return true;
  }

  #grow(): void {
    const capacity = this.#high.length * 2;
    assert(capacity <= 1 << 30, 'a pair buffer is flushed long before it is that large');
    this.#high = enlarged(this.#high, capacity);
    this.#low = enlarged(this.#low, capacity);
    this.#relative = enlarged(this.#relative, capacity);
  }
}

/** Fills `target` with the values in a new order. */
function inOrder(values: Uint32Array, order: Uint32Array, target: Uint32Array): Uint32Array {
  for (let i = 0; i < order.length; i++) target[i] = values[order[i]!]!;
  return target;
}

/** Turns `slots` into the first place of every digit of `lane`. */
function countDigits(lane: Uint32Array, shift: number, slots: Uint32Array): void {
  slots.fill(0);
  for (let i = 0; i < lane.length; i++) slots[(lane[i]! >>> shift) & (RADIX - 1)]!++;
  let at = 0;
  for (let digit = 0; digit < RADIX; digit++) {
    const digits = slots[digit]!;
    slots[digit] = at;
    at += digits;
  }
}

function enlarged(values: Uint32Array, capacity: number): Uint32Array {
  const larger = new Uint32Array(capacity);
  larger.set(values);
  return larger;
}
