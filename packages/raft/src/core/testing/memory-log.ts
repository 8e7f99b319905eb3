import { assert } from '@raftmq/base';
import { entryEnd, type Entry } from '../entry.js';
import { type LogSource } from '../log-view.js';

/** A log in memory for tests of the core: takes entries at once, and can forget its beginning. */
export class MemoryLog implements LogSource {
  readonly #entries: Entry[];
  #baseIndex = 0;
  #baseTerm = 0;
  #basePosition = 0;

  constructor(entries: readonly Entry[] = []) {
    this.#entries = [...entries];
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  get firstIndex(): number {
    return this.#baseIndex + 1;
  }

  get lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  get endPosition(): number {
    const last = this.#entries.at(-1);
    return last === undefined ? this.#basePosition : entryEnd(last);
  }

  get lastStoreTimestampMs(): number {
    return this.#entries.at(-1)?.storeTimestampMs ?? 0;
  }

  termAt(index: number): number {
    if (index === this.#baseIndex) return this.#baseTerm;
    return this.at(index).term;
  }

  firstIndexOfTermAt(index: number): number {
    let first = index;
    while (first > this.firstIndex && this.termAt(first - 1) === this.termAt(index)) first--;
    return first;
  }

  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[] {
    const found: Entry[] = [];
    let sizeBytes = 0;
    for (let index = fromIndex; index <= throughIndex; index++) {
      const entry = this.at(index);
      sizeBytes += entry.frame.length;
      if (found.length > 0 && sizeBytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  at(index: number): Entry {
    const entry = this.#entries[index - this.firstIndex];
    assert(entry !== undefined, `the log holds entry ${index}`);
    return entry;
  }

  /** Replaces any tail from `entries[0].index` on. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index <= this.lastIndex + 1, 'entries leave no gap');
    this.#entries.length = first.index - this.firstIndex;
    assert(first.position === this.endPosition, 'entries lie back to back');
    this.#entries.push(...entries);
  }

  clone(): MemoryLog {
    const copy = new MemoryLog(this.#entries);
    copy.#baseIndex = this.#baseIndex;
    copy.#baseTerm = this.#baseTerm;
    copy.#basePosition = this.#basePosition;
    return copy;
  }

  /** Loses entries behind `index`. */
  cutBehind(index: number): void {
    assert(index >= this.#baseIndex, 'what was compacted was on disk');
    this.#entries.length = Math.min(this.#entries.length, index - this.#baseIndex);
  }

  /** Forgets entries through `index`. */
  compactThrough(index: number): void {
    const base = this.at(index);
    this.#entries.splice(0, index - this.#baseIndex);
    this.#baseIndex = index;
    this.#baseTerm = base.term;
    this.#basePosition = entryEnd(base);
  }
}
