import { describe, expect, test } from '@jest/globals';
import { settingsDefaults } from '../limits.js';
import {
  checkRetryPolicy,
  defaultRetryPolicy,
  retryWaitMs,
  retryWaitsMs,
  type RetryPolicy,
} from './retry-policy.js';

const growing: RetryPolicy = {
  kind: 'exponential',
  initialMs: 5_000,
  maxMs: 7_200_000,
  multiplier: 2,
};

describe('retry policies', () => {
  test('the default is RocketMQ’s list, its last wait holds on', () => {
    expect(retryWaitMs(defaultRetryPolicy, 1)).toBe(1_000);
    expect(retryWaitMs(defaultRetryPolicy, 4)).toBe(30_000);
    expect(retryWaitMs(defaultRetryPolicy, 18)).toBe(7_200_000);
    expect(retryWaitMs(defaultRetryPolicy, 500)).toBe(7_200_000);
    expect(retryWaitsMs(defaultRetryPolicy, 3)).toBe(settingsDefaults.consumerBackoffMs);
  });

  test('an exponential one doubles up to its longest wait, and has a list', () => {
    expect([1, 2, 3, 11, 12, 400].map((n) => retryWaitMs(growing, n))).toEqual([
      5_000, 10_000, 20_000, 5_120_000, 7_200_000, 7_200_000,
    ]);
    const waits = retryWaitsMs(growing, 17);
    expect(waits).toHaveLength(12);
    expect(waits).toEqual(waits.map((_, i) => retryWaitMs(growing, i + 1)));
    // Five deliveries have four waits between them.
    expect(retryWaitsMs(growing, 5)).toEqual([5_000, 10_000, 20_000, 40_000]);
    expect(retryWaitsMs({ ...growing, multiplier: 1 }, 17)).toEqual([5_000]);
    expect(retryWaitsMs(growing, 1)).toEqual([5_000]);
  });

  test.each<[string, RetryPolicy, string | null]>([
    ['no waits', { kind: 'list', waitsMs: [] }, '0 waits'],
    ['too many waits', { kind: 'list', waitsMs: new Array<number>(65).fill(1) }, '65 waits'],
    ['a negative wait', { kind: 'list', waitsMs: [5, -1] }, 'a wait is -1 ms'],
    ['a fraction', { kind: 'list', waitsMs: [0.5] }, '0.5'],
    ['longer than a lease may be', { ...growing, maxMs: 43_200_001 }, 'longest wait'],
    ['the wrong way round', { ...growing, maxMs: 1 }, 'shorter than the initial'],
    ['shrinking', { ...growing, multiplier: 0.5 }, 'multiplier is 0.5'],
    ['no number', { ...growing, multiplier: NaN }, 'multiplier is NaN'],
    ['at the bounds', { ...growing, initialMs: 0, maxMs: 43_200_000, multiplier: 100 }, null],
    ['no wait at all', { kind: 'list', waitsMs: [0] }, null],
  ])('checked: %s', (_, policy, text) => {
    if (text === null) expect(() => checkRetryPolicy(policy)).not.toThrow();
    else expect(() => checkRetryPolicy(policy)).toThrow(text);
  });
});
