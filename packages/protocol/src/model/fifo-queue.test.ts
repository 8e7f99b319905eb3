import { describe, expect, test } from '@jest/globals';
import { fifoQueueIndex, javaStringHashCode, jumpConsistentHash } from './fifo-queue.js';

describe('javaStringHashCode', () => {
  test.each([
    ['', 0],
    ['TagA', 2_598_919],
    ['polygenelubricants', -2_147_483_648],
    ['ü', 252],
    ['😀', 1_772_899],
  ])('%j', (text, hash) => expect(javaStringHashCode(text)).toBe(hash));
});

describe('jumpConsistentHash', () => {
  // Values that Guava's Hashing.consistentHash(long, int) documents in its own tests.
  test.each([
    [10863919174838991n, 11, 6],
    [2016238256797177309n, 11, 3],
    [1673758223894951030n, 11, 5],
    [2n, 100001, 80343],
    [2201n, 100001, 22152],
    [2202n, 100001, 15018],
  ])('%d over %d', (key, buckets, expected) =>
    expect(jumpConsistentHash(key, buckets)).toBe(expected),
  );

  test('a new bucket only takes keys, it never shuffles the others', () => {
    for (let key = -500n; key < 500n; key++) {
      let before = jumpConsistentHash(key, 1);
      expect(before).toBe(0);
      for (let buckets = 2; buckets < 20; buckets++) {
        const now = jumpConsistentHash(key, buckets);
        if (now !== before) expect(now).toBe(buckets - 1);
        before = now;
      }
    }
  });

  test('refuses no buckets', () =>
    expect(() => jumpConsistentHash(1n, 0)).toThrow(/at least one bucket/));
});

test('groups spread over all queues', () => {
  const used = new Set<number>();
  for (let i = 0; i < 200; i++) used.add(fifoQueueIndex(`order-${i}`, 8));
  expect([...used].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(fifoQueueIndex('anything', 1)).toBe(0);
});
