/**
 * Lets one log line through per interval, so that strangers cannot flood the log. Whoever logs adds `suppressed`, the
 * number of lines swallowed since the last one.
 */
export class LogGate {
  readonly #intervalMs: number;
  #nextMs = -Infinity;
  #suppressed = 0;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /**
   * @param nowMs monotonic
   * @returns how many lines were swallowed before this one, or null: swallow this one too
   */
  pass(nowMs: number): number | null {
    if (nowMs < this.#nextMs) {
      this.#suppressed++;
      return null;
    }
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    this.#nextMs = nowMs + this.#intervalMs;
    return suppressed;
  }
}
