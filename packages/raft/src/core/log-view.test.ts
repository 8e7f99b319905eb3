import { beforeEach, describe, expect, test } from '@jest/globals';
import { type Entry } from './entry.js';
import { LogView } from './log-view.js';
import { entriesOfTerms } from './testing/cluster.js';
import { MemoryLog } from './testing/memory-log.js';

// On disk: 1..3@t1 4..6@t2. In the step: 5..7@t3, as they lie behind 4.
const stored = entriesOfTerms([1, 1, 1, 2, 2, 2]);
const fresh = entriesOfTerms([1, 1, 1, 2, 3, 3, 3]).slice(4);
let log: MemoryLog;
let view: LogView;
let pending: Entry[];

beforeEach(() => {
  log = new MemoryLog(stored);
  view = new LogView(log);
  pending = [];
  view.begin(pending);
});

function appendAll(): void {
  for (const entry of fresh) view.append(entry);
}

test('without pending entries it is the log', () => {
  expect([view.firstIndex, view.lastIndex, view.lastTerm]).toEqual([1, 6, 2]);
  expect(view.endPosition).toBe(log.endPosition);
  expect(view.lastStoreTimestampMs).toBe(1005);
  expect(view.termAt(0)).toBe(0);
  expect(view.firstIndexOfTermAt(6)).toBe(4);
  expect(view.read(2, 4, 1e6).map((entry) => entry.index)).toEqual([2, 3, 4]);
});

describe('with a replaced tail', () => {
  beforeEach(appendAll);

  test('the tail is seen at once, the storage is untouched', () => {
    expect(pending).toEqual(fresh);
    expect(view.lastIndex).toBe(7);
    expect([1, 3, 4, 5, 7].map((index) => view.termAt(index))).toEqual([1, 1, 2, 3, 3]);
    expect(log.lastIndex).toBe(6);
    expect(view.endPosition).toBe(fresh[2]!.position + fresh[2]!.frame.length);
    expect(view.lastStoreTimestampMs).toBe(1006);
  });

  test('runs of one term end where the view ends them', () => {
    expect(view.firstIndexOfTermAt(7)).toBe(5);
    expect(view.firstIndexOfTermAt(4)).toBe(4);
    expect(view.firstIndexOfTermAt(2)).toBe(1);
  });

  test('a read stops where storage and pending entries meet, and goes on behind', () => {
    expect(view.read(3, 7, 1e6).map((entry) => entry.index)).toEqual([3, 4]);
    expect(view.read(5, 7, 1e6)).toEqual(fresh);
    expect(view.read(6, 6, 1e6)).toEqual([fresh[1]]);
  });

  test('a read gives at least one entry, then what fits', () => {
    const size = fresh[0]!.frame.length;
    expect(view.read(5, 7, 1)).toEqual([fresh[0]]);
    expect(view.read(5, 7, 2 * size)).toEqual(fresh.slice(0, 2));
    expect(view.read(5, 7, 3 * size - 1)).toEqual(fresh.slice(0, 2));
  });

  test('the next step needs the storage to have taken them', () => {
    expect(() => view.begin([])).toThrow('took the appends');
    log.append(pending);
    view.begin([]);
    expect(view.lastIndex).toBe(7);
    expect(view.termAt(5)).toBe(3);
  });
});

test('a run of one term may reach from pending entries into the storage', () => {
  view.append(entriesOfTerms([1, 1, 1, 2, 2, 2, 2])[6]!);
  expect(view.firstIndexOfTermAt(7)).toBe(4);
});

test('a log whose beginning was forgotten knows the term before it', () => {
  log.compactThrough(4);
  view.begin([]);
  expect([view.firstIndex, view.lastIndex]).toEqual([5, 6]);
  expect(view.termAt(4)).toBe(2);
  expect(view.firstIndexOfTermAt(6)).toBe(5);
  expect(() => view.termAt(3)).toThrow('still known');
  expect(() => view.read(4, 5, 100)).toThrow('where the log starts');
  expect(() => view.firstIndexOfTermAt(4)).toThrow('is held');
});

describe('refuses', () => {
  const gap = entriesOfTerms([1, 1, 1, 2, 2, 2, 2, 2])[7]!;
  test('a gap', () => expect(() => view.append(gap)).toThrow('follows the one before'));

  test('a falling term', () => {
    const falling = entriesOfTerms([1, 1, 1, 2, 2, 2, 1])[6]!;
    expect(() => view.append(falling)).toThrow('never go down');
  });

  test('an entry at the wrong position', () => {
    const moved = { ...entriesOfTerms([1, 1, 1, 2, 2, 2, 2])[6]!, position: 1 };
    expect(() => view.append(moved)).toThrow('starts where');
  });

  test('terms and entries behind the end', () => {
    expect(() => view.termAt(7)).toThrow('within the log');
    expect(() => view.read(6, 7, 100)).toThrow('end of the log');
    expect(() => view.read(4, 3, 100)).toThrow('at least one entry');
  });
});
