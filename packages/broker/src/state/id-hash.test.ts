import { describe, expect, test } from '@jest/globals';
import { IdHash, nameSalt } from './id-hash.js';

const seed = Buffer.from('0123456789abcdef', 'hex');

function hashOfText(text: string, salt = 5, of = new IdHash(seed)): string {
  of.ofText(salt, text);
  return `${of.high}/${of.low}`;
}

describe('IdHash', () => {
  test.each([
    '',
    'a',
    'abc',
    'abcd',
    '0123456789ABCDEF0123456789ABCDEF01',
    'ü',
    'abcdefgh€',
    '𐍈 id',
  ])('gives a text and its bytes the same hash: %j', (text) => {
    const hash = new IdHash(seed);
    const bytes = Buffer.from(`..${text}..`);
    hash.ofBytes(5, bytes, 2, bytes.length - 2);
    expect(`${hash.high}/${hash.low}`).toBe(hashOfText(text));
    expect(hash.high).toBe(hash.high >>> 0);
    expect(hash.low).toBe(hash.low >>> 0);
  });

  test('tells ids, salts and seeds apart', () => {
    const other = new IdHash(Buffer.from('fedcba9876543210', 'hex'));
    const hashes = [
      hashOfText('id'),
      hashOfText('di'),
      hashOfText('id\0'),
      hashOfText('id', nameSalt('topic')),
      hashOfText('id', 5, other),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(nameSalt('a%b')).not.toBe(nameSalt('b%a'));
  });

  test('spreads ids that differ in their last characters', () => {
    const hash = new IdHash(seed);
    const whole = new Set<number>();
    const highs = new Uint32Array(64);
    const lows = new Uint32Array(64);
    const count = 64_000;
    for (let i = 0; i < count; i++) {
      hash.ofText(1, `01AABBCCDDEEFF0A1B2C3D4E5F${i.toString(16).toUpperCase().padStart(8, '0')}`);
      whole.add(hash.high * 2 ** 20 + (hash.low & 0xfffff));
      highs[hash.high & 63]!++;
      lows[hash.low & 63]!++;
    }
    expect(whole.size).toBe(count);
    for (const counts of [highs, lows]) {
      // 1000 in each on average, with a deviation of 32.
      expect(Math.min(...counts)).toBeGreaterThan(800);
      expect(Math.max(...counts)).toBeLessThan(1200);
    }
  });
});
