import { assert } from '@raftmq/base';
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
import { DueQueue, type DueItem } from './due-queue.js';

/** Offsets handed out together, or moved together by a change of their invisible time. */
interface Lease extends DueItem {
  readonly id: number;
  /** Receipt handles from this id on belong to the same delivery: the first one, and those of later changes. */
  readonly firstId: number;
  readonly clientId: string;
  autoRenew: boolean;
  readonly grantedAtMs: number;
  renewals: number;
  known: boolean;
  /** Only while it is auto-renewed: others end soon. */
  attemptId: string | null;
  /** The next delivery does not count as one more attempt. */
  readonly suspended: boolean;
  /** May name offsets that have left the lease since. `dueMs` is the time at which they become visible. */
  readonly offsets: number[];
  openCount: number;
}

/** Shared by offsets of one lease with the same attempt and the same first delivery. */
interface Slot {
  readonly lease: Lease;
  readonly attempt: number;
  /** Time of attempt 1. */
  readonly firstAtMs: number;
}

/**
 * Delivery without order.
 *
 *   0 ........ committed .......... next ............ end of queue
 *    consumed  |  open or consumed  |  never handed out
 *
 * Only *open* offsets take memory: handed out and not acknowledged, whether their time is over or not. An offset below
 * `next` that is not open is consumed. A lease whose time is over changes nothing by itself: its offsets may be handed
 * out again, and until that happens a late ack still counts.
 */
export class ConcurrentDelivery implements DeliveryState {
  readonly kind = 'concurrent';
  readonly epoch: number;
  #nextOffset: number;
  /** Ascending: new offsets only ever come at the end, and redelivery replaces a value in its place. */
  readonly #open = new Map<number, Slot>();
  readonly #leases = new Map<number, Lease>();
  readonly #due = new DueQueue<Lease>();
  /** Walks over the keys of #open as the first ones go away, which makes the committed offset cheap. */
  #cursor: Iterator<number> | null = null;
  #firstOpen = -1;

  constructor(nextOffset = 0, epoch = 0) {
    this.#nextOffset = nextOffset;
    this.epoch = epoch;
  }

  get nextOffset(): number {
    return this.#nextOffset;
  }

  isConsumed(offset: number): boolean {
    return offset < this.#nextOffset && !this.#open.has(offset);
  }

  get openCount(): number {
    return this.#open.size;
  }

  get quiet(): boolean {
    return this.#open.size === 0;
  }

  get committedOffset(): number {
    if (this.#open.size === 0) return this.#nextOffset;
    while (!this.#open.has(this.#firstOpen)) {
      this.#cursor ??= this.#open.keys();
      const step = this.#cursor.next();
      if (step.done === true) this.#cursor = null;
      else this.#firstOpen = step.value;
    }
    return this.#firstOpen;
  }

  plan(request: PlanRequest): DeliveryPlan {
    const room = Math.max(0, request.openMax - this.#open.size);
    const retries: number[] = [];
    const exhausted: number[] = [];
    const looked: Lease[] = [];
    for (let lease = this.#due.peek(); lease !== undefined; lease = this.#due.peek()) {
      if (lease.dueMs > request.nowMs) break;
      if (retries.length >= request.batchSize || exhausted.length >= request.batchSize) break;
      looked.push(this.#due.pop()!);
      for (const offset of lease.offsets) {
        const slot = this.#open.get(offset);
        if (slot?.lease !== lease) continue;
        const list = nextAttempt(slot) > request.maxAttempts ? exhausted : retries;
        if (list.length < request.batchSize) list.push(offset);
      }
    }
    const lookAgainAtMs = this.#due.peek()?.dueMs ?? Infinity;
    for (const lease of looked) this.#due.push(lease);
    retries.sort((a, b) => a - b);
    return {
      retries,
      exhausted,
      newFromOffset: this.#nextOffset,
      newMax: Math.min(request.batchSize, room),
      lookAgainAtMs: Math.max(lookAgainAtMs, request.nowMs + 1),
      limited: room === 0,
    };
  }

  deliver(
    order: DeliveryOrder,
    sequence: LeaseSequence,
    nowMs: number,
    maxAttempts = Infinity,
  ): DeliveryGrant {
    const leaseId = sequence.take();
    const lease = newLease(leaseId, leaseId, order, nowMs, nowMs + order.invisibleMs, false);
    const attempts: number[] = [];
    let slot: Slot = { lease, attempt: 1, firstAtMs: nowMs };
    for (const run of order.runs) {
      for (let offset = run.fromOffset; offset < run.fromOffset + run.count; offset++) {
        if (offset >= this.#nextOffset) {
          if (run.dropped) continue;
          if (slot.attempt !== 1 || slot.firstAtMs !== nowMs)
            slot = { lease, attempt: 1, firstAtMs: nowMs };
          this.#nextOffset = offset + 1;
        } else {
          const before = this.#open.get(offset);
          // Acknowledged, or handed out again, while this command was on its way.
          if (before === undefined || before.lease.dueMs > nowMs) continue;
          if (!run.dropped && nextAttempt(before) > maxAttempts) continue;
          this.#leave(before.lease);
          if (run.dropped) {
            this.#open.delete(offset);
            continue;
          }
          const attempt = nextAttempt(before);
          const { firstAtMs } = before;
          if (slot.attempt !== attempt || slot.firstAtMs !== firstAtMs)
            slot = { lease, attempt, firstAtMs };
        }
        this.#open.set(offset, slot);
        lease.offsets.push(offset);
        attempts.push(slot.attempt);
      }
    }
    this.#nextOffset = Math.max(this.#nextOffset, order.endOffset);
    this.#keep(lease);
    return { leaseId, offsets: lease.offsets, attempts };
  }

  ack(offset: number, leaseId: number): DeliveryOutcome {
    const slot = this.#open.get(offset);
    if (slot === undefined) return offset < this.#nextOffset ? 'done' : 'stale';
    // Its handle is older than the delivery that holds it now.
    if (leaseId < slot.lease.firstId) return 'stale';
    slot.lease.known = true;
    this.#close(offset, slot);
    return 'done';
  }

  complete(offset: number): DeliveryOutcome {
    const slot = this.#open.get(offset);
    if (slot !== undefined) this.#close(offset, slot);
    return offset < this.#nextOffset ? 'done' : 'stale';
  }

  skipTo(offset: number): void {
    for (const [open, slot] of this.#open) {
      if (open >= offset) break;
      this.#close(open, slot);
    }
    this.#nextOffset = Math.max(this.#nextOffset, offset);
  }

  history(offset: number): DeliveryHistory | null {
    const slot = this.#open.get(offset);
    if (slot === undefined) return null;
    const { attempt: attempts, firstAtMs, lease } = slot;
    return { attempts, firstAtMs, lastAtMs: lease.grantedAtMs };
  }

  changeInvisible(
    offsets: readonly number[],
    leaseId: number,
    visibleAtMs: number,
    suspend: boolean,
    sequence: LeaseSequence,
  ): { readonly outcome: DeliveryOutcome; readonly leaseId: number } {
    let outcome: DeliveryOutcome = 'stale';
    let from = null as Lease | null;
    let to = null as Lease | null;
    let slot = null as Slot | null;
    for (const offset of offsets) {
      const before = this.#open.get(offset);
      if (before === undefined || leaseId < before.lease.firstId) continue;
      if (to === null || before.lease !== from) {
        if (to !== null) this.#keep(to);
        from = before.lease;
        const owner = { clientId: from.clientId, autoRenew: false, attemptId: null };
        to = newLease(sequence.take(), from.firstId, owner, from.grantedAtMs, visibleAtMs, suspend);
        slot = null;
      }
      const { attempt, firstAtMs } = before;
      if (slot?.attempt !== attempt || slot.firstAtMs !== firstAtMs)
        slot = { lease: to, attempt, firstAtMs };
      this.#open.set(offset, slot);
      this.#leave(before.lease);
      to.offsets.push(offset);
      outcome = 'done';
    }
    if (to !== null) this.#keep(to);
    return { outcome, leaseId: to?.id ?? leaseId };
  }

  check(offset: number, leaseId: number): DeliveryOutcome | 'open' {
    const slot = this.#open.get(offset);
    if (slot === undefined) return offset < this.#nextOffset ? 'done' : 'stale';
    return leaseId < slot.lease.firstId ? 'stale' : 'open';
  }

  renew(leaseIds: readonly number[], visibleAtMs: number, release: boolean, known: boolean): void {
    for (const id of leaseIds) {
      const lease = this.#leases.get(id);
      if (lease === undefined || !lease.autoRenew) continue;
      lease.renewals++;
      if (known) lease.known = true;
      if (release) {
        lease.autoRenew = false;
        lease.attemptId = null;
      }
      this.#due.move(lease, visibleAtMs);
    }
  }

  openOffsets(leaseId: number): readonly number[] {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) return [];
    return lease.offsets.filter((offset) => this.#open.get(offset)?.lease === lease);
  }

  *renewable(): Iterable<RenewableLease> {
    for (const lease of this.#leases.values()) {
      if (!lease.autoRenew) continue;
      const { id: leaseId, clientId, grantedAtMs, dueMs, renewals, known, attemptId } = lease;
      const attempt = this.#attemptOf(lease);
      const times = { grantedAtMs, visibleAtMs: dueMs, renewals };
      yield { leaseId, clientId, ...times, known, attemptId, attempt };
    }
  }

  earliestVisibleAtMs(): number {
    return this.#due.peek()?.dueMs ?? Infinity;
  }

  /**
   * Writes the row: epoch, next offset, the leases in the order in which open offsets name them, then runs of open offsets.
   *
   *   epoch, nextOffset, leaseCount, lease*, runCount, run*
   *   lease: id, id - firstId, clientId, flags (1 autoRenew, 2 suspended, 4 known, 8 attemptId follows), [attemptId],
   *          grantedAtMs, visibleAtMs, renewals
   *   run:   gap to the end of the run before, count, number of its lease, attempt, grantedAtMs - firstAtMs
   */
  write(writer: BinaryWriter): void {
    const leases = new Map<Lease, number>();
    const runs: { from: number; count: number; slot: Slot }[] = [];
    for (const [offset, slot] of this.#open) {
      if (!leases.has(slot.lease)) leases.set(slot.lease, leases.size);
      const run = runs[runs.length - 1];
      const follows = run !== undefined && offset === run.from + run.count;
      if (follows && sameSlot(run.slot, slot)) run.count++;
      else runs.push({ from: offset, count: 1, slot });
    }
    writer.varint(this.epoch);
    writer.varint(this.#nextOffset);
    writer.varint(leases.size);
    for (const lease of leases.keys()) writeLease(writer, lease);
    writer.varint(runs.length);
    let end = 0;
    for (const { from, count, slot } of runs) {
      writer.varint(from - end);
      writer.varint(count);
      writer.varint(leases.get(slot.lease)!);
      writer.varint(slot.attempt);
      writer.varint(slot.lease.grantedAtMs - slot.firstAtMs);
      end = from + count;
    }
  }

  /** Reads what {@link write} wrote. */
  static read(reader: BinaryReader): ConcurrentDelivery {
    const epoch = reader.varint();
    const state = new ConcurrentDelivery(reader.varint(), epoch);
    const leases: Lease[] = [];
    for (let left = reader.count(7); left > 0; left--) leases.push(readLease(reader));
    let offset = 0;
    for (let left = reader.count(5); left > 0; left--) {
      offset += reader.varint();
      const end = offset + reader.varint();
      if (end > state.#nextOffset) reader.fail('has an open offset that was never handed out');
      const lease = leases[reader.varint()];
      if (lease === undefined) reader.fail('names a lease it does not have');
      const attempt = reader.varint();
      const slot: Slot = { lease, attempt, firstAtMs: lease.grantedAtMs - reader.varint() };
      for (; offset < end; offset++) {
        state.#open.set(offset, slot);
        lease.offsets.push(offset);
      }
    }
    for (const lease of leases) state.#keep(lease);
    return state;
  }

  #attemptOf(lease: Lease): number {
    for (const offset of lease.offsets) {
      const slot = this.#open.get(offset);
      if (slot?.lease === lease) return slot.attempt;
    }
    return 1;
  }

  #keep(lease: Lease): void {
    if (lease.offsets.length === 0) return;
    assert(!this.#leases.has(lease.id), 'lease ids are never reused');
    lease.openCount = lease.offsets.length;
    this.#leases.set(lease.id, lease);
    this.#due.push(lease);
  }

  #close(offset: number, slot: Slot): void {
    this.#open.delete(offset);
    this.#leave(slot.lease);
  }

  #leave(lease: Lease): void {
    lease.openCount--;
    assert(lease.openCount >= 0, 'a lease loses an offset once');
    if (lease.openCount > 0) return;
    this.#leases.delete(lease.id);
    this.#due.remove(lease);
  }
}

function sameSlot(a: Slot, b: Slot): boolean {
  return a.lease === b.lease && a.attempt === b.attempt && a.firstAtMs === b.firstAtMs;
}

function nextAttempt(slot: Slot): number {
  return slot.lease.suspended ? slot.attempt : slot.attempt + 1;
}

function newLease(
  id: number,
  firstId: number,
  owner: Pick<DeliveryOrder, 'clientId' | 'autoRenew' | 'attemptId'>,
  grantedAtMs: number,
  visibleAtMs: number,
  suspended: boolean,
): Lease {
  return {
    id,
    firstId,
    clientId: owner.clientId,
    autoRenew: owner.autoRenew,
    grantedAtMs,
    renewals: 0,
    known: false,
    attemptId: owner.autoRenew ? owner.attemptId : null,
    suspended,
    offsets: [],
    openCount: 0,
    dueMs: visibleAtMs,
    heapIndex: -1,
  };
}

function writeLease(writer: BinaryWriter, lease: Lease): void {
  writer.varint(lease.id);
  writer.varint(lease.id - lease.firstId);
  writer.text(lease.clientId);
  const { autoRenew, suspended, known, attemptId } = lease;
  writer.byte(
    (autoRenew ? 1 : 0) | (suspended ? 2 : 0) | (known ? 4 : 0) | (attemptId !== null ? 8 : 0),
  );
  if (attemptId !== null) writer.text(attemptId);
  writer.varint(lease.grantedAtMs);
  writer.varint(lease.dueMs);
  writer.varint(lease.renewals);
}

function readLease(reader: BinaryReader): Lease {
  const id = reader.varint();
  const firstId = id - reader.varint();
  const clientId = reader.text();
  const flags = reader.byte();
  if (flags > 15) reader.fail(`has lease flags ${flags}`);
  const attemptId = (flags & 8) !== 0 ? reader.text() : null;
  const grantedAtMs = reader.varint();
  const visibleAtMs = reader.varint();
  const owner = { clientId, autoRenew: (flags & 1) !== 0, attemptId };
  const lease = newLease(id, firstId, owner, grantedAtMs, visibleAtMs, (flags & 2) !== 0);
  lease.known = (flags & 4) !== 0;
  lease.renewals = reader.varint();
  return lease;
}
