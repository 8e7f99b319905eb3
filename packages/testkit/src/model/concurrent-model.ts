import {
  compareGrant,
  type DeliveryFacts,
  type DeliveryModel,
  type DeliveryStart,
  type DeliverySubject,
  type ModelOutcome,
} from './delivery-facts.js';

interface Held {
  attempt: number;
  visibleAtMs: number;
  suspended: boolean;
  /** Handles of the delivery that holds it, the first one and those of later changes. */
  leases: number[];
  autoRenew: boolean;
}

/** Any message may go out at any time, to one consumer at a time, until it is acknowledged. */
export class ConcurrentModel implements DeliveryModel {
  readonly #subject: DeliverySubject;
  readonly #held = new Map<number, Held>();
  /** Messages from here on were never out; those below are held or consumed. */
  #next: number;
  readonly epoch: number;

  constructor(subject: DeliverySubject, start: DeliveryStart) {
    this.#subject = subject;
    this.#next = start.offset;
    this.epoch = start.epoch;
  }

  get committedOffset(): number {
    return Math.min(this.#next, ...this.#held.keys());
  }

  isConsumed(offset: number): boolean {
    return offset < this.#next && !this.#held.has(offset);
  }

  available(nowMs: number, endOffset: number): boolean {
    for (const held of this.#held.values()) {
      const attempt = held.attempt + (held.suspended ? 0 : 1);
      if (held.visibleAtMs <= nowMs && attempt <= this.#subject.maxAttempts()) return true;
    }
    for (let offset = this.#next; offset < endOffset; offset++)
      if (this.#subject.wants(offset)) return true;
    return false;
  }

  openOffsets(): number[] {
    return [...this.#held.keys()];
  }

  delivered(facts: DeliveryFacts): string | null {
    const { nowMs, leaseId, invisibleMs, autoRenew } = facts;
    const expected: number[] = [];
    const attempts: number[] = [];
    for (const offset of facts.dropped) {
      if (this.#subject.wants(offset)) return `message ${offset} was passed over`;
      const held = this.#held.get(offset);
      if (held !== undefined && held.visibleAtMs <= nowMs) this.#held.delete(offset);
    }
    for (const offset of facts.wanted) {
      const held = this.#held.get(offset);
      if (this.isConsumed(offset)) continue;
      if (held !== undefined && held.visibleAtMs > nowMs) continue;
      const attempt = held === undefined ? 1 : held.attempt + (held.suspended ? 0 : 1);
      // Its attempts were used up while the command was on its way: it becomes a dead letter.
      if (attempt > this.#subject.maxAttempts()) continue;
      const fault = this.#reach(offset);
      if (fault !== null) return fault;
      if (held?.autoRenew === true) this.#subject.lapsed(offset);
      this.#next = Math.max(this.#next, offset + 1);
      const visibleAtMs = nowMs + invisibleMs;
      const leases = [leaseId];
      this.#held.set(offset, { attempt, visibleAtMs, suspended: false, leases, autoRenew });
      expected.push(offset);
      attempts.push(attempt);
    }
    return this.#reach(facts.endOffset) ?? compareGrant(expected, attempts, facts);
  }

  ack(offset: number, leaseId: number): ModelOutcome {
    if (this.isConsumed(offset)) return 'done';
    const held = this.#held.get(offset);
    if (held === undefined || !held.leases.includes(leaseId)) return 'stale';
    this.#held.delete(offset);
    return 'done';
  }

  changeInvisible(
    offsets: readonly number[],
    leaseId: number,
    visibleAtMs: number,
    suspend: boolean,
    newLeaseId: number,
  ): ModelOutcome {
    let outcome: ModelOutcome = 'stale';
    for (const offset of offsets) {
      const held = this.#held.get(offset);
      if (held === undefined || !held.leases.includes(leaseId)) continue;
      held.visibleAtMs = visibleAtMs;
      held.suspended = suspend;
      held.autoRenew = false;
      held.leases.push(newLeaseId);
      outcome = 'done';
    }
    return outcome;
  }

  renew(leaseIds: readonly number[], visibleAtMs: number, release: boolean): void {
    for (const held of this.#held.values()) {
      if (!held.autoRenew || !leaseIds.includes(held.leases[held.leases.length - 1]!)) continue;
      held.visibleAtMs = visibleAtMs;
      if (release) held.autoRenew = false;
    }
  }

  skipTo(offset: number): void {
    for (const held of [...this.#held.keys()]) if (held < offset) this.#held.delete(held);
    this.#next = Math.max(this.#next, offset);
  }

  deadLetter(offset: number): ModelOutcome {
    this.#held.delete(offset);
    return offset < this.#next ? 'done' : 'stale';
  }

  /** New messages below `offset` are passed over. */
  #reach(offset: number): string | null {
    for (; this.#next < offset; this.#next++) {
      if (this.#subject.wants(this.#next)) return `message ${this.#next} was passed over`;
    }
    return null;
  }
}
