import { describe, expect, it } from '@jest/globals';
import { ValueHistory } from './value-history.js';

describe('ValueHistory', () => {
  it('accepts each outcome that the log agrees with', () => {
    const history = new ValueHistory();
    for (const value of [1, 2, 3, 4]) history.proposed(value, value * 10);
    expect(history.committed(1, 5)).toBeNull();
    expect(history.acked(1, 5)).toBeNull();
    expect(history.refused(2)).toBeNull();
    expect(history.unknown(3)).toBeNull();
    expect(history.committed(3, 6)).toBeNull();
    expect(history.finalFault()).toBeNull();
    expect(history.openSince(40)).toEqual([]);
    expect(history.openSince(41)).toEqual([4]);
    expect(history).toMatchObject({
      proposedCount: 4,
      ackedCount: 1,
      refusedCount: 1,
      unknownCount: 1,
      ackedIndexMax: 5,
    });
  });

  it('takes an acknowledgement back for what is lost, and for nothing else', () => {
    const history = new ValueHistory();
    for (const value of [1, 2, 3]) history.proposed(value, 0);
    for (const [value, index] of [
      [1, 5],
      [2, 6],
    ] as const) {
      history.committed(value, index);
      history.acked(value, index);
    }
    history.acked(3, 4);
    history.lostBehind(5);
    expect(history).toMatchObject({ ackedIndexMax: 5, losses: 1 });
    expect(history.finalFault()?.message).toContain('value 3 was acknowledged');
    // Lost is lost: nobody had it, so it cannot come back.
    expect(history.committed(2, 7)?.rule).toBe('value-once');
  });

  it.each([
    ['never-proposed', (history: ValueHistory) => history.committed(9, 1)],
    ['never-proposed', (history: ValueHistory) => history.acked(9, 1)],
    ['value-once', (history: ValueHistory) => history.committed(1, 1) ?? history.committed(1, 2)],
    [
      'refused-value-appeared',
      (history: ValueHistory) => history.refused(1) ?? history.committed(1, 2),
    ],
    [
      'refused-value-appeared',
      (history: ValueHistory) => history.committed(1, 2) ?? history.refused(1),
    ],
    ['answered-twice', (history: ValueHistory) => history.acked(1, 1) ?? history.unknown(1)],
    ['acked-value-lost', (history: ValueHistory) => history.acked(1, 1) ?? history.finalFault()],
  ])('finds %s', (rule, play) => {
    const history = new ValueHistory();
    history.proposed(1, 0);
    expect(play(history)?.rule).toBe(rule);
  });
});
