import { type BinaryReader, type BinaryWriter } from './binary.js';
import {
  type DeliveryGrant,
  type DeliveryHistory,
  type DeliveryOrder,
  type DeliveryOutcome,
  type DeliveryPlan,
  type DeliveryState,
  type LeaseSequence,
  type PlanRequest,
  type RenewableLease,
} from './delivery.js';

/** One message of the batch that is out. */
interface Item {
  readonly offset: number;
  readonly attempt: number;
  /** Time of attempt 1. */
  readonly firstAtMs: number;
  acked: boolean;
  visibleAtMs: number;
  /** Its invisible time was changed by hand: auto-renew leaves it alone. */
  changed: boolean;
  suspended: boolean;
}

/** The batch that is out, from its delivery until its last ack or its next delivery. */
interface Batch {
  readonly leaseId: number;
  /** Handles from here up to `leaseId` come from answers that were repeated under the same attempt id. */
  readonly staleFromId: number;
  readonly attemptId: string | null;
  readonly clientId: string;
  autoRenew: boolean;
  readonly grantedAtMs: number;
  renewals: number;
  known: boolean;
  /** Ascending. */
  readonly items: readonly Item[];
  /** Once all is acknowledged, the queue goes on here. */
  readonly endOffset: number;
}

/**
 * Delivery in order: one batch of a queue is out at a time, and blocks the queue until every message of it is
 * acknowledged or its time is over. Then the queue starts again at the first message without an ack, and hands out
 * what lies behind it once more, acknowledged or not; only what lies in the dead-letter queue never comes again.
 *
 * Source: RocketMQ's ConsumerOrderInfoManager. We differ in that an attempt count outlives a smaller batch, and in
 * that a handle of an expired and repeated batch is refused instead of being ignored.
 */
export class OrderedDelivery implements DeliveryState {
  readonly kind = 'ordered';
  readonly epoch: number;
  #committedOffset: number;
  #batch: Batch | null = null;
  /** Of messages that were out before, are not consumed, and are not in the batch; ascending. */
  #counts = new Map<number, DeliveryHistory>();
  /** Messages from the committed offset on that never come again: dead letters, and acknowledged ones without an attempt left. */
  readonly #buried = new Set<number>();

  constructor(committedOffset = 0, epoch = 0) {
    this.#committedOffset = committedOffset;
    this.epoch = epoch;
  }

  get committedOffset(): number {
    return this.#committedOffset;
  }

  get nextOffset(): number {
    let next = this.#batch?.endOffset ?? this.#committedOffset;
    for (const offset of this.#counts.keys()) next = Math.max(next, offset + 1);
    for (const offset of this.#buried) next = Math.max(next, offset + 1);
    return next;
  }

  isConsumed(offset: number): boolean {
    return offset < this.#committedOffset || this.#buried.has(offset);
  }

  get openCount(): number {
    let open = 0;
    for (const item of this.#batch?.items ?? []) if (!item.acked) open++;
    return open;
  }

  get quiet(): boolean {
    return this.#batch === null && this.#counts.size === 0 && this.#buried.size === 0;
  }

  plan(request: PlanRequest): DeliveryPlan {
    const batch = this.#batch;
    const blockedUntilMs = this.#blockedUntilMs();
    const blocked = blockedUntilMs > request.nowMs;
    const plan = { newFromOffset: this.#committedOffset, lookAgainAtMs: Infinity, limited: false };
    if (blocked && !this.#repeats(request.attemptId)) {
      return { ...plan, retries: [], exhausted: [], newMax: 0, lookAgainAtMs: blockedUntilMs };
    }
    if (blocked && batch !== null) {
      const again = batch.items.filter((item) => !this.isConsumed(item.offset));
      const retries = again.slice(0, request.batchSize).map((item) => item.offset);
      return { ...plan, retries, exhausted: [], newMax: 0, lookAgainAtMs: blockedUntilMs };
    }
    const exhausted = this.#exhausted(request.maxAttempts, request.batchSize);
    if (exhausted.length > 0) return { ...plan, retries: [], exhausted, newMax: 0 };
    return { ...plan, retries: [], exhausted, newMax: request.batchSize };
  }

  /**
   * What a scan from the committed offset on does with `offset`: hand it out, pass over it because it is a dead letter,
   * or was acknowledged and has no attempt left, or end the batch before it because it is due for the dead-letter queue.
   */
  admission(offset: number, maxAttempts: number): 'deliver' | 'skip' | 'stop' {
    if (this.#buried.has(offset)) return 'skip';
    if (this.#nextAttempt(offset, false) <= maxAttempts) return 'deliver';
    return this.#item(offset)?.acked === true ? 'skip' : 'stop';
  }

  deliver(
    order: DeliveryOrder,
    sequence: LeaseSequence,
    nowMs: number,
    maxAttempts = Infinity,
  ): DeliveryGrant {
    const leaseId = sequence.take();
    const before = this.#batch;
    const blocked = this.#blockedUntilMs() > nowMs;
    const repeats = blocked && this.#repeats(order.attemptId);
    if (blocked && !repeats) return { leaseId, offsets: [], attempts: [] };
    const items: Item[] = [];
    /** The first message that has to become a dead letter before anything behind it goes out. */
    let stopAt = Infinity;
    for (const run of order.runs) {
      if (run.dropped) continue;
      for (let offset = run.fromOffset; offset < run.fromOffset + run.count; offset++) {
        // Acknowledged, or moved to the dead-letter queue, while this command was on its way.
        if (this.isConsumed(offset) || offset >= stopAt) continue;
        const attempt = this.#nextAttempt(offset, repeats);
        if (attempt > maxAttempts) {
          if (this.#item(offset)?.acked !== true) stopAt = offset;
          continue;
        }
        const visibleAtMs = nowMs + order.invisibleMs;
        items.push({
          offset,
          attempt,
          firstAtMs: this.history(offset)?.firstAtMs ?? nowMs,
          acked: false,
          visibleAtMs,
          changed: false,
          suspended: false,
        });
      }
    }
    if (items.length === 0 && stopAt < Infinity) return { leaseId, offsets: [], attempts: [] };
    const behindLast = items.length === 0 ? 0 : items[items.length - 1]!.offset + 1;
    const end = Math.max(order.endOffset, this.#committedOffset, behindLast);
    const endOffset = Math.min(end, stopAt);
    const counts = this.#countsBehind(endOffset);
    this.#buryPassedOver(items, endOffset);
    this.#commit(items[0]?.offset ?? endOffset);
    this.#counts = counts;
    this.#batch =
      items.length === 0
        ? null
        : {
            leaseId,
            staleFromId: repeats ? before!.staleFromId : leaseId,
            attemptId: order.attemptId,
            clientId: order.clientId,
            autoRenew: order.autoRenew,
            grantedAtMs: nowMs,
            renewals: 0,
            known: false,
            items,
            endOffset,
          };
    return { leaseId, offsets: items.map((i) => i.offset), attempts: items.map((i) => i.attempt) };
  }

  ack(offset: number, leaseId: number): DeliveryOutcome {
    if (this.isConsumed(offset)) return 'done';
    const item = this.#item(offset);
    const batch = this.#batch;
    if (batch === null || item === undefined || leaseId < batch.staleFromId) return 'stale';
    if (leaseId < batch.leaseId) return 'ignored';
    item.acked = true;
    batch.known = true;
    this.#advance(batch);
    return 'done';
  }

  complete(offset: number): DeliveryOutcome {
    if (this.isConsumed(offset)) return 'done';
    const item = this.#item(offset);
    if (item !== undefined) {
      item.acked = true;
      this.#buried.add(offset);
      this.#advance(this.#batch!);
      return 'done';
    }
    const counted = this.#counts.delete(offset);
    if (offset === this.#committedOffset) this.#commit(offset + 1);
    else if (counted) this.#buried.add(offset);
    else return 'stale';
    return 'done';
  }

  skipTo(offset: number): void {
    if (offset <= this.#committedOffset) return;
    for (const counted of this.#counts.keys()) if (counted < offset) this.#counts.delete(counted);
    this.#commit(offset);
    const batch = this.#batch;
    if (batch === null) return;
    for (const item of batch.items) if (item.offset < offset) item.acked = true;
    this.#advance(batch);
    if (this.#committedOffset < offset) this.#commit(offset);
  }

  history(offset: number): DeliveryHistory | null {
    const item = this.#item(offset);
    if (item === undefined) return this.#counts.get(offset) ?? null;
    const { attempt: attempts, firstAtMs } = item;
    return { attempts, firstAtMs, lastAtMs: this.#batch!.grantedAtMs };
  }

  changeInvisible(
    offsets: readonly number[],
    leaseId: number,
    visibleAtMs: number,
    suspend: boolean,
    sequence: LeaseSequence,
  ): { readonly outcome: DeliveryOutcome; readonly leaseId: number } {
    let outcome: DeliveryOutcome = 'stale';
    for (const offset of offsets) {
      const item = this.#item(offset);
      if (this.isConsumed(offset)) {
        if (outcome === 'stale') outcome = 'ignored';
      } else if (item !== undefined && leaseId >= this.#batch!.leaseId) {
        item.visibleAtMs = visibleAtMs;
        item.changed = true;
        item.suspended = suspend;
        outcome = 'done';
      } else if (item !== undefined && leaseId >= this.#batch!.staleFromId && outcome === 'stale') {
        outcome = 'ignored';
      }
    }
    return { outcome, leaseId: outcome === 'done' ? sequence.take() : leaseId };
  }

  check(offset: number, leaseId: number): DeliveryOutcome | 'open' {
    if (this.isConsumed(offset)) return 'done';
    const batch = this.#batch;
    const item = this.#item(offset);
    if (batch === null || item === undefined || leaseId < batch.staleFromId) return 'stale';
    if (leaseId < batch.leaseId) return 'ignored';
    return item.acked ? 'done' : 'open';
  }

  renew(leaseIds: readonly number[], visibleAtMs: number, release: boolean, known: boolean): void {
    const batch = this.#batch;
    if (batch === null || !batch.autoRenew || !leaseIds.includes(batch.leaseId)) return;
    batch.renewals++;
    if (known) batch.known = true;
    if (release) batch.autoRenew = false;
    for (const item of batch.items) if (!item.changed) item.visibleAtMs = visibleAtMs;
  }

  openOffsets(leaseId: number): readonly number[] {
    const batch = this.#batch;
    if (batch?.leaseId !== leaseId) return [];
    return batch.items.filter((item) => !item.acked).map((item) => item.offset);
  }

  *renewable(): Iterable<RenewableLease> {
    const batch = this.#batch;
    if (batch === null || !batch.autoRenew) return;
    const held = batch.items.find((item) => !item.acked && !item.changed);
    if (held === undefined) return;
    const { leaseId, clientId, grantedAtMs, renewals, known, attemptId } = batch;
    const { visibleAtMs, attempt } = held;
    yield { leaseId, clientId, grantedAtMs, visibleAtMs, renewals, known, attemptId, attempt };
  }

  earliestVisibleAtMs(): number {
    return this.#batch === null ? Infinity : this.#blockedUntilMs();
  }

  /**
   * Writes the row.
   *
   *   epoch, committedOffset, hasBatch,
   *   batch: leaseId, leaseId - staleFromId, attemptId, clientId, flags (1 autoRenew, 2 known), grantedAtMs, renewals,
   *          endOffset, itemCount, item*
   *   item:  offset - committedOffset, attempt, flags (1 acked, 2 changed, 4 suspended), visibleAtMs,
   *          grantedAtMs - firstAtMs
   *   countCount, (offset - committedOffset, attempts, firstAtMs, lastAtMs - firstAtMs)*
   *   buriedCount, (offset - committedOffset)*, ascending
   *
   * Acknowledged items below the committed offset are left out: nothing asks for them any more.
   */
  write(writer: BinaryWriter): void {
    writer.varint(this.epoch);
    writer.varint(this.#committedOffset);
    const batch = this.#batch;
    writer.flag(batch !== null);
    if (batch !== null) {
      writer.varint(batch.leaseId);
      writer.varint(batch.leaseId - batch.staleFromId);
      writer.optionalText(batch.attemptId);
      writer.text(batch.clientId);
      writer.byte((batch.autoRenew ? 1 : 0) | (batch.known ? 2 : 0));
      writer.varint(batch.grantedAtMs);
      writer.varint(batch.renewals);
      writer.varint(batch.endOffset);
      const items = batch.items.filter((item) => item.offset >= this.#committedOffset);
      writer.varint(items.length);
      for (const item of items) {
        writer.varint(item.offset - this.#committedOffset);
        writer.varint(item.attempt);
        writer.byte((item.acked ? 1 : 0) | (item.changed ? 2 : 0) | (item.suspended ? 4 : 0));
        writer.varint(item.visibleAtMs);
        writer.varint(batch.grantedAtMs - item.firstAtMs);
      }
    }
    writer.varint(this.#counts.size);
    for (const [offset, { attempts, firstAtMs, lastAtMs }] of this.#counts) {
      writer.varint(offset - this.#committedOffset);
      writer.varint(attempts);
      writer.varint(firstAtMs);
      writer.varint(lastAtMs - firstAtMs);
    }
    writer.varint(this.#buried.size);
    for (const offset of [...this.#buried].sort((a, b) => a - b))
      writer.varint(offset - this.#committedOffset);
  }

  /** Reads what {@link write} wrote. */
  static read(reader: BinaryReader): OrderedDelivery {
    const epoch = reader.varint();
    const state = new OrderedDelivery(reader.varint(), epoch);
    if (reader.flag()) {
      const leaseId = reader.varint();
      const head = {
        leaseId,
        staleFromId: leaseId - reader.varint(),
        attemptId: reader.optionalText(),
        clientId: reader.text(),
        ...readBatchFlags(reader),
        grantedAtMs: reader.varint(),
        renewals: reader.varint(),
        endOffset: reader.varint(),
      };
      const items: Item[] = [];
      for (let left = reader.count(5); left > 0; left--) {
        items.push(readItem(reader, state.#committedOffset, head.grantedAtMs));
      }
      state.#batch = { ...head, items };
    }
    for (let left = reader.count(4); left > 0; left--) {
      const offset = state.#committedOffset + reader.varint();
      const attempts = reader.varint();
      const firstAtMs = reader.varint();
      state.#counts.set(offset, { attempts, firstAtMs, lastAtMs: firstAtMs + reader.varint() });
    }
    for (let left = reader.count(1); left > 0; left--)
      state.#buried.add(state.#committedOffset + reader.varint());
    return state;
  }

  #item(offset: number): Item | undefined {
    return this.#batch?.items.find((item) => item.offset === offset);
  }

  #repeats(attemptId: string | null): boolean {
    return attemptId !== null && attemptId === this.#batch?.attemptId;
  }

  /** The time at which the last message without an ack becomes visible; -1 when nothing is out. */
  #blockedUntilMs(): number {
    let untilMs = -1;
    for (const item of this.#batch?.items ?? []) {
      if (!item.acked) untilMs = Math.max(untilMs, item.visibleAtMs);
    }
    return untilMs;
  }

  #nextAttempt(offset: number, repeats: boolean): number {
    const item = this.#item(offset);
    if (item !== undefined) return item.attempt + (repeats || item.suspended ? 0 : 1);
    return (this.#counts.get(offset)?.attempts ?? 0) + 1;
  }

  /** The leading messages whose attempts are used up, without those that were acknowledged. */
  #exhausted(maxAttempts: number, countMax: number): number[] {
    const exhausted: number[] = [];
    const batchEnd = this.#batch?.endOffset ?? 0;
    for (let offset = this.#committedOffset; exhausted.length < countMax; offset++) {
      const item = this.#item(offset);
      // The filter passed over it when the batch was made.
      if (this.#buried.has(offset) || (item === undefined && offset < batchEnd)) continue;
      if (item === undefined && !this.#counts.has(offset)) break;
      if (this.#nextAttempt(offset, false) <= maxAttempts) break;
      if (item?.acked !== true) exhausted.push(offset);
    }
    return exhausted;
  }

  /** Attempt counts to keep beside a new batch that ends at `endOffset`, ascending. */
  #countsBehind(endOffset: number): Map<number, DeliveryHistory> {
    const counts = new Map<number, DeliveryHistory>();
    const lastAtMs = this.#batch?.grantedAtMs ?? 0;
    for (const { offset, attempt, suspended, firstAtMs } of this.#batch?.items ?? []) {
      if (offset < endOffset) continue;
      counts.set(offset, { attempts: suspended ? attempt - 1 : attempt, firstAtMs, lastAtMs });
    }
    for (const [offset, history] of this.#counts) {
      if (offset >= endOffset) counts.set(offset, history);
    }
    return new Map([...counts].sort(([a], [b]) => a - b));
  }

  /** Acknowledged messages that a new batch leaves out, as their attempts are used up. */
  #buryPassedOver(items: readonly Item[], endOffset: number): void {
    const again = new Set(items.map((item) => item.offset));
    for (const { acked, offset } of this.#batch?.items ?? []) {
      if (acked && offset < endOffset && !again.has(offset)) this.#buried.add(offset);
    }
  }

  #advance(batch: Batch): void {
    const open = batch.items.find((item) => !item.acked);
    this.#commit(open?.offset ?? batch.endOffset);
    if (open === undefined) this.#batch = null;
  }

  #commit(offset: number): void {
    this.#committedOffset = offset;
    for (const buried of this.#buried) if (buried < offset) this.#buried.delete(buried);
  }
}

function readBatchFlags(reader: BinaryReader): Pick<Batch, 'autoRenew' | 'known'> {
  const flags = reader.byte();
  if (flags > 3) reader.fail(`has batch flags ${flags}`);
  return { autoRenew: (flags & 1) !== 0, known: (flags & 2) !== 0 };
}

function readItem(reader: BinaryReader, committedOffset: number, grantedAtMs: number): Item {
  const offset = committedOffset + reader.varint();
  const attempt = reader.varint();
  const flags = reader.byte();
  if (flags > 7) reader.fail(`has item flags ${flags}`);
  const visibleAtMs = reader.varint();
  const changed = (flags & 2) !== 0;
  return {
    offset,
    attempt,
    firstAtMs: grantedAtMs - reader.varint(),
    acked: (flags & 1) !== 0,
    visibleAtMs,
    changed,
    suspended: (flags & 4) !== 0,
  };
}
