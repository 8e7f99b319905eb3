import { assert } from '@raftmq/base';

/** How many of `voterCount` voters are more than half. */
export function majority(voterCount: number): number {
  assert(voterCount >= 1, 'a group has at least one voter');
  return Math.floor(voterCount / 2) + 1;
}

/**
 * The largest value that a majority has reached: with match indexes the commit candidate, with contact times the
 * moment from which the lease runs.
 * @param values one per voter; sorted in place, so pass a scratch array
 */
export function quorumValue(values: Float64Array): number {
  // Insertion sort, largest first: groups have at most a handful of voters, and this runs for each answer.
  for (let i = 1; i < values.length; i++) {
    const value = values[i]!;
    let at = i;
    while (at > 0 && values[at - 1]! < value) {
      values[at] = values[at - 1]!;
      at--;
    }
    values[at] = value;
  }
  return values[majority(values.length) - 1]!;
}

export type VoteResult = 'won' | 'lost' | 'pending';

/** What the answers so far say: won or lost as soon as the missing ones cannot change it. */
export function voteResult(granted: number, refused: number, voterCount: number): VoteResult {
  assert(granted + refused <= voterCount, 'nobody votes twice');
  if (granted >= majority(voterCount)) return 'won';
  return voterCount - refused < majority(voterCount) ? 'lost' : 'pending';
}
