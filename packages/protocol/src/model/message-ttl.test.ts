import { expect, test } from '@jest/globals';
import { parseTtlMs } from './message-ttl.js';

test.each([
  ['0ms', 0],
  ['500ms', 500],
  ['2s', 2_000],
  ['5m', 300_000],
  ['1h', 3_600_000],
  ['7d', 604_800_000],
  ['999999999d', 999_999_999 * 86_400_000],
])('%s is %i ms', (text, timeMs) => {
  expect(parseTtlMs(text)).toBe(timeMs);
});

test.each(['', '2', 's', '2 s', '-1s', '1.5s', '2S', '2s ', '1000000000s', '2w'])(
  '%j is no time to live',
  (text) => {
    expect(parseTtlMs(text)).toBeNull();
  },
);
