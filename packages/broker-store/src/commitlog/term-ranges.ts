import { assert } from '@raftmq/base';

/**
 * The terms of the log as ranges: one pair (first index, term) per change of term, ascending in both.
 * Grows with the number of elections that led to entries, not with entries.
 */
export class TermRanges {
  readonly #firsts: number[] = [];
  readonly #terms: number[] = [];

  get count(): number {
    return this.#terms.length;
  }

  firstIndexAt(range: number): number {
    return this.#firsts[range]!;
  }

  termOfRange(range: number): number {
    return this.#terms[range]!;
  }

  /** Says that the entry at `index` has `term`; indexes ascend. */
  append(index: number, term: number): void {
    const last = this.#terms.length - 1;
    if (last >= 0 && this.#terms[last] === term) return;
    assert(
      last < 0 || (this.#terms[last]! < term && this.#firsts[last]! < index),
      'terms never go down',
    );
    this.#firsts.push(index);
    this.#terms.push(term);
  }

  /** Number of the range that holds `index`. */
  rangeAt(index: number): number {
    let low = 0;
    let high = this.#firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#firsts[middle]! <= index) low = middle + 1;
      else high = middle;
    }
    assert(low > 0, 'the term of an index before the log is not known');
    return low - 1;
  }

  /** Forgets what begins behind `index`. */
  truncateAfter(index: number): void {
    let keep = this.#firsts.length;
    while (keep > 0 && this.#firsts[keep - 1]! > index) keep--;
    this.#firsts.length = keep;
    this.#terms.length = keep;
  }

  /** Forgets ranges that end before `index`. */
  dropBefore(index: number): void {
    const kept = this.rangeAt(index);
    this.#firsts.splice(0, kept);
    this.#terms.splice(0, kept);
  }
}
