import { type TimerName } from '../state/timers-row.js';

/** A timer in memory. */
export interface WaitingTimer extends TimerName {
  /** The waiting message; empty while only the name is known, for a recall. */
  record: Buffer;
  /** Kept by the heap; -1 = not in it: it is being fired or recalled. */
  heapIndex: number;
}

/** Whether `a` is due before `b`; of equal times, the one that was sent first. */
export function isBefore(a: TimerName, b: TimerName): boolean {
  return a.dueMs === b.dueMs ? a.id < b.id : a.dueMs < b.dueMs;
}

/** A binary heap of timers, the next one first. */
export class TimerHeap {
  #timers: WaitingTimer[] = [];

  get size(): number {
    return this.#timers.length;
  }

  peek(): WaitingTimer | undefined {
    return this.#timers[0];
  }

  push(timer: WaitingTimer): void {
    this.#timers.push(timer);
    this.#up(timer, this.#timers.length - 1);
  }

  pop(): WaitingTimer | undefined {
    const first = this.#timers[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** Takes `timer` out; does nothing when it is not in. */
  remove(timer: WaitingTimer): void {
    const at = timer.heapIndex;
    if (at < 0) return;
    timer.heapIndex = -1;
    const last = this.#timers.pop()!;
    if (last === timer) return;
    this.#up(last, at);
    this.#down(last, last.heapIndex);
  }

  /** Takes out all timers behind the first `count`, and gives them back in their order. */
  keepFirst(count: number): readonly WaitingTimer[] {
    // A sorted array is a heap.
    this.#timers.sort((a, b) => (isBefore(a, b) ? -1 : 1));
    const dropped = this.#timers.splice(count);
    for (const timer of dropped) timer.heapIndex = -1;
    for (let i = 0; i < this.#timers.length; i++) this.#timers[i]!.heapIndex = i;
    return dropped;
  }

  /** In no particular order. */
  values(): Iterable<WaitingTimer> {
    return this.#timers.values();
  }

  clear(): void {
    this.#timers = [];
  }

  #up(timer: WaitingTimer, at: number): void {
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = this.#timers[parentAt]!;
      if (isBefore(parent, timer)) break;
      this.#timers[at] = parent;
      parent.heapIndex = at;
      at = parentAt;
    }
    this.#timers[at] = timer;
    timer.heapIndex = at;
  }

  #down(timer: WaitingTimer, at: number): void {
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= this.#timers.length) break;
      const right = this.#timers[childAt + 1];
      if (right !== undefined && isBefore(right, this.#timers[childAt]!)) childAt++;
      const child = this.#timers[childAt]!;
      if (isBefore(timer, child)) break;
      this.#timers[at] = child;
      child.heapIndex = at;
      at = childAt;
    }
    this.#timers[at] = timer;
    timer.heapIndex = at;
  }
}
