import { expect, test } from '@jest/globals';
import { isMqError } from '@raftmq/base';
import { DEFAULT_DELAY_LEVELS, delayOfLevel, parseDelayLevels } from './delay-levels.js';

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return isMqError(error) ? error.code : 'foreign';
  }
  return 'none';
}

test('the classic levels', () => {
  const levels = parseDelayLevels(DEFAULT_DELAY_LEVELS);
  expect(levels).toHaveLength(18);
  expect(delayOfLevel(levels, 1)).toBe(1_000);
  expect(delayOfLevel(levels, 5)).toBe(60_000);
  expect(delayOfLevel(levels, 18)).toBe(7_200_000);
});

test('level 0 is no delay, and a level above the last is the last', () => {
  const levels = parseDelayLevels(' 1s 2s\t4s ');
  expect([0, 1, 2, 3, 4, 20].map((level) => delayOfLevel(levels, level))).toEqual([
    0, 1_000, 2_000, 4_000, 4_000, 4_000,
  ]);
  expect(delayOfLevel(parseDelayLevels('2d'), 1)).toBe(172_800_000);
});

test.each(['', '1', '1s 0s', '1s,2s', '-1s', '1.5h', '1S', Array(65).fill('1s').join(' ')])(
  '%j is no list of levels',
  (text) => expect(codeOf(() => parseDelayLevels(text))).toBe('CONFIG_INVALID'),
);

test.each([-1, 1.5, NaN])('%d is no level', (level) =>
  expect(codeOf(() => delayOfLevel([1_000], level))).toBe('ILLEGAL_DELIVERY_TIME'),
);
