import { beforeEach, describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { raftCoreConfig } from './config.js';
import { RaftCore } from './raft-core.js';
import { entriesOfTerms } from './testing/cluster.js';
import { MemoryLog } from './testing/memory-log.js';
import { type Effects, type VoteResponse } from './types.js';

// n1 of five, with one entry of term 1.
let core: RaftCore;
let nowMs: number;

beforeEach(() => {
  nowMs = 0;
  core = new RaftCore({
    id: 1,
    voters: [1, 2, 3, 4, 5],
    config: raftCoreConfig(),
    log: new MemoryLog(entriesOfTerms([1])),
    hardState: { term: 1, votedFor: null },
    random: createPrng(1),
  });
});

function tickUntil(role: string): Effects {
  for (;;) {
    nowMs++;
    const effects = core.step({ kind: 'tick' }, nowMs, 0);
    if (core.role === role) return effects;
    if (nowMs > 10_000) throw new Error(`never became ${role}`);
  }
}

function answer(from: number, changes: Partial<VoteResponse>): Effects {
  const response = {
    kind: 'vote-response',
    from,
    to: 1,
    term: 2,
    pre: true,
    granted: true,
    forgetful: false,
  } as const;
  return core.step({ kind: 'message', message: { ...response, ...changes } }, nowMs, 0);
}

/** Two willing peers of four make a majority with itself. */
function becomeCandidate(): Effects {
  tickUntil('pre-candidate');
  answer(2, {});
  return answer(3, {});
}

describe('pre-candidate', () => {
  test('asks for the next term without entering it', () => {
    const effects = tickUntil('pre-candidate');
    expect(effects.hardState).toBeNull();
    expect(effects.sendNow).toHaveLength(4);
    for (const message of effects.sendNow) {
      expect(message).toMatchObject({ kind: 'vote-request', pre: true, term: 2, lastIndex: 1 });
    }
    expect([core.term, core.leaderId]).toEqual([1, null]);
  });

  test('campaigns with a majority, its own word included', () => {
    tickUntil('pre-candidate');
    answer(2, {});
    answer(2, {});
    expect(core.role).toBe('pre-candidate');
    const effects = answer(3, {});
    expect(core.role).toBe('candidate');
    expect(effects.hardState).toEqual({ term: 2, votedFor: 1 });
    expect(effects.sendNow).toEqual([]);
    expect(effects.sendAfterSync).toHaveLength(4);
    expect(effects.sendAfterSync[0]).toMatchObject({ pre: false, term: 2, transfer: false });
  });

  test('takes no answer to an older question', () => {
    tickUntil('pre-candidate');
    answer(2, { term: 7 });
    answer(3, { term: 7 });
    answer(4, { term: 7 });
    expect([core.role, core.term]).toEqual(['pre-candidate', 1]);
  });

  test('gives up with a majority against it, and asks again at its deadline', () => {
    tickUntil('pre-candidate');
    for (const from of [2, 3, 4]) answer(from, { term: 1, granted: false });
    expect(core.role).toBe('follower');
    tickUntil('pre-candidate');
    expect(core.term).toBe(1);
  });

  test('in an outdated term asks again soon', () => {
    tickUntil('pre-candidate');
    const refusedAtMs = nowMs;
    expect(answer(2, { term: 6, granted: false }).hardState).toEqual({ term: 6, votedFor: null });
    expect([core.role, core.term]).toEqual(['follower', 6]);
    tickUntil('pre-candidate');
    expect(nowMs - refusedAtMs).toBeGreaterThanOrEqual(50);
    expect(nowMs - refusedAtMs).toBeLessThanOrEqual(100);
  });
});

describe('candidate', () => {
  beforeEach(() => void becomeCandidate());

  test('late pre-votes are no votes', () => {
    answer(4, {});
    answer(5, {});
    expect(core.role).toBe('candidate');
  });

  test('late refusals of the pre-vote are no refusals of the vote', () => {
    answer(4, { granted: false });
    answer(5, { granted: false });
    answer(4, { pre: false });
    answer(5, { pre: false });
    expect(core.role).toBe('leader');
  });

  test('leads with a majority, and starts its term with a no-op', () => {
    answer(4, { pre: false });
    answer(4, { pre: false });
    expect(core.role).toBe('candidate');
    const effects = answer(5, { pre: false });
    expect([core.role, core.leaderId, core.noopIndex]).toEqual(['leader', 1, 2]);
    expect(effects.roleChanged).toBe(true);
    expect(effects.appends).toEqual([expect.objectContaining({ index: 2, term: 2, type: 1 })]);
    expect(effects.sendNow).toHaveLength(4);
    expect(effects.sendNow[0]).toMatchObject({ kind: 'append-request', entries: effects.appends });
  });

  test('a refusal stays a refusal', () => {
    answer(4, { pre: false, granted: false });
    answer(4, { pre: false });
    answer(5, { pre: false });
    expect(core.role).toBe('candidate');
  });

  test('follows whoever leads its term', () => {
    const heartbeat = { prevIndex: 0, prevTerm: 0, commitIndex: 0, entries: [], sentAtMs: 0 };
    const message = { kind: 'append-request', from: 3, to: 1, term: 2, readRound: 0 } as const;
    core.step({ kind: 'message', message: { ...message, ...heartbeat } }, nowMs, 0);
    expect([core.role, core.leaderId, core.term]).toEqual(['follower', 3, 2]);
  });

  test('without a result asks for pre-votes again, in the same term', () => {
    tickUntil('pre-candidate');
    expect(core.term).toBe(2);
  });
});

test('the first timeouts are short, then, without success for a while, ordinary', () => {
  const asked: number[] = [];
  for (nowMs = 0; nowMs <= 20_000; nowMs++) {
    const effects = core.step({ kind: 'tick' }, nowMs, 0);
    if (effects.sendNow.length > 0) asked.push(nowMs);
  }
  expect(asked[0]).toBeLessThanOrEqual(450);
  for (let i = 1; i < asked.length; i++) {
    const waitedMs = asked[i]! - asked[i - 1]!;
    const [fromMs, throughMs] = asked[i - 1]! < 3000 ? [150, 450] : [1000, 2000];
    expect(waitedMs).toBeGreaterThanOrEqual(fromMs);
    expect(waitedMs).toBeLessThanOrEqual(throughMs);
  }
  expect(asked.length).toBeGreaterThan(15);
});

test('a broken connection to the leader: within 50 ms, again every 50 to 100 ms, for a while', () => {
  const heartbeat = { prevIndex: 0, prevTerm: 0, commitIndex: 0, entries: [], sentAtMs: 0 };
  const message = { kind: 'append-request', from: 3, to: 1, term: 2, readRound: 0 } as const;
  core.step({ kind: 'message', message: { ...message, ...heartbeat } }, 5000, 0);
  core.step({ kind: 'peer-lost', peer: 3 }, 5000, 0);
  const asked: number[] = [];
  for (nowMs = 5000; nowMs <= 12_000; nowMs++) {
    const effects = core.step({ kind: 'tick' }, nowMs, 0);
    if (effects.sendNow.length > 0) asked.push(nowMs);
  }
  expect(asked[0]).toBeLessThanOrEqual(5050);
  for (let i = 1; i < asked.length; i++) {
    const waitedMs = asked[i]! - asked[i - 1]!;
    const [fromMs, throughMs] = asked[i - 1]! < 6500 ? [50, 100] : [1000, 2000];
    expect(waitedMs).toBeGreaterThanOrEqual(fromMs);
    expect(waitedMs).toBeLessThanOrEqual(throughMs);
  }
  expect(asked.length).toBeGreaterThan(15);
});

describe('voters that may have forgotten something (R23)', () => {
  const forgetful = { forgetful: true } as const;

  test('make no majority', () => {
    tickUntil('pre-candidate');
    answer(2, forgetful);
    answer(3, forgetful);
    answer(4, forgetful);
    expect(core.role).toBe('pre-candidate');
    answer(5, { granted: false, term: 1 });
    expect(core.role).toBe('follower');
  });

  test('elect a leader together with all others, who knows what that means', () => {
    tickUntil('pre-candidate');
    for (const from of [2, 3, 4, 5]) answer(from, from === 5 ? {} : forgetful);
    expect(core.role).toBe('candidate');
    for (const from of [2, 3, 4]) answer(from, { ...forgetful, pre: false });
    expect(core.role).toBe('candidate');
    answer(5, { pre: false });
    expect(core.role).toBe('leader');
    expect(core.electedByAll).toBe(true);
  });

  test('are not needed where a majority has forgotten nothing', () => {
    becomeCandidate();
    answer(2, { pre: false });
    answer(4, { ...forgetful, pre: false });
    expect(core.role).toBe('candidate');
    answer(3, { pre: false });
    expect(core.role).toBe('leader');
    expect(core.electedByAll).toBe(false);
  });
});
