/** Whether the other side lives, from what is heard of it; looked at from time to time. */
export class Heartbeat {
  readonly #silenceMs: number;
  readonly #timeoutMs: number;
  #heard = false;
  #heardMs: number;
  #askedMs: number | null = null;
  /** The last look found it late. */
  #late = false;

  /**
   * @param silenceMs after so much of it the peer is asked for a sign of life
   * @param timeoutMs and has this long to give one
   */
  constructor(silenceMs: number, timeoutMs: number, nowMs: number) {
    this.#silenceMs = silenceMs;
    this.#timeoutMs = timeoutMs;
    this.#heardMs = nowMs;
  }

  /** Something came. Costs nothing: the time is taken at the next look. */
  heard(): void {
    this.#heard = true;
  }

  /** @param mayAsk false = silence is all right now */
  look(nowMs: number, mayAsk: boolean): 'well' | 'ask' | 'dead' {
    if (this.#heard) {
      this.#heard = false;
      this.#heardMs = nowMs;
      this.#askedMs = null;
      this.#late = false;
    } else if (this.#askedMs !== null) {
      // Whoever was stopped himself has not read the answer yet: it gets the time until the next look.
      if (this.#late) return 'dead';
      this.#late = nowMs - this.#askedMs > this.#timeoutMs;
    } else if (mayAsk && nowMs - this.#heardMs > this.#silenceMs) {
      this.#askedMs = nowMs;
      return 'ask';
    }
    return 'well';
  }
}
