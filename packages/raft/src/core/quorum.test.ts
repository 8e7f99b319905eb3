import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { majority, quorumValue, voteResult, type Vote } from './quorum.js';

/** The definition, taken literally: the largest listed value that more than half have reached. */
function quorumValueByCounting(values: readonly number[]): number {
  let best = -Infinity;
  for (const candidate of values) {
    const reached = values.filter((value) => value >= candidate).length;
    if (reached * 2 > values.length && candidate > best) best = candidate;
  }
  return best;
}

describe('majority', () => {
  test.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
    [7, 4],
  ])('of %d voters is %d', (voters, expected) => {
    expect(majority(voters)).toBe(expected);
  });

  test('a group without voters is impossible', () => {
    expect(() => majority(0)).toThrow('at least one voter');
  });
});

describe('quorumValue', () => {
  test('equals the definition for every group of up to five with values 0 to 3', () => {
    for (let voters = 1; voters <= 5; voters++) {
      for (let code = 0; code < 4 ** voters; code++) {
        const values = Array.from({ length: voters }, (_, i) => Math.floor(code / 4 ** i) % 4);
        expect(quorumValue(Float64Array.from(values))).toBe(quorumValueByCounting(values));
      }
    }
  });

  test('equals the definition for random values of larger groups', () => {
    const random = createPrng(7);
    for (let round = 0; round < 500; round++) {
      const values = Array.from({ length: random.integer(1, 9) }, () => random.integer(0, 1e12));
      expect(quorumValue(Float64Array.from(values))).toBe(quorumValueByCounting(values));
    }
  });

  test('takes voters that were never heard as infinitely old', () => {
    expect(quorumValue(Float64Array.of(-Infinity, 5, -Infinity))).toBe(-Infinity);
    expect(quorumValue(Float64Array.of(-Infinity, 5, 9))).toBe(5);
  });
});

function votesOf(yes: number, forgetful: number, no: number): Vote[] {
  return [
    ...Array<Vote>(yes).fill('yes'),
    ...Array<Vote>(forgetful).fill('forgetful-yes'),
    ...Array<Vote>(no).fill('no'),
  ];
}

describe('voteResult', () => {
  test('is decided exactly when the missing answers cannot change it', () => {
    for (let voters = 1; voters <= 7; voters++) {
      for (let granted = 0; granted <= voters; granted++) {
        for (let refused = 0; granted + refused <= voters; refused++) {
          const missing = voters - granted - refused;
          const canWin = (granted + missing) * 2 > voters;
          const hasWon = granted * 2 > voters;
          const expected = hasWon ? 'won' : canWin ? 'pending' : 'lost';
          expect(voteResult(votesOf(granted, 0, refused), voters)).toBe(expected);
        }
      }
    }
  });

  test('a vote of one who may have forgotten something counts only where all voted', () => {
    for (let voters = 1; voters <= 7; voters++) {
      for (let yes = 0; yes <= voters; yes++) {
        for (let forgetful = 1; yes + forgetful <= voters; forgetful++) {
          for (let no = 0; yes + forgetful + no <= voters; no++) {
            const missing = voters - yes - forgetful - no;
            const all = yes + forgetful === voters;
            const canWin = (yes + missing) * 2 > voters || no === 0;
            const expected =
              yes * 2 > voters ? 'won' : all ? 'won-by-all' : canWin ? 'pending' : 'lost';
            expect(voteResult(votesOf(yes, forgetful, no), voters)).toBe(expected);
          }
        }
      }
    }
  });

  test('more answers than voters are impossible', () => {
    expect(() => voteResult(votesOf(2, 0, 2), 3)).toThrow('nobody votes twice');
  });
});
