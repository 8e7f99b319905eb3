import { beforeEach, expect, test } from '@jest/globals';
import { type ColdRow } from '@raftmq/broker-store';
import { ColdRows } from '../state/cold-rows.js';
import { MemoryStateStore, settle } from '../testing/single-node.js';
import { timerKey, TimersRow, type PutTimerNews } from '../state/timers-row.js';
import { TimerWindow } from './timer-window.js';

const NOW_MS = 1_000_000;

/** Answers when the test says so, with the rows there were when it was asked. */
class GatedStore extends MemoryStateStore {
  readonly gates: (() => void)[] = [];
  gated = false;

  override async coldRange(
    ...range: Parameters<MemoryStateStore['coldRange']>
  ): Promise<readonly ColdRow[]> {
    const rows = await super.coldRange(...range);
    if (this.gated) await new Promise<void>((resolve) => this.gates.push(resolve));
    return rows;
  }

  async answer(): Promise<void> {
    this.gated = false;
    for (const open of this.gates.splice(0)) open();
    await settle();
  }
}

let store: GatedStore;
let timers: TimersRow;
let cold: ColdRows;
let window: TimerWindow;
beforeEach(() => {
  store = new GatedStore();
  timers = new TimersRow();
  cold = new ColdRows(store, () => undefined);
  window = new TimerWindow({ cold, timers, countMax: 64, bytesMax: 16 * 1024 * 1024 });
});

/** As apply does it; the window hears of it unless told otherwise. */
function put(dueMs: number, heard = true): PutTimerNews {
  const timer = { dueMs, id: ++timers.lastId, record: Buffer.alloc(100, 1) };
  timers.pending++;
  cold.put(timerKey(dueMs, timer.id), timer.record);
  if (heard) window.put(timer);
  return timer;
}

function over({ dueMs, id }: PutTimerNews): void {
  timers.over(id);
  cold.delete(timerKey(dueMs, id));
  window.over(id);
}

async function cover(nowMs = NOW_MS): Promise<void> {
  for (let load = window.cover(nowMs); load !== null; load = window.cover(nowMs)) await load;
}

/** Claims everything that is due by then, in order. */
function due(byMs: number): number[] {
  const ids: number[] = [];
  for (let timer = window.claimDue(byMs); timer !== null; timer = window.claimDue(byMs))
    ids.push(timer.id);
  return ids;
}

test('what is due soon is loaded, what comes later is not', async () => {
  for (const delayMs of [4_000, 1_000, 2_000, 2_000, 60_000]) put(NOW_MS + delayMs, false);
  await cover();
  expect(window.size).toBe(4);
  expect(window.nextDueMs).toBe(NOW_MS + 1_000);
  expect(due(NOW_MS + 10_000)).toEqual([2, 3, 4, 1]);
});

test('a timer that is over while it is loaded does not come back', async () => {
  const timer = put(NOW_MS + 1_000, false);
  put(NOW_MS + 2_000, false);
  await store.save(1, { puts: new Map(), deletes: new Set() }, cold.capture());
  cold.saved();
  store.gated = true;
  const load = window.cover(NOW_MS);
  await settle();
  const claimed = window.claim(timer);
  expect(claimed).not.toBeNull();
  over(timer);
  await store.answer();
  await load;
  await cover();
  expect(due(NOW_MS + 10_000)).toEqual([2]);
});

test('a timer that is put while others are loaded is not passed over', async () => {
  put(NOW_MS + 1_000, false);
  store.gated = true;
  const load = window.cover(NOW_MS);
  await settle();
  put(NOW_MS + 500);
  put(NOW_MS + 1_500);
  await store.answer();
  await load;
  await cover();
  expect(due(NOW_MS + 10_000)).toEqual([2, 1, 3]);
});

test('a name that was claimed before its timer was loaded is a timer when it is released', async () => {
  const timer = put(NOW_MS + 1_000, false);
  const claimed = window.claim(timer)!;
  await cover();
  expect(due(NOW_MS + 10_000)).toEqual([]);
  expect(window.claim(timer)).toBeNull();
  window.release(claimed);
  expect(due(NOW_MS + 10_000)).toEqual([1]);
});

test('a name without a timer leaves nothing behind', async () => {
  const claimed = window.claim({ dueMs: NOW_MS, id: 77 })!;
  await cover();
  window.release(claimed);
  expect(window.size).toBe(0);
});

test('a timer that is released while others are loaded is not passed over', async () => {
  await cover();
  const first = put(NOW_MS + 4_000);
  const claimed = window.claim(first)!;
  // So many come before it that the end moves back.
  for (let i = 0; i < 65; i++) put(NOW_MS + 1_000);
  const early = due(NOW_MS + 1_000);
  for (const id of early) over({ dueMs: NOW_MS + 1_000, id, record: Buffer.alloc(0) });
  store.gated = true;
  const load = window.cover(NOW_MS);
  expect(load).not.toBeNull();
  await settle();
  window.release(claimed);
  await store.answer();
  await load;
  await cover(NOW_MS + 4_000);
  expect(due(NOW_MS + 10_000)).toContain(first.id);
});

test('memory stays within its bounds, and nothing is lost by that', async () => {
  await cover();
  const ids: number[] = [];
  for (let i = 0; i < 500; i++) ids.push(put(NOW_MS + 4_000 - i).id);
  expect(window.size).toBeLessThanOrEqual(64);
  const seen: number[] = [];
  while (seen.length < 500) {
    await cover(NOW_MS + 4_000);
    expect(window.size).toBeLessThanOrEqual(64);
    const some = due(NOW_MS + 4_000);
    expect(some.length).toBeGreaterThan(0);
    for (const id of some) over({ dueMs: NOW_MS + 4_001 - id, id, record: Buffer.alloc(0) });
    seen.push(...some);
  }
  expect(seen).toEqual(ids.reverse());
});

test('large messages count by their bytes', async () => {
  window = new TimerWindow({ cold, timers, countMax: 64, bytesMax: 1_000 });
  for (let i = 0; i < 40; i++) put(NOW_MS + 1_000 + i, false);
  const seen: number[] = [];
  while (seen.length < 40) {
    await cover();
    expect(window.bytes).toBeLessThanOrEqual(1_000);
    const some = due(NOW_MS + 4_000);
    for (const id of some) over({ dueMs: NOW_MS + 999 + id, id, record: Buffer.alloc(0) });
    seen.push(...some);
  }
  expect(seen).toHaveLength(40);
});

test('what a reset interrupts does not count', async () => {
  put(NOW_MS + 1_000, false);
  store.gated = true;
  const load = window.cover(NOW_MS);
  await settle();
  window.reset();
  await store.answer();
  await load;
  expect(window.size).toBe(0);
  await cover();
  expect(due(NOW_MS + 10_000)).toEqual([1]);
});
