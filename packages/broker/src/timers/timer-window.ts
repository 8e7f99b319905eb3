import { assert } from '@raftmq/base';
import { type ColdRows } from '../state/cold-rows.js';
import {
  timerKey,
  timerKeyFrom,
  timerOfKey,
  type PutTimerNews,
  type TimerName,
  type TimersRow,
} from '../state/timers-row.js';
import { isBefore, TimerHeap, type WaitingTimer } from './timer-heap.js';

/** How far ahead timers are loaded. */
const AHEAD_MS = 5_000;
/** The next ones are loaded when the end of what is loaded is as near as this. */
const PREFETCH_MS = 2_500;
/** No waiting message is larger: a body, its properties and the fixed fields. */
const RECORD_SIZE_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024;
const EMPTY = Buffer.alloc(0);

export interface TimerWindowOptions {
  readonly cold: ColdRows;
  readonly timers: TimersRow;
  readonly countMax: number;
  readonly bytesMax: number;
}

/**
 * The timers that are due next, in memory on the leader; all others lie in cold rows only.
 *
 *   now                 end                                     40 days
 *   |  every timer here  |  only on disk                        |
 *
 * Timers before the end are in memory: waiting in a heap, or claimed by someone who fires or recalls them. The end moves
 * on by reading rows, and back whenever memory would hold too much: what is dropped is read again later.
 */
export class TimerWindow {
  readonly #options: TimerWindowOptions;
  readonly #heap = new TimerHeap();
  /** Timers in memory by id, claimed ones included. */
  readonly #known = new Map<number, WaitingTimer>();
  /** Of the known ones, those that wait as rows, too; the others are only names that someone asked for. */
  #held = 0;
  #bytes = 0;
  #end: TimerName = { dueMs: 0, id: 0 };
  /** Changes with every reset: what was begun before it does not count. */
  #epoch = 0;
  #loading = false;
  /** While loading: timers from here on were passed over, so what is loaded counts no further. */
  #floor: TimerName | null = null;
  /** While loading: timers that are over, though the rows may still show them. */
  readonly #over = new Set<number>();

  constructor(options: TimerWindowOptions) {
    this.#options = options;
  }

  /** Timers in memory. */
  get size(): number {
    return this.#known.size;
  }

  /** Bytes of their messages. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Due time of the next timer that nobody has claimed; Infinity when none is in memory. */
  get nextDueMs(): number {
    return this.#heap.peek()?.dueMs ?? Infinity;
  }

  /** When more has to be loaded; Infinity when nothing is on disk only, or there is no room now. */
  get nextLoadMs(): number {
    if (this.#loading || this.#complete || !this.#roomy) return Infinity;
    return this.#end.dueMs - PREFETCH_MS;
  }

  /** Forgets everything: it is read anew. */
  reset(): void {
    this.#epoch++;
    this.#heap.clear();
    this.#known.clear();
    this.#over.clear();
    this.#held = 0;
    this.#bytes = 0;
    this.#end = { dueMs: 0, id: 0 };
    this.#loading = false;
    this.#floor = null;
  }

  /** A timer was put. */
  put(news: PutTimerNews): void {
    if (isBefore(news, this.#end)) {
      this.#add({ dueMs: news.dueMs, id: news.id, record: news.record, heapIndex: -1 });
      this.#shrink();
    } else if (this.#loading) this.#lowerFloor(news);
  }

  /** A timer fired, or was recalled. */
  over(id: number): void {
    if (this.#loading) this.#over.add(id);
    const timer = this.#known.get(id);
    if (timer !== undefined) this.#forget(timer);
  }

  /** Claims the next timer when it is due. */
  claimDue(nowMs: number): WaitingTimer | null {
    return this.nextDueMs > nowMs ? null : this.#heap.pop()!;
  }

  /**
   * Claims a timer that may be in memory, on disk, or over: nobody else touches it until it is {@link release}d or over.
   * @returns null when someone has claimed it already
   */
  claim(name: TimerName): WaitingTimer | null {
    const known = this.#known.get(name.id);
    if (known === undefined) {
      const timer = { dueMs: name.dueMs, id: name.id, record: EMPTY, heapIndex: -1 };
      this.#known.set(name.id, timer);
      return timer;
    }
    if (known.heapIndex < 0) return null;
    this.#heap.remove(known);
    return known;
  }

  /** Lets go of a claimed timer that still waits, or may do so. Nothing happens when it is over. */
  release(timer: WaitingTimer): void {
    if (this.#known.get(timer.id) !== timer) return;
    if (timer.record !== EMPTY && isBefore(timer, this.#end)) this.#heap.push(timer);
    else this.#forget(timer);
  }

  /**
   * Makes sure that what is due soon is in memory.
   * @returns a promise when it had to read; several calls at once are one
   */
  cover(nowMs: number): Promise<void> | null {
    if (this.#loading) return null;
    if (this.#complete) {
      if (this.#end.dueMs < nowMs + AHEAD_MS) this.#end = { dueMs: nowMs + AHEAD_MS, id: 0 };
      return null;
    }
    if (!this.#roomy || this.#end.dueMs - PREFETCH_MS > nowMs) return null;
    return this.#load(nowMs + AHEAD_MS);
  }

  /** Nothing is on disk only. */
  get #complete(): boolean {
    return this.#held === this.#options.timers.pending;
  }

  get #roomy(): boolean {
    const { countMax, bytesMax } = this.#options;
    return this.#heap.size * 2 <= countMax && this.#bytes * 2 <= bytesMax;
  }

  async #load(beforeMs: number): Promise<void> {
    const { cold, countMax, bytesMax } = this.#options;
    const epoch = this.#epoch;
    this.#loading = true;
    this.#floor = null;
    this.#over.clear();
    const countLeft = countMax - this.#heap.size;
    let bytesLeft = bytesMax - this.#bytes;
    const from = timerKey(this.#end.dueMs, this.#end.id);
    try {
      const rows = await cold.range(from, timerKeyFrom(beforeMs), countLeft, bytesLeft);
      if (epoch !== this.#epoch) return;
      for (const row of rows) bytesLeft -= row.value.length;
      const last = rows.length === 0 ? null : timerOfKey(rows[rows.length - 1]!.key);
      const all = rows.length < countLeft && bytesLeft >= RECORD_SIZE_BYTES_MAX;
      let end =
        last === null || all ? { dueMs: beforeMs, id: 0 } : { dueMs: last.dueMs, id: last.id + 1 };
      // Cast: what was called in the meantime may have set it.
      const floor = this.#floor as TimerName | null;
      if (floor !== null && isBefore(floor, end)) end = floor;
      this.#end = end;
      for (const { key, value } of rows) {
        const name = timerOfKey(key);
        if (!isBefore(name, end)) break;
        if (this.#over.has(name.id)) continue;
        const known = this.#known.get(name.id);
        if (known === undefined)
          this.#add({ dueMs: name.dueMs, id: name.id, record: value, heapIndex: -1 });
        else if (known.record === EMPTY) this.#hold(known, value);
      }
    } finally {
      if (epoch === this.#epoch) {
        this.#loading = false;
        this.#floor = null;
        this.#over.clear();
      }
    }
  }

  #add(timer: WaitingTimer): void {
    assert(!this.#known.has(timer.id), 'a timer is in memory once');
    this.#known.set(timer.id, timer);
    this.#hold(timer, timer.record);
    this.#heap.push(timer);
  }

  #hold(timer: WaitingTimer, record: Buffer): void {
    timer.record = record;
    this.#held++;
    this.#bytes += record.length;
  }

  #forget(timer: WaitingTimer): void {
    this.#heap.remove(timer);
    this.#known.delete(timer.id);
    if (timer.record === EMPTY) return;
    this.#held--;
    this.#bytes -= timer.record.length;
  }

  /** Drops the later half when there is too much; one timer always stays. */
  #shrink(): void {
    const { countMax, bytesMax } = this.#options;
    if (this.#heap.size < 2) return;
    if (this.#heap.size <= countMax && this.#bytes <= bytesMax) return;
    const dropped = this.#heap.keepFirst(Math.floor(this.#heap.size / 2));
    for (const timer of dropped) this.#forget(timer);
    this.#moveBack(dropped[0]!);
  }

  /** The end moves back to `name`, unless it is there already. */
  #moveBack(name: TimerName): void {
    if (this.#loading) this.#lowerFloor(name);
    if (!isBefore(name, this.#end)) return;
    this.#end = { dueMs: name.dueMs, id: name.id };
    const later = [...this.#heap.values()].filter((timer) => !isBefore(timer, name));
    for (const timer of later) this.#forget(timer);
  }

  #lowerFloor(name: TimerName): void {
    if (this.#floor === null || isBefore(name, this.#floor)) {
      this.#floor = { dueMs: name.dueMs, id: name.id };
    }
  }
}
