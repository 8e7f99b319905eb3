import { type CommittedHistory } from './invariants.js';
import { type LogChain } from './log-chain.js';

/** The power of one machine that acknowledges what its disk does not have (ASYNC_FLUSH), and what its cuts may have cost. */
export class Power {
  /** Entries through here may have been in the log when the power went. */
  #hadThrough = 0;
  /** Since the power went no process has looked what is left. */
  #unseen = false;
  #boots = 1;

  /** Another one after each cut. */
  get bootId(): string {
    return `boot ${this.#boots}`;
  }

  /** @param chain the log as the machine had it */
  cut(chain: LogChain): void {
    this.#hadThrough = Math.max(this.#hadThrough, chain.lastIndex);
    this.#unseen = true;
    this.#boots++;
  }

  /** A process has read what is on the disk. */
  seen(): void {
    this.#unseen = false;
  }

  mayHaveForgotten(index: number): boolean {
    return index <= this.#hadThrough;
  }

  /** Whether the log lacks a committed entry that it once had; or nobody has looked yet. */
  hasForgotten(chain: LogChain, committed: CommittedHistory): boolean {
    if (this.#unseen) return true;
    return committed.heldBy(chain) < Math.min(this.#hadThrough, committed.lastIndex);
  }
}
