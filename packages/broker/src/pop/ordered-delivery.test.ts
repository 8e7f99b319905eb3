import { beforeEach, describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { type DeliveryGrant } from './delivery.js';
import { OrderedDelivery } from './ordered-delivery.js';
import { readDeliveryRow, writeDeliveryRow } from './rows.js';

const T0 = 1_000_000;
let state: OrderedDelivery;
let lastLeaseId = 0;
const sequence = { take: () => ++lastLeaseId };

beforeEach(() => {
  state = new OrderedDelivery();
  lastLeaseId = 0;
});

function deliver(
  offsets: readonly number[],
  nowMs: number,
  attemptId: string | null = null,
  endOffset = 0,
): DeliveryGrant {
  const runs = offsets.map((fromOffset) => ({ fromOffset, count: 1, dropped: false }));
  const order = {
    runs,
    endOffset,
    clientId: 'c',
    autoRenew: false,
    invisibleMs: 10_000,
    attemptId,
  };
  return state.deliver(order, sequence, nowMs);
}

function plan(nowMs: number, attemptId: string | null = null, maxAttempts = 3, batchSize = 8) {
  return state.plan({ nowMs, batchSize, attemptId, maxAttempts, openMax: 100 });
}

describe('ordered delivery', () => {
  test('a batch blocks until its last ack', () => {
    const { leaseId } = deliver([0, 1, 2], T0);
    expect(plan(T0)).toMatchObject({ newMax: 0, retries: [], lookAgainAtMs: T0 + 10_000 });
    expect(state.ack(0, leaseId)).toBe('done');
    expect(state.committedOffset).toBe(1);
    expect(state.ack(2, leaseId)).toBe('done');
    expect(state.committedOffset).toBe(1);
    expect(state.ack(1, leaseId)).toBe('done');
    expect(state.committedOffset).toBe(3);
    expect(plan(T0)).toMatchObject({ newMax: 8, newFromOffset: 3 });
    expect(state.quiet).toBe(true);
  });

  test('a delivery while the queue is blocked grants nothing and keeps the batch', () => {
    const { leaseId } = deliver([0], T0);
    expect(deliver([0, 1], T0 + 1).offsets).toEqual([]);
    expect(state.ack(0, leaseId)).toBe('done');
  });

  test('a dead letter in the middle of a batch never comes again', () => {
    const first = deliver([0, 1, 2, 3], T0, 'try');
    expect(state.complete(1)).toBe('done');
    expect(state.isConsumed(1)).toBe(true);
    expect(state.committedOffset).toBe(0);
    expect(plan(T0 + 1, 'try').retries).toEqual([0, 2, 3]);
    // A command that was planned before the move.
    expect(deliver([0, 1, 2, 3], T0 + 20_000).offsets).toEqual([0, 2, 3]);
    expect(state.admission(1, 3)).toBe('skip');
    expect(state.ack(1, first.leaseId)).toBe('done');
    expect(state.check(1, first.leaseId)).toBe('done');
    // It outlives a smaller batch, and a checkpoint.
    const { leaseId } = deliver([0], T0 + 40_000, null, 1);
    expect(state.complete(1)).toBe('done');
    state = readDeliveryRow(writeDeliveryRow(state), 'row') as OrderedDelivery;
    expect(state.admission(1, 3)).toBe('skip');
    expect(state.ack(0, leaseId)).toBe('done');
    expect(state.quiet).toBe(false);
    const { leaseId: last } = deliver([2, 3], T0 + 41_000);
    state.ack(2, last);
    state.ack(3, last);
    expect(state.quiet).toBe(true);
    expect(state.committedOffset).toBe(4);
  });

  test('an acknowledged message without an attempt left never comes again', () => {
    deliver([0, 1, 2], T0);
    const { leaseId } = deliver([0, 1, 2], T0 + 20_000);
    state.ack(1, leaseId);
    state.ack(2, leaseId);
    expect([0, 1, 2].map((offset) => state.admission(offset, 2))).toEqual(['stop', 'skip', 'skip']);
    // Set aside, so that it may come once more; the others are passed over.
    state.changeInvisible([0], leaseId, T0 + 21_000, true, sequence);
    expect(deliver([0], T0 + 22_000, null, 3)).toMatchObject({ offsets: [0], attempts: [2] });
    expect([1, 2].map((offset) => state.admission(offset, 2))).toEqual(['skip', 'skip']);
    expect(deliver([0, 1, 2], T0 + 40_000)).toMatchObject({ offsets: [0], attempts: [3] });
  });

  test('an order that comes late hands nothing out past the last attempt', () => {
    const order = (offsets: readonly number[], nowMs: number): DeliveryGrant => {
      const runs = offsets.map((fromOffset) => ({ fromOffset, count: 1, dropped: false }));
      const rest = {
        endOffset: offsets.at(-1)! + 1,
        clientId: 'c',
        autoRenew: false,
        attemptId: null,
      };
      return state.deliver({ runs, ...rest, invisibleMs: 1_000 }, sequence, nowMs, 2);
    };
    order([0], T0);
    state.complete(0);
    expect(order([1, 2], T0)).toMatchObject({ offsets: [1, 2] });
    expect(order([1, 2, 3], T0 + 5_000)).toMatchObject({ offsets: [1, 2, 3], attempts: [2, 2, 1] });
    const row = writeDeliveryRow(state);
    expect(order([1, 2, 3], T0 + 10_000)).toMatchObject({ offsets: [] });
    expect(writeDeliveryRow(state)).toEqual(row);
    state.complete(1);
    state.complete(2);
    // A message behind the batch that is exhausted ends it.
    expect(order([3], T0 + 10_000)).toMatchObject({ offsets: [3], attempts: [2] });
    expect(state.committedOffset).toBe(3);
  });

  test('passed-over messages behind the batch are consumed with it', () => {
    const { leaseId } = deliver([0, 3], T0, null, 6);
    state.ack(0, leaseId);
    expect(state.committedOffset).toBe(3);
    state.ack(3, leaseId);
    expect(state.committedOffset).toBe(6);
  });

  test('the same attempt repeats the batch; handles of the first answer have no effect', () => {
    const first = deliver([0, 1], T0, 'x');
    expect(plan(T0 + 1, 'x').retries).toEqual([0, 1]);
    const second = deliver([0, 1], T0 + 1, 'x');
    expect(second.attempts).toEqual([1, 1]);
    expect(state.ack(0, first.leaseId)).toBe('ignored');
    expect(state.committedOffset).toBe(0);
    expect(state.ack(0, second.leaseId)).toBe('done');
    expect(plan(T0 + 2, 'x').retries).toEqual([1]);
  });

  test('a message moved in time by hand blocks until then, shorter or longer', () => {
    const { leaseId } = deliver([0, 1], T0);
    state.ack(1, leaseId);
    const sooner = state.changeInvisible([0], leaseId, T0 + 100, false, sequence);
    expect(sooner.outcome).toBe('done');
    expect(sooner.leaseId).not.toBe(leaseId);
    expect(plan(T0 + 99).lookAgainAtMs).toBe(T0 + 100);
    expect(plan(T0 + 100).newMax).toBe(8);
    expect(state.ack(0, sooner.leaseId)).toBe('done');
    expect(state.changeInvisible([0], leaseId, T0, false, sequence).outcome).toBe('ignored');
  });

  test('counts outlive a smaller batch', () => {
    deliver([0, 1, 2], T0);
    expect(deliver([0], T0 + 10_000).attempts).toEqual([2]);
    const { leaseId, attempts } = deliver([0, 1], T0 + 20_000);
    expect(attempts).toEqual([3, 2]);
    state.ack(0, leaseId);
    state.ack(1, leaseId);
    expect(deliver([2, 3], T0 + 30_000).attempts).toEqual([2, 1]);
  });

  test('skipping counts as acknowledging what lies below', () => {
    const { leaseId } = deliver([0, 1, 3], T0, null, 6);
    state.skipTo(1);
    expect(state.committedOffset).toBe(1);
    // 2 was passed over with the batch.
    state.skipTo(2);
    expect(state.committedOffset).toBe(3);
    expect(plan(T0).newMax).toBe(0);
    expect(state.ack(0, leaseId)).toBe('done');
    state.skipTo(1);
    expect(state.committedOffset).toBe(3);
    state.skipTo(4);
    expect(state.committedOffset).toBe(6);
    expect(state.quiet).toBe(true);
    state.skipTo(9);
    expect(plan(T0)).toMatchObject({ newMax: 8, newFromOffset: 9 });
  });

  test('skipping forgets counts below it, and keeps those above', () => {
    deliver([0, 1, 2], T0);
    deliver([0], T0 + 10_000);
    state.skipTo(2);
    expect(state.history(1)).toBeNull();
    expect(state.history(2)).toEqual({ attempts: 1, firstAtMs: T0, lastAtMs: T0 });
    expect(deliver([2], T0 + 20_000).attempts).toEqual([2]);
    expect(state.history(2)).toEqual({ attempts: 2, firstAtMs: T0, lastAtMs: T0 + 20_000 });
  });

  test('messages whose attempts are used up are named first, without acknowledged ones', () => {
    for (let round = 0; round < 3; round++) deliver([0, 1, 2], T0 + round * 10_000);
    state.ack(1, lastLeaseId);
    const later = T0 + 40_000;
    expect(plan(later)).toMatchObject({ exhausted: [0, 2], newMax: 0 });
    expect(state.complete(0)).toBe('done');
    expect(state.complete(2)).toBe('done');
    expect(state.committedOffset).toBe(3);
    expect(plan(later)).toMatchObject({ exhausted: [], newMax: 8, newFromOffset: 3 });
  });

  test('a used-up message behind a good one ends the batch before it', () => {
    deliver([1], T0, null, 2);
    expect(state.admission(1, 1)).toBe('stop');
    expect(state.admission(2, 1)).toBe('deliver');
  });

  test.each([1, 2, 3])(
    'seed %i: restoring at any time changes nothing, and order holds',
    (seed) => {
      const prng = createPrng(seed);
      let twin = new OrderedDelivery();
      let twinLeaseId = 0;
      const twinSequence = { take: () => ++twinLeaseId };
      const live: { offset: number; leaseId: number }[] = [];
      let nowMs = T0;
      let committed = 0;
      for (let i = 0; i < 2_000; i++) {
        nowMs += prng.integer(0, 3_000);
        if (prng.chance(0.3))
          twin = readDeliveryRow(writeDeliveryRow(twin), 'row') as OrderedDelivery;
        const attemptId = prng.pick(['a', 'b', null]);
        if (prng.chance(0.4)) {
          const planned = plan(nowMs, attemptId, 4, prng.integer(1, 5));
          expect(
            twin
              .plan({ nowMs, batchSize: 5, attemptId, maxAttempts: 4, openMax: 100 })
              .exhausted.slice(0, 1),
          ).toEqual(planned.exhausted.slice(0, 1));
          for (const offset of planned.exhausted) {
            expect(state.complete(offset)).toBe('done');
            expect(twin.complete(offset)).toBe('done');
          }
          const fresh = Array.from({ length: planned.newMax }, (_, n) => planned.newFromOffset + n);
          const offsets = planned.retries.length > 0 ? planned.retries : fresh;
          const runs = offsets.map((fromOffset) => ({ fromOffset, count: 1, dropped: false }));
          const order = {
            runs,
            endOffset: 0,
            clientId: 'c',
            autoRenew: false,
            invisibleMs: 5_000,
            attemptId,
          };
          const grant = state.deliver(order, sequence, nowMs);
          expect(twin.deliver(order, twinSequence, nowMs)).toEqual(grant);
          // Nothing is handed out before what lies in front of it is consumed.
          if (grant.offsets.length > 0) expect(grant.offsets[0]).toBe(state.committedOffset);
          for (const offset of grant.offsets) live.push({ offset, leaseId: grant.leaseId });
        } else if (prng.chance(0.05)) {
          const offset = committed + prng.integer(0, 4);
          state.skipTo(offset);
          twin.skipTo(offset);
          expect(state.committedOffset).toBeGreaterThanOrEqual(offset);
        } else if (live.length > 0) {
          const { offset, leaseId } = prng.pick(live.slice(-6));
          if (prng.chance(0.8)) expect(twin.ack(offset, leaseId)).toBe(state.ack(offset, leaseId));
          else {
            const at = nowMs + prng.integer(0, 9_000);
            const changed = state.changeInvisible([offset], leaseId, at, false, sequence);
            expect(twin.changeInvisible([offset], leaseId, at, false, twinSequence)).toEqual(
              changed,
            );
          }
        }
        expect(writeDeliveryRow(twin)).toEqual(writeDeliveryRow(state));
        expect(state.committedOffset).toBeGreaterThanOrEqual(committed);
        committed = state.committedOffset;
      }
      expect(committed).toBeGreaterThan(100);
    },
  );
});
