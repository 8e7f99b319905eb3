/** Something that will happen at a virtual time. */
export interface SimEvent {
  readonly atMs: number;
  /** Order among events of the same time. */
  readonly sequence: number;
  /** The process it happens to; null for the world outside of processes. */
  readonly life: Life | null;
  readonly label: string;
  /** Mixed into the rolling hash: what tells two events with the same label apart. */
  readonly mark: number;
  run: (() => void) | null;
}

/** One run of one process, from boot to death. What belongs to a dead process never happens. */
export interface Life {
  readonly node: number;
  alive: boolean;
  /** Stopped until then: its events wait, in order. */
  pausedUntilMs: number;
}

/** A binary heap of events, ordered by time and then by sequence. */
export class EventHeap {
  readonly #events: SimEvent[] = [];

  get size(): number {
    return this.#events.length;
  }

  push(event: SimEvent): void {
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(events[parent]!, event)) break;
      events[at] = events[parent]!;
      at = parent;
    }
    events[at] = event;
  }

  /** Removes and returns the earliest event; undefined when there is none. */
  pop(): SimEvent | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (first === undefined || last === undefined || events.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && before(events[child + 1]!, events[child]!)) child++;
      if (before(last, events[child]!)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last;
    return first;
  }
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
