import { expect, test } from '@jest/globals';
import { MemoryKvEngine } from '../kv/memory-engine.js';
import { type KvBatch } from '../ports.js';
import { KvStateStore } from './kv-state-store.js';

/** Notes the batches, and dies before the one with a given number. */
class WatchedEngine extends MemoryKvEngine {
  readonly batches: KvBatch[] = [];
  diesAt = Infinity;

  override async write(batch: KvBatch): Promise<void> {
    if (this.batches.length >= this.diesAt) throw new Error('the process died');
    this.batches.push(batch);
    await super.write(batch);
  }
}

const none = { puts: new Map<string, Buffer>(), deletes: new Set<string>() };
const key = (i: number): string => `timer/${String(i).padStart(6, '0')}`;

function rows(from: number, end: number): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let i = from; i < end; i++) found.set(key(i), Buffer.from(`row ${i}`));
  return found;
}

test('many cold rows are saved in small batches, the applied index with the last one', async () => {
  const kv = new WatchedEngine();
  const store = new KvStateStore(kv);
  const hot = { puts: new Map([['topic/T', Buffer.from('t')]]), deletes: new Set<string>() };
  await store.save(7, hot, { puts: rows(0, 3_000), deletes: new Set() });
  for (const { puts, deletes } of kv.batches)
    expect(puts.length + deletes.length).toBeLessThanOrEqual(512);
  expect((await store.load()).appliedIndex).toBe(7);
  await store.save(8, none, { puts: rows(3_000, 3_001), deletes: new Set(rows(0, 2_000).keys()) });
  const left = await store.coldRange('timer/', 'timer/~', 10_000);
  expect(left.map((row) => row.key)).toEqual([...rows(2_000, 3_001).keys()]);
  expect(await store.coldGet(key(3_000))).toEqual(Buffer.from('row 3000'));
});

test('a save that dies half-way leaves the old index and rows, and can be done again', async () => {
  const kv = new WatchedEngine();
  const store = new KvStateStore(kv);
  await store.save(1, none, { puts: rows(0, 10), deletes: new Set() });
  kv.diesAt = 3;
  const hot = { puts: new Map([['topic/T', Buffer.from('t')]]), deletes: new Set<string>() };
  const change = { puts: rows(10, 2_000), deletes: new Set(rows(0, 10).keys()) };
  await expect(store.save(2, hot, change)).rejects.toThrow('died');
  const between = await store.load();
  expect(between.appliedIndex).toBe(1);
  expect(between.rows.size).toBe(0);
  kv.diesAt = Infinity;
  await store.save(2, hot, change);
  const left = await store.coldRange('timer/', 'timer/~', 10_000);
  expect(left.map((row) => row.key)).toEqual([...rows(10, 2_000).keys()]);
  expect((await store.load()).appliedIndex).toBe(2);
});
