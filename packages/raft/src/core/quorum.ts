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

/** One answer: no, yes, or the yes of a replica that may have forgotten the end of its log (R23). */
export type Vote = 'no' | 'yes' | 'forgetful-yes';
/** `won-by-all`: without those who may have forgotten something it would not have been enough. */
export type VoteResult = 'won' | 'won-by-all' | 'lost' | 'pending';

/**
 * What the answers so far say: won or lost as soon as the missing ones cannot change it.
 *
 * A majority wins of those who have what they ever acknowledged; or everyone together, as then no log of the group is
 * better than the winner's (R23).
 */
export function voteResult(votes: Iterable<Vote>, voterCount: number): VoteResult {
  let [yes, forgetful, no] = [0, 0, 0];
  for (const vote of votes) {
    if (vote === 'yes') yes++;
    else if (vote === 'no') no++;
    else forgetful++;
  }
  assert(yes + forgetful + no <= voterCount, 'nobody votes twice');
  if (yes >= majority(voterCount)) return 'won';
  if (yes + forgetful === voterCount) return 'won-by-all';
  if (no === 0) return 'pending';
  return voterCount - no - forgetful < majority(voterCount) ? 'lost' : 'pending';
}
