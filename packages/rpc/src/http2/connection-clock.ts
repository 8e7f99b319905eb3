/** A connection, as its clock sees it. */
export interface Ticking {
  /** No call on it has an earlier deadline; monotonic, Infinity = none has one. */
  readonly nextDeadlineMs: number;
  /**
   * Time has passed.
   * @param nowMs monotonic
   * @param elapsedMs since the last tick
   */
  tick(nowMs: number, elapsedMs: number): void;
}

/**
 * One timer for the connections of a server or of a process: deadlines of calls are kept to `grainMs`, all other times to
 * `restMs`. While there is no connection there is no timer, and it never keeps a process alive.
 */
export class ConnectionClock {
  readonly #restMs: number;
  readonly #grainMs: number;
  readonly #connections = new Set<Ticking>();
  #timer: NodeJS.Timeout | null = null;
  /** When the timer fires; during a tick, the earliest time that was asked for in it. */
  #dueMs = Infinity;
  #ticking = false;
  #tickedMs = 0;

  constructor(restMs: number, grainMs: number) {
    this.#restMs = restMs;
    this.#grainMs = grainMs;
  }

  add(connection: Ticking, nowMs: number): void {
    this.#connections.add(connection);
    if (this.#timer !== null || this.#ticking) return;
    this.#tickedMs = nowMs;
    this.#arm(nowMs, nowMs + this.#restMs);
  }

  delete(connection: Ticking): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0 || this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** A call that has just begun has this deadline. */
  due(atMs: number): void {
    if (atMs >= this.#dueMs) return;
    if (this.#ticking || this.#timer === null) {
      this.#dueMs = atMs;
      return;
    }
    const nowMs = performance.now();
    const dueMs = Math.max(atMs, nowMs + this.#grainMs);
    if (dueMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#arm(nowMs, dueMs);
  }

  #arm(nowMs: number, dueMs: number): void {
    this.#dueMs = dueMs;
    this.#timer = setTimeout(this.#tick, Math.ceil(dueMs - nowMs));
    this.#timer.unref();
  }

  readonly #tick = (): void => {
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.#tickedMs;
    this.#tickedMs = nowMs;
    this.#timer = null;
    this.#dueMs = nowMs + this.#restMs;
    this.#ticking = true;
    for (const connection of this.#connections) {
      connection.tick(nowMs, elapsedMs);
      this.#dueMs = Math.min(this.#dueMs, connection.nextDeadlineMs);
    }
    this.#ticking = false;
    if (this.#connections.size > 0) this.#arm(nowMs, Math.max(this.#dueMs, nowMs + this.#grainMs));
  };
}
