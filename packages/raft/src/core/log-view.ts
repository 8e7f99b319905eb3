import { assert } from '@raftmq/base';
import { entryEnd, type Entry } from './entry.js';

/** What the core reads of the log; `LogStorage` has all of it. */
export interface LogSource {
  /** First index still held; 1 on a fresh log, lastIndex + 1 when empty. */
  readonly firstIndex: number;
  /** 0 on a fresh log. */
  readonly lastIndex: number;
  readonly endPosition: number;
  readonly lastStoreTimestampMs: number;
  /** Known from firstIndex - 1 on; 0 for index 0. */
  termAt(index: number): number;
  firstIndexOfTermAt(index: number): number;
  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[];
}

/**
 * The log as the core sees it during one step: what the storage has, overlaid by what this step appends.
 *
 *   storage:  1 2 3 4 5 6 7
 *   pending:          5'6'          (a conflicting tail is replaced)
 *   view:     1 2 3 4 5'6'
 *
 * The driver hands `pending` to the storage before the next step, which {@link LogView.begin} checks.
 */
export class LogView {
  readonly #source: LogSource;
  #pending: Entry[] = [];

  constructor(source: LogSource) {
    this.#source = source;
    assert(source.firstIndex >= 1, 'the first log index is at least 1');
    assert(source.lastIndex >= source.firstIndex - 1, 'the log ends no earlier than it starts');
  }

  /** Starts a step that appends into `pending`, an empty array. */
  begin(pending: Entry[]): void {
    const last = this.lastIndex;
    assert(pending.length === 0, 'a step starts without pending entries');
    this.#pending = pending;
    assert(this.#source.lastIndex === last, 'the storage took the appends of the step before');
  }

  get firstIndex(): number {
    return this.#source.firstIndex;
  }

  get lastIndex(): number {
    const count = this.#pending.length;
    return count === 0 ? this.#source.lastIndex : this.#pending[count - 1]!.index;
  }

  get lastTerm(): number {
    return this.termAt(this.lastIndex);
  }

  /** Where the next entry starts. */
  get endPosition(): number {
    const count = this.#pending.length;
    return count === 0 ? this.#source.endPosition : entryEnd(this.#pending[count - 1]!);
  }

  get lastStoreTimestampMs(): number {
    const count = this.#pending.length;
    return count === 0
      ? this.#source.lastStoreTimestampMs
      : this.#pending[count - 1]!.storeTimestampMs;
  }

  /** Term of the entry at `index`, firstIndex - 1 <= index <= lastIndex; 0 for index 0. */
  termAt(index: number): number {
    assert(index <= this.lastIndex, 'a term is asked for an entry within the log');
    assert(index >= this.firstIndex - 1, 'a term is asked for an entry that is still known');
    if (this.#pending.length === 0) return this.#source.termAt(index);
    const from = this.#pending[0]!.index;
    return index < from ? this.#source.termAt(index) : this.#pending[index - from]!.term;
  }

  /** First index, from firstIndex on, whose entry has the term of the one at `index`. */
  firstIndexOfTermAt(index: number): number {
    assert(index >= this.firstIndex, 'a run of one term is asked for an entry that is held');
    const term = this.termAt(index);
    const from = this.#pending.length === 0 ? this.lastIndex + 1 : this.#pending[0]!.index;
    let first = index;
    while (first > from && this.#pending[first - 1 - from]!.term === term) first--;
    if (first > from) return first;
    if (first < from) return this.#source.firstIndexOfTermAt(first);
    const joinsSource = from > this.firstIndex && this.#source.termAt(from - 1) === term;
    return joinsSource ? this.#source.firstIndexOfTermAt(from - 1) : first;
  }

  /**
   * At least one entry from `fromIndex` on, then as many through `throughIndex` as fit in `bytesMax`; perhaps fewer
   * where storage and pending entries meet. The caller keeps the array and does not write to the Buffers.
   * @throws MqError LOG_CORRUPTED from the storage
   */
  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[] {
    assert(fromIndex >= this.firstIndex, 'entries are read from where the log starts');
    assert(throughIndex <= this.lastIndex, 'entries are read up to the end of the log');
    assert(fromIndex <= throughIndex, 'a read asks for at least one entry');
    const pending = this.#pending;
    const from = pending.length === 0 ? this.lastIndex + 1 : pending[0]!.index;
    if (fromIndex < from) {
      return this.#source.read(fromIndex, Math.min(throughIndex, from - 1), bytesMax);
    }
    let sizeBytes = pending[fromIndex - from]!.frame.length;
    let end = fromIndex + 1;
    while (end <= throughIndex && sizeBytes + pending[end - from]!.frame.length <= bytesMax) {
      sizeBytes += pending[end - from]!.frame.length;
      end++;
    }
    return pending.slice(fromIndex - from, end - from);
  }

  /** Appends `entry` at the end, or replaces the tail from its index on when it is the first of this step. */
  append(entry: Entry): void {
    const replaces = this.#pending.length === 0 && entry.index <= this.lastIndex;
    if (!replaces) {
      assert(entry.index === this.lastIndex + 1, 'an entry follows the one before it');
      assert(entry.position === this.endPosition, 'an entry starts where the one before it ends');
    }
    assert(entry.index >= this.firstIndex, 'an entry lies within the log');
    assert(entry.term >= this.termAt(entry.index - 1), 'terms never go down along the log');
    this.#pending.push(entry);
  }
}
