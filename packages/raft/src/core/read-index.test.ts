import { beforeEach, describe, expect, test } from '@jest/globals';
import { ReadIndex } from './read-index.js';
import { type ReadResult } from './types.js';

let reads: ReadIndex;
let results: ReadResult[];

beforeEach(() => {
  reads = new ReadIndex(4);
  results = [];
});

test('a read gets the commit index from when its round began', () => {
  expect(reads.add(1)).toBe(true);
  expect(reads.startRound(7)).toBe(true);
  expect(reads.round).toBe(1);
  reads.confirm(results);
  expect(results).toEqual([{ id: 1, index: 7 }]);
  expect(reads.size).toBe(0);
});

test('a read that comes during a round waits for the next, with a newer index', () => {
  reads.add(1);
  reads.startRound(7);
  reads.add(2);
  expect(reads.startRound(8)).toBe(false);
  reads.confirm(results);
  expect(results).toEqual([{ id: 1, index: 7 }]);
  expect(reads.startRound(9)).toBe(true);
  expect(reads.round).toBe(2);
  reads.confirm(results);
  expect(results.at(-1)).toEqual({ id: 2, index: 9 });
});

test('nobody waits: no round', () => {
  expect(reads.startRound(7)).toBe(false);
  expect(reads.round).toBe(0);
  expect(() => reads.confirm(results)).toThrow('under way');
});

test('takes no more than its limit, in the round and behind it together', () => {
  reads.add(1);
  reads.add(2);
  reads.startRound(1);
  reads.add(3);
  expect(reads.add(4)).toBe(true);
  expect(reads.add(5)).toBe(false);
  reads.confirm(results);
  expect(reads.add(5)).toBe(true);
});

describe('when leadership ends', () => {
  test('all reads are refused, those of the round first', () => {
    reads.add(1);
    reads.startRound(1);
    reads.add(2);
    reads.refuseAll(results);
    expect(results).toEqual([
      { id: 1, index: null },
      { id: 2, index: null },
    ]);
    expect(reads.size).toBe(0);
    expect(reads.roundUnderWay).toBe(false);
  });
});
