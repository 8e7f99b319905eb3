import { getHeapStatistics } from 'node:v8';
import { expect, test } from '@jest/globals';
import { growthPercent } from './heap-growth.js';

test('only a small heap is let grow to a multiple of itself', () => {
  expect(growthPercent(10 * 1024 * 1024)).toBeGreaterThan(growthPercent(200 * 1024 * 1024));
  expect(growthPercent(getHeapStatistics().heap_size_limit)).toBe(0);
});
