import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { raftCoreConfig } from './config.js';
import { ENTRY_HEADER_SIZE_BYTES, entryType, sealEntry } from './entry.js';
import { RaftCore } from './raft-core.js';
import { APPEND_ENTRIES_MAX } from './replication.js';
import { Cluster, type NodeSetup } from './testing/cluster.js';
import { MemoryLog } from './testing/memory-log.js';
import { type Input, type Message, type NodeId } from './types.js';

/** Lets n1 lead with n3's vote, then n1 finds n2; gives the refusals it took. */
function refusalsToFind(leaderTerms: readonly number[], followerTerms: readonly number[]): number {
  const term = Math.max(leaderTerms.at(-1) ?? 0, followerTerms.at(-1) ?? 0);
  const setups = new Map<NodeId, NodeSetup>([
    [1, { terms: leaderTerms, term }],
    [2, { terms: followerTerms, term }],
    [3, { terms: leaderTerms, term }],
  ]);
  let refusals = 0;
  const cluster = new Cluster(raftCoreConfig(), setups, 1, (line) => {
    if (line.startsWith('n2>n1') && line.includes(' no prev=')) refusals++;
  });
  cluster.crash(2);
  while (cluster.core(1).role !== 'leader') {
    cluster.nowMs++;
    cluster.step(1, { kind: 'tick' });
    cluster.settle();
  }
  cluster.start(2);
  cluster.step(1, { kind: 'peer-connected', peer: 2 });
  cluster.settle();
  expect(cluster.node(2).log.entries).toEqual(cluster.node(1).log.entries);
  return refusals;
}

function range(from: number, through: number, step: number, times: number): number[] {
  const terms: number[] = [];
  for (let term = from; term <= through; term += step) {
    for (let i = 0; i < times; i++) terms.push(term);
  }
  return terms;
}

describe('fast back-up (R16)', () => {
  test('50 diverging terms take at most 51 rounds; the cluster checks that nothing that matches is cut', () => {
    const common = [1, 1, 1, 1, 1];
    const leader = [...common, ...range(3, 101, 2, 3)];
    const follower = [...common, ...range(2, 100, 2, 3)];
    const refusals = refusalsToFind(leader, follower);
    expect(refusals).toBeGreaterThan(10);
    expect(refusals + 1).toBeLessThanOrEqual(51);
  });

  test('a follower with one long run of a dead term takes one refusal', () => {
    expect(refusalsToFind([1, 1, 3], [1, 1, ...range(2, 2, 1, 500)])).toBe(1);
  });

  test('a follower that is only short takes one refusal', () => {
    expect(refusalsToFind(range(1, 1, 1, 500), [1, 1, 1])).toBe(1);
  });

  test('random logs: never more refusals than terms of the follower, plus one for its length', () => {
    const random = createPrng(11);
    for (let round = 0; round < 200; round++) {
      const common = range(1, random.integer(1, 3), 1, random.integer(1, 3));
      const draw = (parity: number): number[] => {
        const terms = [...common];
        for (let term = 4; term < 30; term++) {
          if (term % 2 !== parity || random.chance(0.5)) continue;
          for (let i = random.integer(1, 4); i > 0; i--) terms.push(term);
        }
        return terms;
      };
      // The leader's last term is the highest, or it would not be elected by a like-minded third.
      const leader = [...draw(1), 31];
      const follower = draw(0);
      const foreign = new Set(follower.filter((term) => term >= 4)).size;
      expect(refusalsToFind(leader, follower)).toBeLessThanOrEqual(foreign + 1);
    }
  });
});

test('a request carries no more entries than a receiver takes, however small they are', () => {
  const count = APPEND_ENTRIES_MAX + 100;
  const entries = Array.from({ length: count }, (_, i) =>
    sealEntry(Buffer.alloc(ENTRY_HEADER_SIZE_BYTES), {
      index: i + 1,
      term: 1,
      position: i * ENTRY_HEADER_SIZE_BYTES,
      type: entryType.noop,
      storeTimestampMs: 1,
      recordCount: 0,
    }),
  );
  const held = new MemoryLog(entries);
  const core = new RaftCore({
    id: 0,
    voters: [0, 1, 2],
    config: raftCoreConfig({ maxAppendBytes: 16 * 1024 * 1024 }),
    log: held,
    hardState: { term: 1, votedFor: null },
    random: createPrng(1),
  });
  const step = (input: Input, nowMs = 5_000): readonly Message[] => {
    const { appends, sendNow } = core.step(input, nowMs, 0);
    held.append(appends);
    return sendNow;
  };
  step({ kind: 'tick' }, 0);
  step({ kind: 'tick' });
  for (const pre of [true, false]) {
    const vote = { kind: 'vote-response', from: 2, to: 0, term: 2, pre, granted: true } as const;
    step({ kind: 'message', message: { ...vote, forgetful: false } });
  }
  expect(core.role).toBe('leader');
  const answer = (matchIndex: number, success: boolean): Input => ({
    kind: 'message',
    message: {
      kind: 'append-response',
      from: 1,
      to: 0,
      term: 2,
      success,
      matchIndex,
      conflictTerm: 0,
      conflictFirstIndex: 0,
      lastIndex: 0,
      sentAtMs: 5_000,
      readRound: 0,
      recovery: 0,
      forgetful: false,
    },
  });
  step(answer(count, false));
  const sizes = step(answer(0, true)).map((message) =>
    message.kind === 'append-request' ? message.entries.length : 0,
  );
  expect(sizes).toEqual([APPEND_ENTRIES_MAX, 101]);
});
