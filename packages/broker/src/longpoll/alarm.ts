import { type CancelTimer, type Clock } from '@raftmq/base';
import { DueQueue, type DueItem } from '../pop/due-queue.js';

/** Timers fire this much apart at least: everything that is due in between is handled together. */
const RING_INTERVAL_MS = 10;

/**
 * One timer for many due times, on the monotonic clock. Items fire at their due time, or up to 10 ms later when others fired just before, never
 * earlier; an item that fired is out until it is set again.
 */
export class Alarm<T extends DueItem> {
  readonly #clock: Clock;
  readonly #fire: (item: T) => void;
  readonly #items = new DueQueue<T>();
  #armedForMs = Infinity;
  #rangAtMs = -Infinity;
  #cancel: CancelTimer = () => undefined;

  constructor(clock: Clock, fire: (item: T) => void) {
    this.#clock = clock;
    this.#fire = fire;
  }

  get size(): number {
    return this.#items.size;
  }

  /** Sets or moves an item; Infinity takes it out. */
  set(item: T, dueMs: number): void {
    if (dueMs === Infinity) return this.#items.remove(item);
    this.#items.move(item, dueMs);
    this.#arm();
  }

  clear(item: T): void {
    this.#items.remove(item);
  }

  /** Takes everything out and ends the timer. */
  stop(): void {
    this.#cancel();
    this.#armedForMs = Infinity;
    while (this.#items.pop() !== undefined);
  }

  #arm(): void {
    const dueMs = this.#items.peek()?.dueMs ?? Infinity;
    if (dueMs >= this.#armedForMs) return;
    this.#cancel();
    this.#armedForMs = dueMs;
    const atMs = Math.max(dueMs, this.#rangAtMs + RING_INTERVAL_MS);
    const delayMs = Math.max(1, Math.ceil(atMs - this.#clock.monotonicMs()));
    this.#cancel = this.#clock.setTimer(delayMs, () => this.#ring());
  }

  #ring(): void {
    this.#armedForMs = Infinity;
    const nowMs = this.#clock.monotonicMs();
    this.#rangAtMs = nowMs;
    for (let item = this.#items.peek(); item !== undefined; item = this.#items.peek()) {
      if (item.dueMs > nowMs) break;
      this.#items.remove(item);
      this.#fire(item);
    }
    this.#arm();
  }
}
