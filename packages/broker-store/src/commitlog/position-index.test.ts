import { describe, expect, it } from '@jest/globals';
import { BLOCK_ENTRIES, BlockCache, PositionIndex } from './position-index.js';
import { TermRanges } from './term-ranges.js';

const COUNT = 3 * BLOCK_ENTRIES + 100;

function grown(cache: BlockCache): PositionIndex {
  const index = new PositionIndex(cache);
  for (let i = 0; i < COUNT; i++) index.append(i * 10);
  return index;
}

/** Moves the blocks of an index behind a source that counts its calls. */
function sealedCopy(cache: BlockCache): { index: PositionIndex; loads: () => number } {
  const original = grown(cache);
  let loads = 0;
  const index = PositionIndex.sealed(cache, COUNT, original.firsts, (block) => {
    loads++;
    return original.block(block).slice(0, original.blockCount(block));
  });
  return { index, loads: () => loads };
}

function checkAll(index: PositionIndex, count: number): void {
  for (const i of [0, 1, BLOCK_ENTRIES - 1, BLOCK_ENTRIES, 2 * BLOCK_ENTRIES + 7, count - 1]) {
    if (i >= count) continue;
    expect(index.at(i)).toBe(i * 10);
    expect(index.findAtOrBefore(i * 10)).toBe(i);
    expect(index.findAtOrBefore(i * 10 + 9)).toBe(i);
  }
  expect(index.findAtOrBefore(count * 10 + 5000)).toBe(count - 1);
  expect(() => index.at(count)).toThrow('the entry is in this segment');
}

describe('PositionIndex', () => {
  it('finds entries by number and by position while it grows', () => {
    const index = grown(new BlockCache(1));
    checkAll(index, COUNT);
    expect(new PositionIndex(new BlockCache(1)).findAtOrBefore(5)).toBe(-1);
  });

  it('loads blocks on demand, and keeps no more than the cache allows', () => {
    const { index, loads } = sealedCopy(new BlockCache(2));
    checkAll(index, COUNT);
    const before = loads();
    index.at(COUNT - 1);
    expect(loads()).toBe(before);
    index.at(0);
    index.at(BLOCK_ENTRIES);
    index.at(COUNT - 1);
    expect(loads()).toBeGreaterThan(before);
    expect(() => index.append(1)).toThrow('growing');
  });

  it.each([0, 1, BLOCK_ENTRIES - 1, BLOCK_ENTRIES, BLOCK_ENTRIES + 1, COUNT])(
    'grows again after a cut to %i entries, sealed or not',
    (count) => {
      for (const index of [grown(new BlockCache(2)), sealedCopy(new BlockCache(2)).index]) {
        index.at(COUNT - 1);
        index.truncate(count);
        expect(index.count).toBe(count);
        for (let i = count; i < count + BLOCK_ENTRIES + 5; i++) index.append(i * 10);
        checkAll(index, count + BLOCK_ENTRIES + 5);
      }
    },
  );
});

describe('TermRanges', () => {
  it('answers for any index, after cuts and drops too', () => {
    const terms = new TermRanges();
    for (const [index, term] of [
      [0, 0],
      [1, 1],
      [2, 1],
      [3, 4],
      [4, 4],
      [5, 4],
      [6, 5],
    ] as const)
      terms.append(index, term);
    const termAt = (index: number) => terms.termOfRange(terms.rangeAt(index));
    expect([0, 1, 2, 3, 4, 5, 6].map(termAt)).toEqual([0, 1, 1, 4, 4, 4, 5]);
    expect(terms.count).toBe(4);
    terms.truncateAfter(4);
    terms.append(5, 9);
    expect([2, 3, 4, 5].map(termAt)).toEqual([1, 4, 4, 9]);
    terms.dropBefore(4);
    expect([3, 4, 5].map(termAt)).toEqual([4, 4, 9]);
    expect(() => termAt(2)).toThrow('before the log');
    expect(() => terms.append(6, 8)).toThrow('never go down');
  });
});
