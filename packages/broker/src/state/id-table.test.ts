import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { IdTable } from './id-table.js';

interface Entry {
  readonly high: number;
  readonly low: number;
  readonly stamp: number;
  readonly extra: number;
  readonly value: number;
}

function found(table: IdTable, high: number, low: number): number[] {
  const values: number[] = [];
  for (let at = table.newest(high, low); at !== 0; at = table.earlier(at)) {
    const value = table.value(at);
    values.push(value);
    const [extra, stamp] = [table.extra(at), table.stamp(at)];
    // No `expect`, which would take most of the test's time.
    if (extra !== value % 1000 || stamp !== Math.floor(value / 7) >>> 0)
      throw new Error(`${value} is found with extra ${extra} and stamp ${stamp}`);
  }
  return values;
}

describe('IdTable', () => {
  test.each([1, 2, 3])('finds exactly its newest entries, newest first (seed %i)', (seed) => {
    const random = createPrng(seed);
    const capacity = random.pick([4, 16, 64]);
    const table = new IdTable(capacity);
    const all: Entry[] = [];
    for (let i = 0; i < 3000; i++) {
      // Few hashes: chains with strangers in them, and several entries of one hash.
      const high = random.integer(0, 3);
      const low = random.pick([0, 1, capacity * 2, capacity * 4, 0xffff_ffff]);
      const value = i + 2 ** 40;
      const entry = { high, low, stamp: Math.floor(value / 7), extra: value % 1000, value };
      table.add(high, low, entry.stamp, entry.extra, value);
      all.push({ ...entry });
      const held = all.slice(-capacity);
      const { size, isFull, oldestStamp, newestStamp } = table;
      expect({ size, isFull, oldestStamp, newestStamp }).toEqual({
        size: held.length,
        isFull: held.length === capacity,
        oldestStamp: held[0]!.stamp >>> 0,
        newestStamp: entry.stamp >>> 0,
      });
      for (const probe of [entry, { high: 9, low }]) {
        const expected = held.filter((e) => e.high === probe.high && e.low === probe.low);
        expect(found(table, probe.high, probe.low)).toEqual(expected.map((e) => e.value).reverse());
      }
    }
  });

  test('is copied in order', () => {
    const table = new IdTable(4);
    for (let i = 1; i <= 6; i++) table.add(1, 5, Math.floor(i / 7), i % 1000, i);
    const larger = new IdTable(16);
    table.copyTo(larger);
    expect(found(larger, 1, 5)).toEqual([6, 5, 4, 3]);
    larger.add(1, 5, 1, 7, 7);
    expect(found(larger, 1, 5)).toEqual([7, 6, 5, 4, 3]);
  });

  test('gives up on chains that somebody made long on purpose', () => {
    const table = new IdTable(1024);
    for (let i = 0; i < 1000; i++) table.add(i, 7, 0, 0, i);
    expect(table.newest(999, 7)).not.toBe(0);
    expect(table.newest(999 - 63, 7)).not.toBe(0);
    expect(table.newest(999 - 64, 7)).toBe(0);
  });
});
