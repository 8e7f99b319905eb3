import {
  compareGrant,
  type DeliveryFacts,
  type DeliveryModel,
  type DeliveryStart,
  type DeliverySubject,
  type ModelOutcome,
} from './delivery-facts.js';

interface OrderedItem {
  readonly offset: number;
  readonly attempt: number;
  acked: boolean;
  visibleAtMs: number;
  changed: boolean;
  suspended: boolean;
}

interface OrderedBatch {
  readonly items: readonly OrderedItem[];
  readonly attemptId: string | null;
  /** Where the queue goes on once all is acknowledged. */
  readonly endOffset: number;
  /** Handles of the batch; those before the last come from answers that were repeated, or from before a change. */
  readonly leases: number[];
  /** Handles from here on are those of the last answer. */
  readonly currentFrom: number;
  autoRenew: boolean;
}

/** One batch at a time; it blocks the queue until all of it is acknowledged, or its time is over. */
export class OrderedModel implements DeliveryModel {
  readonly #subject: DeliverySubject;
  /** Deliveries that count, by offset. */
  readonly #attempts = new Map<number, number>();
  /** Dead letters, and what was passed over: they never come again. */
  readonly #buried = new Set<number>();
  #committed: number;
  #batch: OrderedBatch | null = null;
  readonly epoch: number;

  constructor(subject: DeliverySubject, start: DeliveryStart) {
    this.#subject = subject;
    this.#committed = start.offset;
    this.epoch = start.epoch;
  }

  get committedOffset(): number {
    return this.#committed;
  }

  isConsumed(offset: number): boolean {
    return this.#gone(offset);
  }

  available(nowMs: number, endOffset: number): boolean {
    const items = this.#batch?.items ?? [];
    const open = items.filter((item) => !item.acked);
    if (open.some((item) => item.visibleAtMs > nowMs)) return false;
    const hasAttempt = ({ attempt, suspended }: OrderedItem): boolean =>
      attempt + (suspended ? 0 : 1) <= this.#subject.maxAttempts();
    if (open.some(hasAttempt)) return true;
    // What is left of the batch becomes dead letters, and the queue goes on behind it.
    for (let offset = this.#batch?.endOffset ?? this.#committed; offset < endOffset; offset++) {
      if (this.#gone(offset) || !this.#subject.wants(offset)) continue;
      if ((this.#attempts.get(offset) ?? 0) < this.#subject.maxAttempts()) return true;
    }
    return false;
  }

  openOffsets(): number[] {
    return (this.#batch?.items ?? []).filter((item) => !item.acked).map((item) => item.offset);
  }

  delivered(facts: DeliveryFacts): string | null {
    const before = this.#batch;
    const open = (before?.items ?? []).filter((item) => !item.acked);
    const blocked = open.some((item) => item.visibleAtMs > facts.nowMs);
    const repeats = blocked && facts.attemptId !== null && facts.attemptId === before?.attemptId;
    if (blocked && !repeats) return compareGrant([], [], facts);
    const nextAttempt = (offset: number): number => {
      const item = before?.items.find((one) => one.offset === offset);
      // Handing it out once more does not count when the answer was lost, or it was set aside.
      if (item !== undefined) return item.attempt + (repeats || item.suspended ? 0 : 1);
      return (this.#attempts.get(offset) ?? 0) + 1;
    };
    const { wanted, stopAt } = this.#allowed(facts.wanted, nextAttempt);
    if (wanted.length === 0 && stopAt < Infinity) return compareGrant([], [], facts);
    const end = Math.max(facts.endOffset, this.#committed, (wanted.at(-1) ?? -1) + 1);
    const endOffset = Math.min(end, stopAt);
    const fault = this.#inOrder(wanted, endOffset, facts.nowMs);
    if (fault !== null) return fault;
    for (const { offset, changed } of repeats ? [] : open)
      if (before?.autoRenew === true && !changed && wanted.includes(offset))
        this.#subject.lapsed(offset);
    const items = wanted.map((offset): OrderedItem => {
      const visibleAtMs = facts.nowMs + facts.invisibleMs;
      const rest = { acked: false, changed: false, suspended: false };
      return { offset, attempt: nextAttempt(offset), visibleAtMs, ...rest };
    });
    // What is left out now was out, unless it was set aside.
    for (const { offset, attempt, suspended } of before?.items ?? [])
      this.#attempts.set(offset, suspended ? attempt - 1 : attempt);
    for (const { offset, attempt } of items) this.#attempts.set(offset, attempt);
    const leases = [...(repeats ? before.leases : []), facts.leaseId];
    // What was acknowledged and is left out now is consumed for good.
    for (const { acked, offset } of before?.items ?? [])
      if (acked && offset < endOffset && !wanted.includes(offset)) this.#buried.add(offset);
    this.#committed = items[0]?.offset ?? endOffset;
    this.#batch =
      items.length === 0
        ? null
        : {
            items,
            attemptId: facts.attemptId,
            endOffset,
            leases,
            currentFrom: leases.length - 1,
            autoRenew: facts.autoRenew,
          };
    const attempts = items.map((item) => item.attempt);
    return compareGrant(wanted, attempts, facts);
  }

  ack(offset: number, leaseId: number): ModelOutcome {
    if (this.#gone(offset)) return 'done';
    const held = this.#holding(offset, leaseId);
    if (typeof held === 'string') return held;
    held.acked = true;
    this.#advance();
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
    for (const one of offsets) {
      const held = this.#gone(one) ? 'ignored' : this.#holding(one, leaseId);
      if (typeof held === 'string') {
        outcome = held === 'ignored' && outcome === 'stale' ? held : outcome;
        continue;
      }
      held.visibleAtMs = visibleAtMs;
      held.changed = true;
      held.suspended = suspend;
      outcome = 'done';
    }
    if (outcome === 'done') this.#batch!.leases.push(newLeaseId);
    return outcome;
  }

  renew(leaseIds: readonly number[], visibleAtMs: number, release: boolean): void {
    const batch = this.#batch;
    if (batch === null || !batch.autoRenew) return;
    if (!leaseIds.includes(batch.leases[batch.currentFrom]!)) return;
    if (release) batch.autoRenew = false;
    for (const item of batch.items) if (!item.changed) item.visibleAtMs = visibleAtMs;
  }

  skipTo(offset: number): void {
    for (const item of this.#batch?.items ?? []) if (item.offset < offset) item.acked = true;
    if (this.#batch !== null) this.#advance();
    this.#committed = Math.max(this.#committed, offset);
  }

  deadLetter(offset: number): ModelOutcome {
    if (this.#gone(offset)) return 'done';
    const item = this.#batch?.items.find((one) => one.offset === offset);
    if (item !== undefined) {
      item.acked = true;
      this.#buried.add(offset);
      this.#advance();
      return 'done';
    }
    if (offset === this.#committed) this.#committed = offset + 1;
    else if (this.#attempts.has(offset)) this.#buried.add(offset);
    else return 'stale';
    return 'done';
  }

  /** What of an order may go out: up to the first message that has to become a dead letter. */
  #allowed(
    offsets: readonly number[],
    nextAttempt: (offset: number) => number,
  ): { readonly wanted: readonly number[]; readonly stopAt: number } {
    const wanted: number[] = [];
    for (const offset of offsets) {
      if (this.#gone(offset)) continue;
      if (nextAttempt(offset) <= this.#subject.maxAttempts()) wanted.push(offset);
      else if (this.#batch?.items.find((item) => item.offset === offset)?.acked !== true)
        return { wanted, stopAt: offset };
    }
    return { wanted, stopAt: Infinity };
  }

  #gone(offset: number): boolean {
    return offset < this.#committed || this.#buried.has(offset);
  }

  #holding(offset: number, leaseId: number): OrderedItem | ModelOutcome {
    const batch = this.#batch;
    const item = batch?.items.find((one) => one.offset === offset);
    const place = batch?.leases.indexOf(leaseId) ?? -1;
    if (batch === null || item === undefined || place < 0) return 'stale';
    return place < batch.currentFrom ? 'ignored' : item;
  }

  /** The queue goes out from its first message that is not consumed, without a hole. */
  #inOrder(wanted: readonly number[], end: number, nowMs: number): string | null {
    let at = 0;
    for (let offset = this.#committed; offset < end; offset++) {
      if (wanted[at] === offset) {
        at++;
        continue;
      }
      const item = this.#batch?.items.find((one) => one.offset === offset);
      if (!this.#subject.wants(offset) || this.#gone(offset) || item?.acked === true) continue;
      const behind = wanted.slice(at).join(', ') || 'nothing';
      return `message ${offset} is open at ${nowMs}, and ${behind} goes out behind it`;
    }
    return at === wanted.length ? null : `messages go out as ${wanted.join(', ')}: not in order`;
  }

  #advance(): void {
    const batch = this.#batch!;
    const open = batch.items.find((item) => !item.acked);
    this.#committed = open?.offset ?? batch.endOffset;
    if (open === undefined) this.#batch = null;
  }
}
