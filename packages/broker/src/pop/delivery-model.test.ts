import { describe, expect, test } from '@jest/globals';
import { createPrng, type Prng } from '@raftmq/base';
import { ConcurrentDelivery } from './concurrent-delivery.js';
import { readDeliveryRow, writeDeliveryRow } from './rows.js';

/** One message as a person would describe it: the dumb twin of the state under test. */
interface Message {
  state: 'new' | 'open' | 'done';
  attempt: number;
  visibleAtMs: number;
  suspended: boolean;
  firstAtMs: number;
  lastAtMs: number;
  /** Handles of the delivery that holds it. */
  handles: number[];
}

const MAX_ATTEMPTS = 4;

class World {
  readonly prng: Prng;
  readonly messages: Message[] = [];
  /** All handles ever given out, of which most are stale. */
  readonly handles: { offset: number; leaseId: number }[] = [];
  delivery = new ConcurrentDelivery();
  nowMs = 1_000_000;
  lastLeaseId = 0;
  readonly sequence = { take: () => ++this.lastLeaseId };

  constructor(seed: number) {
    this.prng = createPrng(seed);
  }

  step(): void {
    this.nowMs += this.prng.integer(0, 40);
    const draw = this.prng.next();
    if (draw < 0.2) this.produce();
    else if (draw < 0.5) this.receive();
    else if (draw < 0.8) this.ack();
    else if (draw < 0.88) this.change();
    else if (draw < 0.93) this.renew();
    else if (draw < 0.945) this.skip();
    else this.restore();
    this.compare();
  }

  produce(): void {
    for (let left = this.prng.integer(1, 8); left > 0; left--) {
      this.messages.push({
        state: 'new',
        attempt: 0,
        visibleAtMs: 0,
        suspended: false,
        firstAtMs: 0,
        lastAtMs: 0,
        handles: [],
      });
    }
  }

  receive(): void {
    const batchSize = this.prng.integer(1, 8);
    const openMax = 60;
    const plan = this.delivery.plan({
      nowMs: this.nowMs,
      batchSize,
      attemptId: null,
      maxAttempts: MAX_ATTEMPTS,
      openMax,
    });
    const open = this.messages.filter((m) => m.state === 'open');
    const due = open.filter((m) => m.visibleAtMs <= this.nowMs);
    const expectedNext = (m: Message) => m.attempt + (m.suspended ? 0 : 1);
    for (const offset of plan.retries)
      expect(expectedNext(this.messages[offset]!)).toBeLessThanOrEqual(MAX_ATTEMPTS);
    for (const offset of plan.exhausted)
      expect(expectedNext(this.messages[offset]!)).toBeGreaterThan(MAX_ATTEMPTS);
    expect(due.length > 0).toBe(plan.retries.length + plan.exhausted.length > 0);
    expect(plan.limited).toBe(open.length >= openMax);
    const waiting = open.filter((m) => m.visibleAtMs > this.nowMs);
    if (due.length === 0 && waiting.length > 0)
      expect(plan.lookAgainAtMs).toBe(Math.min(...waiting.map((m) => m.visibleAtMs)));
    for (const offset of plan.exhausted) {
      expect(this.delivery.complete(offset)).toBe('done');
      this.messages[offset]!.state = 'done';
    }
    this.deliver(plan.retries, plan.newFromOffset, Math.min(plan.newMax, batchSize));
  }

  deliver(retries: readonly number[], newFrom: number, newMax: number): void {
    const invisibleMs = this.prng.integer(10, 400);
    const runs = retries.map((offset) => ({
      fromOffset: offset,
      count: 1,
      dropped: this.prng.chance(0.1),
    }));
    // A message that is not due, because its time was moved since the plan was made, must be left out.
    if (this.prng.chance(0.3) && this.messages.length > 0) {
      const stray = this.prng.integer(0, this.messages.length - 1);
      if (this.messages[stray]!.state !== 'new' && !retries.includes(stray)) {
        runs.push({ fromOffset: stray, count: 1, dropped: this.prng.chance(0.5) });
      }
    }
    let offset = newFrom;
    for (let left = newMax; left > 0 && offset < this.messages.length; left--, offset++) {
      if (this.prng.chance(0.8)) runs.push({ fromOffset: offset, count: 1, dropped: false });
    }
    // Acks may slip in between the plan and the delivery.
    if (this.prng.chance(0.3)) this.ack();
    const order = { runs, endOffset: offset, clientId: 'c', autoRenew: this.prng.chance(0.5) };
    const grant = this.delivery.deliver(
      { ...order, invisibleMs, attemptId: null },
      this.sequence,
      this.nowMs,
    );
    const expected: number[] = [];
    for (const run of runs) {
      const message = this.messages[run.fromOffset]!;
      if (message.state === 'done') continue;
      if (message.state === 'open' && message.visibleAtMs > this.nowMs) continue;
      if (run.dropped) {
        message.state = 'done';
        continue;
      }
      expected.push(run.fromOffset);
      if (message.state === 'new') message.firstAtMs = this.nowMs;
      message.lastAtMs = this.nowMs;
      message.attempt += message.state === 'open' && message.suspended ? 0 : 1;
      message.state = 'open';
      message.suspended = false;
      message.visibleAtMs = this.nowMs + invisibleMs;
      message.handles = [grant.leaseId];
      this.handles.push({ offset: run.fromOffset, leaseId: grant.leaseId });
    }
    for (let skipped = newFrom; skipped < offset; skipped++) {
      if (this.messages[skipped]!.state === 'new') this.messages[skipped]!.state = 'done';
    }
    expect(grant.offsets).toEqual(expected);
    expect(grant.attempts).toEqual(expected.map((o) => this.messages[o]!.attempt));
  }

  ack(): void {
    if (this.handles.length === 0) return;
    const recent = this.prng.chance(0.8) ? 12 : this.handles.length;
    const from = Math.max(0, this.handles.length - recent);
    const { offset, leaseId } = this.handles[this.prng.integer(from, this.handles.length - 1)]!;
    const message = this.messages[offset]!;
    const valid = message.state === 'done' || message.handles.includes(leaseId);
    expect(this.delivery.ack(offset, leaseId)).toBe(valid ? 'done' : 'stale');
    if (valid) message.state = 'done';
  }

  change(): void {
    if (this.handles.length === 0) return;
    const { offset, leaseId } = this.prng.pick(this.handles.slice(-20));
    const message = this.messages[offset]!;
    const valid = message.state === 'open' && message.handles.includes(leaseId);
    const visibleAtMs = this.nowMs + this.prng.integer(0, 300);
    const suspend = this.prng.chance(0.3);
    const result = this.delivery.changeInvisible(
      [offset],
      leaseId,
      visibleAtMs,
      suspend,
      this.sequence,
    );
    expect(result.outcome).toBe(valid ? 'done' : 'stale');
    if (!valid) return;
    message.visibleAtMs = visibleAtMs;
    message.suspended = suspend;
    message.handles.push(result.leaseId);
    this.handles.push({ offset, leaseId: result.leaseId });
  }

  skip(): void {
    const offset = this.prng.integer(0, this.messages.length);
    this.delivery.skipTo(offset);
    for (const message of this.messages.slice(0, offset)) message.state = 'done';
  }

  renew(): void {
    const leases = [...this.delivery.renewable()];
    if (leases.length === 0) return;
    const lease = this.prng.pick(leases);
    const visibleAtMs = this.nowMs + 500;
    this.delivery.renew([lease.leaseId], visibleAtMs, this.prng.chance(0.2), this.prng.chance(0.3));
    for (const message of this.messages) {
      const newest = message.handles[message.handles.length - 1];
      if (message.state === 'open' && newest === lease.leaseId) message.visibleAtMs = visibleAtMs;
    }
  }

  restore(): void {
    const row = writeDeliveryRow(this.delivery);
    const restored = readDeliveryRow(row, 'row');
    expect(writeDeliveryRow(restored)).toEqual(row);
    this.delivery = restored as ConcurrentDelivery;
  }

  compare(): void {
    const firstOpen = this.messages.findIndex((m) => m.state !== 'done');
    const committed = firstOpen < 0 ? this.messages.length : firstOpen;
    const open = this.messages.filter((m) => m.state === 'open');
    // What was looked at, and what it has to be: an `expect` for each would take most of the test's time.
    const looked: unknown[] = [];
    const expected: unknown[] = [];
    for (let looks = Math.min(8, this.messages.length); looks > 0; looks--) {
      const offset = this.prng.integer(committed - 2, this.messages.length - 1);
      const message = this.messages[offset];
      const history =
        message?.state === 'open'
          ? { attempts: message.attempt, firstAtMs: message.firstAtMs, lastAtMs: message.lastAtMs }
          : null;
      looked.push(this.delivery.history(offset));
      expected.push(history);
    }
    const { committedOffset, openCount } = this.delivery;
    const earliestMs = this.delivery.earliestVisibleAtMs();
    expect({ committedOffset, openCount, earliestMs, looked }).toEqual({
      committedOffset: committed,
      openCount: open.length,
      earliestMs: Math.min(...open.map((m) => m.visibleAtMs), Infinity),
      looked: expected,
    });
  }
}

describe('concurrent delivery against one record per message', () => {
  test.each([1, 2, 3, 4, 5, 6])('seed %i: 2,000 random operations', (seed) => {
    const world = new World(seed);
    for (let left = 2_000; left > 0; left--) world.step();
    // Everything can be finished in the end.
    for (
      let round = 0;
      round < 100_000 && world.messages.some((m) => m.state !== 'done');
      round++
    ) {
      world.nowMs += 1_000;
      world.receive();
    }
    expect(world.messages.every((m) => m.state === 'done')).toBe(true);
    expect(world.delivery.quiet).toBe(true);
  });
});

test('a lease that is renewed no more is the same when its row is read again', () => {
  const delivery = new ConcurrentDelivery();
  const order = {
    runs: [{ fromOffset: 0, count: 1, dropped: false }],
    endOffset: 1,
    clientId: 'client',
    autoRenew: true,
    invisibleMs: 60_000,
    attemptId: 'attempt',
  };
  const { leaseId } = delivery.deliver(order, { take: () => 1 }, 1_000);
  delivery.renew([leaseId], 2_000, true, false);
  const row = writeDeliveryRow(delivery);
  expect(writeDeliveryRow(readDeliveryRow(row, 'row'))).toEqual(row);
});
