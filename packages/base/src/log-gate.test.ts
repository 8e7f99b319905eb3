import { expect, test } from '@jest/globals';
import { LogGate } from './log-gate.js';

test('one line per interval passes and tells how many were swallowed', () => {
  const gate = new LogGate(10);
  const answers = [0, 1, 9.9, 10, 11, 30, 31, 40].map((nowMs) => gate.pass(nowMs));
  expect(answers).toEqual([0, null, null, 2, null, 1, null, 1]);
});
