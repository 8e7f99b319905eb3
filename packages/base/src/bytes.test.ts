import { describe, expect, test } from '@jest/globals';
import { crc32, readInt64, varintSizeBytes, writeInt64, writeVarint } from './bytes.js';
import { createPrng } from './prng.js';

describe('64-bit integers', () => {
  const values = [
    0,
    1,
    -1,
    255,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    -(2 ** 32) - 1,
    2 ** 53 - 1,
    -(2 ** 53) + 1,
  ];
  test.each(values)('%d survives, in the layout of writeBigInt64BE', (value) => {
    const buffer = Buffer.alloc(8);
    expect(writeInt64(buffer, value, 0)).toBe(8);
    expect(buffer.readBigInt64BE(0)).toBe(BigInt(value));
    expect(readInt64(buffer, 0)).toBe(value);
  });

  test.each([2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n])(
    '%d is refused: a double cannot hold it',
    (value) => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigInt64BE(value);
      expect(() => readInt64(buffer, 0)).toThrow('2^53');
    },
  );
});

test('varints have the bytes that protobuf says', () => {
  const cases: [number, string][] = [
    [0, '00'],
    [127, '7f'],
    [128, '8001'],
    [300, 'ac02'],
    [2 ** 32, '8080808010'],
    [2 ** 53 - 1, 'ffffffffffffff0f'],
  ];
  for (const [value, hex] of cases) {
    const buffer = Buffer.alloc(10);
    const end = writeVarint(buffer, value, 0);
    expect(buffer.subarray(0, end).toString('hex')).toBe(hex);
    expect(varintSizeBytes(value)).toBe(end);
  }
});

test('crc32 is the IEEE one', () => {
  expect(crc32(Buffer.from('Hello')) & 0x7fffffff).toBe(2010220930);
});

describe('createPrng', () => {
  test('same seed, same draws; another seed, others', () => {
    const draw = (seed: number): number[] => {
      const random = createPrng(seed);
      return Array.from({ length: 20 }, () => random.next());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
    expect(draw(7)).not.toEqual(draw(7 + 2 ** 32));
  });

  test('a fork is independent of later draws of its parent', () => {
    const a = createPrng(1);
    const b = createPrng(1);
    b.next();
    expect(a.fork('net').next()).toBe(b.fork('net').next());
    expect(a.fork('net').next()).not.toBe(a.fork('disk').next());
  });

  test('integers cover their range evenly', () => {
    const random = createPrng(3);
    const counts = [0, 0, 0, 0, 0];
    for (let i = 0; i < 5000; i++) counts[random.integer(2, 6) - 2]!++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
