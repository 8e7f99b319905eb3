import { describe, expect, it } from '@jest/globals';
import { sealEntry, ENTRY_HEADER_SIZE_BYTES, entryType, type Entry } from '@raftmq/raft';
import { CommittedHistory, LeaderCompleteness, type WatchedNode } from './invariants.js';
import { LogChain } from './log-chain.js';
import { Power } from './power.js';
import { World } from './world.js';

const entry = (index: number, term: number): Entry =>
  sealEntry(Buffer.alloc(ENTRY_HEADER_SIZE_BYTES), {
    index,
    term,
    position: (index - 1) * ENTRY_HEADER_SIZE_BYTES,
    type: entryType.noop,
    storeTimestampMs: 0,
    recordCount: 0,
  });

/** A log whose entries have these terms. */
function chainOf(...terms: number[]): LogChain {
  const chain = new LogChain();
  terms.forEach((term, i) => chain.append(entry(i + 1, term)));
  return chain;
}

function committedAs(chain: LogChain): CommittedHistory {
  const committed = new CommittedHistory();
  for (let index = 1; index <= chain.lastIndex; index++) committed.add(chain.at(index)!, '', 1);
  return committed;
}

describe('the power of a machine', () => {
  it('may have cost what the log had, until the committed part of that is there again', () => {
    const [power, committed] = [new Power(), committedAs(chainOf(1, 1, 1))];
    const had = chainOf(1, 1, 1, 1);
    expect(power.hasForgotten(chainOf(1), committed)).toBe(false);
    const { bootId } = power;
    power.cut(had);
    expect(power.bootId).not.toBe(bootId);
    expect(power.hasForgotten(had, committed)).toBe(true);
    power.seen();
    expect(
      [1, 2, 3, 4].map((count) =>
        power.hasForgotten(chainOf(...Array<number>(count).fill(1)), committed),
      ),
    ).toEqual([true, true, false, false]);
    expect([power.mayHaveForgotten(4), power.mayHaveForgotten(5)]).toEqual([true, false]);
    // Another log of the same length is not the one that was committed.
    expect(power.hasForgotten(chainOf(1, 2, 2), committed)).toBe(true);
  });
});

describe('leader completeness where entries may be lost', () => {
  const node = (id: number, chain: LogChain): WatchedNode => ({ id, chain }) as WatchedNode;
  const elect = (leader: LogChain, other: LogChain, mayLose: boolean): number[] => {
    const [committed, lost] = [committedAs(chainOf(1, 1, 1)), [] as number[]];
    const nodes = [node(0, leader), node(1, other)];
    const note = mayLose ? (index: number): void => void lost.push(index) : null;
    const invariant = new LeaderCompleteness(new World(null), committed, nodes, note);
    invariant.roleChanged(nodes[0]!, { role: 'leader', term: 2, leaderId: 0, writable: false });
    expect(committed.lastIndex).toBe(lost[0] ?? 3);
    return lost;
  };

  it('lets a leader lack what no log holds, and history go on from there', () => {
    expect(elect(chainOf(1, 1), chainOf(1), true)).toEqual([2]);
    expect(elect(chainOf(1, 1, 1, 1), chainOf(1), true)).toEqual([]);
  });

  it('lets none lack what one log has, or anything where nothing may be lost', () => {
    expect(() => elect(chainOf(1, 1), chainOf(1, 1, 1), true)).toThrow('without the committed');
    expect(() => elect(chainOf(1, 1), chainOf(1), false)).toThrow('without the committed');
  });
});
