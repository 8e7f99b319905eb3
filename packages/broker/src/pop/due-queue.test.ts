import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { DueQueue, type DueItem } from './due-queue.js';

describe('the due queue', () => {
  test.each([1, 2, 3])('seed %i: agrees with a sorted list', (seed) => {
    const prng = createPrng(seed);
    const queue = new DueQueue<DueItem>();
    const items: DueItem[] = Array.from({ length: 60 }, () => ({ dueMs: 0, heapIndex: -1 }));
    const held = new Set<DueItem>();
    for (let i = 0; i < 5_000; i++) {
      const item = prng.pick(items);
      const draw = prng.next();
      if (draw < 0.6) {
        queue.move(item, prng.integer(0, 100));
        held.add(item);
      } else if (draw < 0.8) {
        queue.remove(item);
        held.delete(item);
        expect(item.heapIndex).toBe(-1);
      } else {
        const first = queue.pop();
        const earliestMs = Math.min(...[...held].map((other) => other.dueMs));
        expect(first?.dueMs ?? Infinity).toBe(earliestMs);
        if (first !== undefined) held.delete(first);
      }
      expect(queue.size).toBe(held.size);
      expect(queue.peek()?.dueMs ?? Infinity).toBe(
        Math.min(...[...held].map((other) => other.dueMs)),
      );
    }
  });
});
