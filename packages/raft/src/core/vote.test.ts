import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { raftCoreConfig } from './config.js';
import { RaftCore } from './raft-core.js';
import { entriesOfTerms } from './testing/cluster.js';
import { MemoryLog } from './testing/memory-log.js';
import { type Effects, type HardState, type VoteRequest, type VoteResponse } from './types.js';

// The voter is n1 of three, with the log 1@t1 2@t3 3@t3, in term 4.

function newVoter(hardState: HardState = { term: 4, votedFor: null }): RaftCore {
  const log = new MemoryLog(entriesOfTerms([1, 3, 3]));
  const options = { id: 1, voters: [1, 2, 3], config: raftCoreConfig(), random: createPrng(1) };
  return new RaftCore({ ...options, log, hardState });
}

function ask(voter: RaftCore, changes: Partial<VoteRequest> = {}, nowMs = 0): Effects {
  const message: VoteRequest = {
    kind: 'vote-request',
    from: 2,
    to: 1,
    term: 5,
    pre: false,
    lastIndex: 3,
    lastTerm: 3,
    transfer: false,
    ...changes,
  };
  return voter.step({ kind: 'message', message }, nowMs, 0);
}

function answerIn(effects: Effects): VoteResponse | undefined {
  const message = [...effects.sendNow, ...effects.sendAfterSync][0];
  return message?.kind === 'vote-response' ? message : undefined;
}

function hearLeader(voter: RaftCore, nowMs: number): void {
  const heartbeat = { prevIndex: 0, prevTerm: 0, commitIndex: 0, entries: [], sentAtMs: 0 };
  const message = { kind: 'append-request', from: 3, to: 1, term: 4, readRound: 0 } as const;
  voter.step({ kind: 'message', message: { ...message, ...heartbeat } }, nowMs, 0);
}

describe('only a log that is no older gets a vote (R05)', () => {
  test.each([
    [3, 3, true],
    [4, 3, true],
    [2, 3, false],
    [1, 4, true],
    [99, 2, false],
    [0, 0, false],
  ])('last entry %d of term %d: %p', (lastIndex, lastTerm, granted) => {
    for (const pre of [true, false]) {
      expect(answerIn(ask(newVoter(), { lastIndex, lastTerm, pre }))?.granted).toBe(granted);
    }
  });
});

describe('a vote', () => {
  test('is given once in a term, and again to the same candidate', () => {
    const voter = newVoter();
    expect(answerIn(ask(voter))?.granted).toBe(true);
    expect(voter.votedFor).toBe(2);
    expect(answerIn(ask(voter, { from: 3 }))?.granted).toBe(false);
    expect(answerIn(ask(voter))?.granted).toBe(true);
    expect(answerIn(ask(voter, { from: 3, term: 6 }))?.granted).toBe(true);
  });

  test('is remembered over a restart', () => {
    const voter = newVoter({ term: 5, votedFor: 3 });
    expect(answerIn(ask(voter))).toMatchObject({ granted: false, term: 5 });
  });

  test('in an older term is refused with the newer one', () => {
    expect(answerIn(ask(newVoter(), { term: 3 }))).toMatchObject({ granted: false, term: 4 });
  });

  test('that is refused for the log still moves the term', () => {
    const voter = newVoter();
    const effects = ask(voter, { term: 9, lastTerm: 1 });
    expect(effects.hardState).toEqual({ term: 9, votedFor: null });
    expect(answerIn(effects)).toMatchObject({ granted: false, term: 9 });
  });

  test('ends an own pre-vote, so that the candidate is left in peace', () => {
    const voter = newVoter();
    voter.step({ kind: 'tick' }, 0, 0);
    voter.step({ kind: 'tick' }, 1000, 0);
    expect(voter.role).toBe('pre-candidate');
    expect(answerIn(ask(voter, { term: 4 }, 1000))?.granted).toBe(true);
    expect(voter.role).toBe('follower');
    voter.step({ kind: 'tick' }, 1149, 0);
    expect(voter.role).toBe('follower');
  });
});

describe('a pre-vote (R07)', () => {
  test('changes nothing, and can be given to many', () => {
    const voter = newVoter();
    for (const from of [2, 3]) {
      const effects = ask(voter, { from, pre: true, term: 50 });
      expect(effects.hardState).toBeNull();
      expect(effects.sendNow).toEqual([
        expect.objectContaining({ pre: true, granted: true, term: 50 }),
      ]);
    }
    expect([voter.term, voter.votedFor]).toEqual([4, null]);
  });

  test('for the current term is refused: it would not be a new one', () => {
    const answer = answerIn(ask(newVoter(), { pre: true, term: 4 }));
    expect(answer).toMatchObject({ granted: false, term: 4 });
  });
});

describe('in contact with a leader (R09)', () => {
  test('a pre-vote is refused, a vote is not answered, until the contact is old', () => {
    const voter = newVoter();
    hearLeader(voter, 100);
    expect(answerIn(ask(voter, { pre: true }, 1099))?.granted).toBe(false);
    expect(answerIn(ask(voter, {}, 1099))).toBeUndefined();
    expect(voter.term).toBe(4);
    expect(answerIn(ask(voter, { pre: true }, 1100))?.granted).toBe(true);
    expect(answerIn(ask(voter, {}, 1100))?.granted).toBe(true);
  });

  test('a vote by order of the leader is given', () => {
    const voter = newVoter();
    hearLeader(voter, 100);
    expect(answerIn(ask(voter, { transfer: true }, 101))?.granted).toBe(true);
  });

  test('a broken connection to the leader ends the contact, one to another replica does not', () => {
    const voter = newVoter();
    hearLeader(voter, 100);
    voter.step({ kind: 'peer-lost', peer: 2 }, 101, 0);
    expect(voter.leaderId).toBe(3);
    expect(answerIn(ask(voter, { pre: true }, 101))?.granted).toBe(false);
    expect(voter.step({ kind: 'peer-lost', peer: 3 }, 101, 0).roleChanged).toBe(true);
    expect(voter.leaderId).toBeNull();
    expect(answerIn(ask(voter, { pre: true }, 101))?.granted).toBe(true);
  });

  test('the leader of the same term gets no rival', () => {
    const voter = newVoter();
    hearLeader(voter, 100);
    expect(answerIn(ask(voter, { term: 4 }, 5000))?.granted).toBe(false);
  });
});
