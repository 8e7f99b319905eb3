import { EventHeap, type Life, type SimEvent } from './event-heap.js';

/** An invariant does not hold: what the simulator is looking for. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(message);
    this.invariant = invariant;
  }
}

const RECENT_MAX = 80;

/**
 * Virtual time: one heap of events, run one by one; after each, every promise that can settle has settled. Nothing here
 * looks at a real clock, so a run is a function of what was scheduled.
 */
export class World {
  readonly #heap = new EventHeap();
  readonly #recent: string[] = [];
  readonly #trace: ((line: string) => void) | null;
  #nowMs = 0;
  #sequence = 0;
  #steps = 0;
  #hash = 0x811c9dc5;
  #violation: Error | null = null;

  /** @param trace gets a line per event and note; null keeps only the last few for a failure report */
  constructor(trace: ((line: string) => void) | null) {
    this.#trace = trace;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events run so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Depends on every event so far, its time and its mark: two runs of one seed must agree on it. */
  get hash(): number {
    return this.#hash >>> 0;
  }

  /** The last events and notes, oldest first. */
  get recent(): readonly string[] {
    return this.#recent;
  }

  /** Runs `run` after `delayMs`, unless `life` ends before; later while `life` is paused. */
  schedule(delayMs: number, life: Life | null, label: string, run: () => void, mark = 0): SimEvent {
    const event: SimEvent = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      sequence: this.#sequence++,
      life,
      label,
      mark,
      run,
    };
    this.#heap.push(event);
    return event;
  }

  /** Ends the run with a violation; the first one counts. Throws, so that the code at fault goes no further. */
  violate(invariant: string, message: string): never {
    const violation = new Violation(invariant, message);
    this.#violation ??= violation;
    throw violation;
  }

  /** As {@link violate}, for code that nobody may throw through: the run ends before the next event. */
  report(invariant: string, message: string): void {
    this.#violation ??= new Violation(invariant, message);
  }

  /** Writes a line for the reader of a trace or a failure report. */
  note(node: number | null, text: string): void {
    const who = node === null ? '  ' : `n${node}`;
    const line = `${this.#nowMs.toFixed(3).padStart(11)} ${who} ${text}`;
    this.#recent.push(line);
    if (this.#recent.length > RECENT_MAX) this.#recent.shift();
    this.#trace?.(line);
  }

  /**
   * Runs events until `done` holds (asked before each one).
   * @throws Violation when an invariant broke; whatever an event threw
   */
  run(done: () => boolean): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const pump = (): void => {
        try {
          if (this.#violation !== null) throw this.#violation;
          if (done()) return resolve();
          const event = this.#heap.pop();
          if (event === undefined) return resolve();
          this.#execute(event);
        } catch (error) {
          return reject(this.#violation ?? (error as Error));
        }
        queueMicrotask(again);
      };
      // From a microtask, the next tick comes only when no microtask is left: all promises have settled by then.
      const again = (): void => process.nextTick(pump);
      // Also in front of the first event: ticks come before microtasks for a caller that is itself no microtask.
      queueMicrotask(again);
    });
  }

  #execute(event: SimEvent): void {
    this.#nowMs = Math.max(this.#nowMs, event.atMs);
    const { life, run } = event;
    if (run === null || (life !== null && !life.alive)) return;
    if (life !== null && life.pausedUntilMs > this.#nowMs) {
      this.#heap.push({ ...event, atMs: life.pausedUntilMs });
      return;
    }
    this.#steps++;
    this.#mix(Math.round(this.#nowMs * 1000));
    this.#mix(event.mark ^ ((life?.node ?? 31) << 24) ^ (event.label.length << 16));
    if (this.#trace !== null && event.label !== 'timer') this.note(life?.node ?? null, event.label);
    run();
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193);
    this.#hash ^= this.#hash >>> 15;
  }
}
