import { ConnectionError } from './protocol.js';

/**
 * How often a peer may do what costs us more than it costs the peer: `countMax` times at once, and `perSecond` later on.
 */
export class Patience {
  readonly #what: string;
  readonly #countMax: number;
  readonly #perSecond: number;
  #left: number;

  constructor(what: string, countMax: number, perSecond: number) {
    this.#what = what;
    this.#countMax = countMax;
    this.#perSecond = perSecond;
    this.#left = countMax;
  }

  /** @throws ConnectionError ENHANCE_YOUR_CALM when it is at its end */
  spend(): void {
    if (this.#left < 1) throw new ConnectionError('ENHANCE_YOUR_CALM', `too many ${this.#what}`);
    this.#left--;
  }

  /** Time has passed. */
  recover(elapsedMs: number): void {
    this.#left = Math.min(this.#countMax, this.#left + (elapsedMs * this.#perSecond) / 1000);
  }

  /** All is forgiven. */
  restore(): void {
    this.#left = this.#countMax;
  }
}
