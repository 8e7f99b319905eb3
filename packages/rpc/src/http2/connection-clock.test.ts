import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { ConnectionClock, type Ticking } from './connection-clock.js';

/** Remembers its ticks; a deadline that has passed is forgotten, as calls end then. */
class Ticker implements Ticking {
  nextDeadlineMs = Infinity;
  readonly ticks: number[] = [];
  elapsedMs = 0;
  onTick: (nowMs: number) => void = () => undefined;

  tick(nowMs: number, elapsedMs: number): void {
    this.ticks.push(nowMs);
    this.elapsedMs += elapsedMs;
    if (this.nextDeadlineMs <= nowMs) this.nextDeadlineMs = Infinity;
    this.onTick(nowMs);
  }

  /** A call with this deadline begins. */
  call(clock: ConnectionClock, atMs: number): void {
    this.nextDeadlineMs = Math.min(this.nextDeadlineMs, atMs);
    clock.due(atMs);
  }
}

beforeEach(() => {
  jest.useFakeTimers({ now: 0, doNotFake: ['nextTick', 'queueMicrotask'] });
});

afterEach(() => {
  jest.useRealTimers();
});

function start(): { clock: ConnectionClock; ticker: Ticker } {
  const clock = new ConnectionClock(1_000, 5);
  const ticker = new Ticker();
  clock.add(ticker, performance.now());
  return { clock, ticker };
}

test('ticks at its rest while there is a connection, and has no timer otherwise', () => {
  const { clock, ticker } = start();
  expect(jest.getTimerCount()).toBe(1);
  jest.advanceTimersByTime(3_000);
  expect(ticker.ticks).toEqual([1_000, 2_000, 3_000]);
  expect(ticker.elapsedMs).toBe(3_000);
  clock.delete(ticker);
  expect(jest.getTimerCount()).toBe(0);
  jest.advanceTimersByTime(500);
  // And again: time without connections has not passed for the next.
  const second = new Ticker();
  clock.add(second, performance.now());
  jest.advanceTimersByTime(1_000);
  expect([second.ticks, second.elapsedMs]).toEqual([[4_500], 1_000]);
});

test('keeps deadlines to its grain, earlier ones first', () => {
  const { clock, ticker } = start();
  ticker.call(clock, 300);
  ticker.call(clock, 100);
  jest.advanceTimersByTime(99);
  expect(ticker.ticks).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(ticker.ticks).toEqual([100]);
  ticker.call(clock, 300);
  // In the past already: as soon as it ticks at all.
  ticker.call(clock, 50);
  jest.advanceTimersByTime(5);
  expect(ticker.ticks).toEqual([100, 105]);
  jest.advanceTimersByTime(1_000);
  // The one at 300 was forgotten with the one before it: this ticker knows one deadline only.
  expect(ticker.ticks).toEqual([100, 105, 1_105]);
});

test('many calls with the same deadline are one timer', () => {
  const { clock, ticker } = start();
  for (let i = 0; i < 1_000; i++) ticker.call(clock, 200 + i);
  expect(jest.getTimerCount()).toBe(1);
  jest.advanceTimersByTime(200);
  expect(ticker.ticks).toEqual([200]);
});

test('calls and connections that begin within a tick have their time too', () => {
  const { clock, ticker } = start();
  const other = new Ticker();
  clock.add(other, 0);
  const late = new Ticker();
  // Asked of one that has ticked already, and of one that is new.
  other.onTick = (nowMs) => {
    other.onTick = () => undefined;
    ticker.call(clock, nowMs + 20);
    clock.add(late, nowMs);
    late.call(clock, nowMs + 40);
  };
  jest.advanceTimersByTime(1_000);
  jest.advanceTimersByTime(100);
  expect(ticker.ticks).toEqual([1_000, 1_020, 1_040]);
  expect(late.ticks).toEqual([1_000, 1_020, 1_040]);
  expect(jest.getTimerCount()).toBe(1);
});

test('the last connection may leave within a tick', () => {
  const { clock, ticker } = start();
  ticker.onTick = () => clock.delete(ticker);
  jest.advanceTimersByTime(5_000);
  expect(ticker.ticks).toEqual([1_000]);
  expect(jest.getTimerCount()).toBe(0);
});
