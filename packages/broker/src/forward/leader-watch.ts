import { type CancelTimer, type Clock } from '@raftmq/base';
import { type RoleStatus } from '@raftmq/raft';

interface Waiter {
  readonly untilMs: number;
  readonly resolve: () => void;
}

const POLL_INTERVAL_MS = 10;

/**
 * Lets many requests wait for a change of leadership at the price of one timer, which runs only while someone waits.
 * The role is polled: a change is seen at most 10 ms late.
 */
export class LeaderWatch {
  readonly #clock: Clock;
  readonly #role: () => RoleStatus;
  #waiters: Waiter[] = [];
  #cancelTimer: CancelTimer | null = null;
  #seen: string;

  constructor(options: { readonly clock: Clock; readonly role: () => RoleStatus }) {
    this.#clock = options.clock;
    this.#role = options.role;
    this.#seen = this.#print();
  }

  /** Requests that wait now. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** Names the present state of leadership; differs after every change that matters to a waiting request. */
  get version(): string {
    return this.#print();
  }

  /** Resolves at the next change of role, term, leader or writability, or when the monotonic clock reaches `untilMs`. */
  changed(untilMs: number): Promise<void> {
    if (this.#waiters.length === 0) this.#seen = this.#print();
    const promise = new Promise<void>((resolve) => this.#waiters.push({ untilMs, resolve }));
    this.#arm();
    return promise;
  }

  /** Wakes everyone: after a close they find out by themselves. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#wake(() => true);
  }

  #print(): string {
    const role = this.#role();
    return `${role.term}/${role.leaderId}/${role.role}/${role.writable}`;
  }

  #arm(): void {
    this.#cancelTimer ??= this.#clock.setTimer(POLL_INTERVAL_MS, () => this.#poll());
  }

  #poll(): void {
    this.#cancelTimer = null;
    const now = this.#print();
    const changed = now !== this.#seen;
    this.#seen = now;
    const nowMs = this.#clock.monotonicMs();
    this.#wake((waiter) => changed || nowMs >= waiter.untilMs);
    if (this.#waiters.length > 0) this.#arm();
  }

  #wake(due: (waiter: Waiter) => boolean): void {
    const kept: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (due(waiter)) waiter.resolve();
      else kept.push(waiter);
    }
    this.#waiters = kept;
  }
}
