import { MqError } from '@raftmq/base';
import { type ReadResult } from '../core/types.js';

interface Waiter {
  readonly resolve: (index: number) => void;
  readonly reject: (error: MqError) => void;
}

interface Round {
  readonly id: number;
  readonly askedAtMs: number;
  readonly waiters: readonly Waiter[];
  /** Set once the core answered; the waiters are served when it is applied. */
  index: number | null;
}

/**
 * Linearizable reads of one replica (R10). All reads that arrive in one turn of the event loop share one request to the
 * core, made after the last of them arrived; a later read never joins an earlier round.
 */
export class ReadRequests {
  readonly #waitingMax: number;
  readonly #timeoutMs: number;
  #gathering: Waiter[] = [];
  /** Open rounds by id, in the order they were asked. */
  readonly #rounds = new Map<number, Round>();
  #nextId = 1;
  #waiting = 0;

  constructor(waitingMax: number, timeoutMs: number) {
    this.#waitingMax = waitingMax;
    this.#timeoutMs = timeoutMs;
  }

  /** Whether reads wait to be asked about. */
  get gathering(): boolean {
    return this.#gathering.length > 0;
  }

  /** Reads without an answer so far. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * @returns the index to be applied before the read is served; it is applied here when the promise resolves
   * @throws MqError TOO_MANY_REQUESTS at the limit; HA_NOT_AVAILABLE when this replica does not lead; REQUEST_TIMEOUT
   */
  add(): Promise<number> {
    if (this.#waiting >= this.#waitingMax) {
      return Promise.reject(
        new MqError(
          'TOO_MANY_REQUESTS',
          `${this.#waiting} reads are waiting already; try again later`,
        ),
      );
    }
    this.#waiting++;
    return new Promise<number>((resolve, reject) => this.#gathering.push({ resolve, reject }));
  }

  /** Closes the gathering round; returns the id to ask the core with, or null when nobody waits. */
  ask(nowMs: number): number | null {
    if (this.#gathering.length === 0) return null;
    const id = this.#nextId++;
    this.#rounds.set(id, { id, askedAtMs: nowMs, waiters: this.#gathering, index: null });
    this.#gathering = [];
    return id;
  }

  /** The core's answer to one round; answers to rounds that are over are ignored. */
  answered(result: ReadResult): void {
    const round = this.#rounds.get(result.id);
    if (round === undefined) return;
    if (result.index !== null) round.index = result.index;
    else
      this.#fail(
        round,
        'HA_NOT_AVAILABLE',
        'this replica does not lead its group (any more); ask the leader',
      );
  }

  /** Serves the rounds whose index is applied. */
  applied(appliedIndex: number): void {
    for (const round of this.#rounds.values()) {
      if (round.index === null || round.index > appliedIndex) continue;
      this.#close(round);
      for (const waiter of round.waiters) waiter.resolve(round.index);
    }
  }

  /** Fails the rounds that have waited too long. */
  expire(nowMs: number): void {
    for (const round of this.#rounds.values()) {
      if (nowMs - round.askedAtMs <= this.#timeoutMs) return;
      this.#fail(round, 'REQUEST_TIMEOUT', 'no majority confirmed the leader in time; try again');
    }
  }

  /** Fails everything that waits: the driver stops. */
  rejectAll(): void {
    this.ask(0);
    for (const round of this.#rounds.values())
      this.#fail(round, 'HA_NOT_AVAILABLE', 'this replica is stopping; ask the leader');
  }

  #fail(round: Round, code: 'HA_NOT_AVAILABLE' | 'REQUEST_TIMEOUT', message: string): void {
    this.#close(round);
    const error = new MqError(code, message);
    for (const waiter of round.waiters) waiter.reject(error);
  }

  #close(round: Round): void {
    this.#rounds.delete(round.id);
    this.#waiting -= round.waiters.length;
  }
}
