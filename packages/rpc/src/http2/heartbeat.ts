/** Whether the other side lives, from what is heard of it; looked at from time to time. */
export class Heartbeat {
  readonly #silenceMs: number;
  readonly #timeoutMs: number;
  #heard = false;
  #heardMs: number;
  #askedMs: number | null = null;

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
    } else if (this.#askedMs !== null) {
      if (nowMs - this.#askedMs > this.#timeoutMs) return 'dead';
    } else if (mayAsk && nowMs - this.#heardMs > this.#silenceMs) {
      this.#askedMs = nowMs;
      return 'ask';
    }
    return 'well';
  }
}
