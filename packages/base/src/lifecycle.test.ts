import { expect, test } from '@jest/globals';
import { Lifecycle } from './lifecycle.js';
import { silentLogger, type Logger } from './logger.js';
import { RingQueue } from './ring-queue.js';

test('parts close once, newest first, and one that fails does not stop the others', async () => {
  const closed: string[] = [];
  const warned: unknown[] = [];
  const logger: Logger = { ...silentLogger, warn: (fields) => warned.push(fields['part']) };
  const lifecycle = new Lifecycle(logger);
  lifecycle.opened('store', () => void closed.push('store'));
  lifecycle.opened('driver', () => {
    throw new Error('no');
  });
  lifecycle.opened('server', async () => void closed.push('server'));
  await Promise.all([lifecycle.close(1000), lifecycle.close(1000)]);
  expect(closed).toEqual(['server', 'store']);
  expect(warned).toEqual(['driver']);
});

test('a part that never ends is passed over at the deadline', async () => {
  const closed: string[] = [];
  const lifecycle = new Lifecycle(silentLogger);
  lifecycle.opened('store', () => void closed.push('store'));
  lifecycle.opened('stuck', () => new Promise<void>(() => undefined));
  await lifecycle.close(30);
  expect(closed).toEqual(['store']);
});

test('RingQueue behaves like an array while it wraps and grows', () => {
  const queue = new RingQueue<number>();
  const model: number[] = [];
  for (let i = 0; i < 2000; i++) {
    if (i % 7 < 4 || model.length === 0) {
      queue.push(i);
      model.push(i);
    } else {
      expect(queue.shift()).toBe(model.shift());
    }
    expect(queue.size).toBe(model.length);
    expect(queue.peek()).toBe(model[0]);
    expect(queue.at(model.length - 1)).toBe(model[model.length - 1]);
  }
  expect(queue.at(model.length)).toBeUndefined();
  queue.clear();
  expect([queue.size, queue.shift()]).toEqual([0, undefined]);
});
