import { expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { ReceiveWindow } from './receive-window.js';

test('takes its size and no more, and gives back when half of it was used', () => {
  const window = new ReceiveWindow(100);
  expect(window.take(100)).toBe(true);
  expect(window.take(1)).toBe(false);
  expect(window.consumed(49)).toBe(0);
  expect(window.take(1)).toBe(false);
  expect(window.consumed(1)).toBe(50);
  expect(window.take(51)).toBe(false);
  expect(window.take(50)).toBe(true);
});

test('what is refused is not counted', () => {
  const window = new ReceiveWindow(100);
  expect(window.take(101)).toBe(false);
  expect(window.take(100)).toBe(true);
});

test('may begin larger than it is: the peer goes by the default until it knows better', () => {
  const window = new ReceiveWindow(10, 65_535);
  expect(window.take(65_535)).toBe(true);
  expect(window.consumed(5)).toBe(5);
  expect(window.take(5)).toBe(true);
  expect(window.take(1)).toBe(false);
});

test('the peer is never told of more than the size, and never starves', () => {
  const prng = createPrng(9113);
  for (const sizeBytes of [1, 2, 13, 1_000]) {
    const window = new ReceiveWindow(sizeBytes);
    let mayBytes = sizeBytes;
    let heldBytes = 0;
    for (let round = 0; round < 300; round++) {
      const sent = prng.integer(0, mayBytes);
      expect(window.take(sent)).toBe(true);
      mayBytes -= sent;
      heldBytes += sent;
      const read = prng.integer(0, heldBytes);
      heldBytes -= read;
      mayBytes += window.consumed(read);
      expect(mayBytes + heldBytes).toBeLessThanOrEqual(sizeBytes);
      // With nothing held, at least half of it is open.
      if (heldBytes === 0) expect(2 * mayBytes).toBeGreaterThan(sizeBytes - 1);
    }
  }
});
