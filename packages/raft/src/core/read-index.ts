import { assert } from '@raftmq/base';
import { type ReadResult } from './types.js';

/**
 * Linearizable reads without a log entry (Raft thesis, section 6.4): the leader notes its commit index, hears from a
 * majority in a round that started after the request, and only then answers. Requests that arrive during a round wait
 * together for the next one, so that a thousand reads cost as few rounds as one.
 */
export class ReadIndex {
  readonly #readsMax: number;
  #waiting: number[] = [];
  #confirming: number[] = [];
  #round = 0;
  #index = 0;

  constructor(readsMax: number) {
    this.#readsMax = readsMax;
  }

  /** Number of the newest round; each request of the leader carries it. */
  get round(): number {
    return this.#round;
  }

  /** Reads that wait, in a round or for the next one. */
  get size(): number {
    return this.#waiting.length + this.#confirming.length;
  }

  get roundUnderWay(): boolean {
    return this.#confirming.length > 0;
  }

  /** Takes a request in; false at the limit, and then the caller has to refuse it. */
  add(id: number): boolean {
    if (this.size >= this.#readsMax) return false;
    this.#waiting.push(id);
    return true;
  }

  /**
   * Starts a round for all that wait, unless one is under way or nobody waits.
   * @param commitIndex the leader's, with an entry of its own term committed
   * @returns whether a round was started: the caller sends it to all followers
   */
  startRound(commitIndex: number): boolean {
    if (this.roundUnderWay || this.#waiting.length === 0) return false;
    assert(commitIndex >= this.#index, 'read indexes never go back');
    this.#round++;
    this.#index = commitIndex;
    [this.#confirming, this.#waiting] = [this.#waiting, this.#confirming];
    return true;
  }

  /** A majority answered the round under way: its reads go to `results` with their index. */
  confirm(results: ReadResult[]): void {
    assert(this.roundUnderWay, 'only a round under way can be confirmed');
    for (const id of this.#confirming) results.push({ id, index: this.#index });
    this.#confirming = [];
  }

  /** Leadership ended: all reads go to `results` without an index. */
  refuseAll(results: ReadResult[]): void {
    for (const id of this.#confirming) results.push({ id, index: null });
    for (const id of this.#waiting) results.push({ id, index: null });
    this.#confirming = [];
    this.#waiting = [];
  }
}
