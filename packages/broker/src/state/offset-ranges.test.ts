import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { BinaryReader, BinaryWriter } from '../pop/binary.js';
import { OffsetRanges } from './offset-ranges.js';

describe('a set of offsets', () => {
  test.each([1, 2, 3])('seed %i: the same as a plain set, in few ranges', (seed) => {
    const prng = createPrng(seed);
    const plain = new Set<number>();
    const everyOffset = Array.from({ length: 202 }, (_, at) => at);
    let ranges = new OffsetRanges();
    for (let i = 0; i < 400; i++) {
      const offset = prng.integer(0, 200);
      plain.add(offset);
      ranges.add(offset);
      if (prng.chance(0.1)) {
        const writer = new BinaryWriter();
        ranges.write(writer);
        const bytes = writer.finish();
        ranges = new OffsetRanges();
        ranges.read(new BinaryReader(bytes, 0, bytes.length, 'test'));
      }
      // One `expect` for all: each costs as much as a hundred of these look-ups.
      expect(everyOffset.filter((at) => ranges.has(at) !== plain.has(at))).toEqual([]);
    }
    const starts = [...plain].filter((offset) => !plain.has(offset - 1)).length;
    expect(ranges.rangeCount).toBe(starts);
  });

  test('full: no new gap, but gaps may be closed', () => {
    const ranges = new OffsetRanges();
    for (let i = 0; i < 10_000; i++) ranges.add(i * 3);
    expect(ranges.full(40_000)).toBe(true);
    expect(ranges.full(3)).toBe(false);
    expect(ranges.full(4)).toBe(false);
    expect(ranges.full(5)).toBe(false);
    ranges.add(1);
    ranges.add(2);
    expect(ranges.rangeCount).toBe(9_999);
    expect(ranges.full(40_000)).toBe(false);
  });
});
