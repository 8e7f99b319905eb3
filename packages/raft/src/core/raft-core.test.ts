import { describe, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { raftCoreConfig, type RaftCoreConfig } from './config.js';
import { RaftCore } from './raft-core.js';
import { Cluster, entriesOfTerms } from './testing/cluster.js';
import { MemoryLog } from './testing/memory-log.js';
import { type Message, type NodeId } from './types.js';

function newCluster(count: number, changes: Partial<RaftCoreConfig> = {}): Cluster {
  const setups = new Map<NodeId, { terms: number[] }>();
  for (let id = 1; id <= count; id++) setups.set(id, { terms: [] });
  return new Cluster(raftCoreConfig(changes), setups, 1, () => undefined);
}

function leaderOf(cluster: Cluster): NodeId {
  cluster.run(1000);
  for (const id of cluster.nodes.keys()) if (cluster.core(id).role === 'leader') return id;
  throw new Error('no leader');
}

function newCore(terms: readonly number[], term = terms.at(-1) ?? 0, appliedIndex = 0): RaftCore {
  return new RaftCore({
    id: 1,
    voters: [1, 2, 3],
    config: raftCoreConfig(),
    log: new MemoryLog(entriesOfTerms(terms)),
    hardState: { term, votedFor: null },
    random: createPrng(1),
    appliedIndex,
  });
}

function append(changes: Partial<Message & { kind: 'append-request' }>): Message {
  return {
    kind: 'append-request',
    from: 2,
    to: 1,
    term: 3,
    prevIndex: 0,
    prevTerm: 0,
    commitIndex: 0,
    entries: [],
    sentAtMs: 7,
    readRound: 0,
    ...changes,
  };
}

describe('construction', () => {
  test('shows what it was given', () => {
    const core = newCore([1, 1, 2], 5, 2);
    expect(core).toMatchObject({ id: 1, voters: [1, 2, 3], role: 'follower', term: 5 });
    expect(core).toMatchObject({ votedFor: null, leaderId: null, commitIndex: 2, lastIndex: 3 });
    expect(core).toMatchObject({ durableIndex: 3, noopIndex: null, transferTarget: null });
    expect(core).toMatchObject({ canPropose: false, uncommittedBytes: 0, progress: [] });
  });

  test('refuses a state that cannot be', () => {
    expect(() => newCore([1, 2], 2, 3)).toThrow('still in the log');
  });

  test('takes the term from the log when a power cut kept only that, without a vote', () => {
    const options = { id: 1, voters: [1, 2, 3], config: raftCoreConfig(), random: createPrng(1) };
    const log = new MemoryLog(entriesOfTerms([1, 3]));
    const core = new RaftCore({ ...options, log, hardState: { term: 2, votedFor: 3 } });
    expect([core.term, core.votedFor]).toEqual([3, null]);
    expect(core.step({ kind: 'tick' }, 0, 0).hardState).toBeNull();
  });

  test('what the log has forgotten is committed', () => {
    const log = new MemoryLog(entriesOfTerms([1, 1, 1]));
    log.compactThrough(2);
    const options = { id: 1, voters: [1], config: raftCoreConfig(), random: createPrng(1) };
    const core = new RaftCore({ ...options, log, hardState: { term: 1, votedFor: null } });
    expect(core.commitIndex).toBe(2);
  });
});

describe('proposals', () => {
  test('are taken by the leader only, and not asked for in vain', () => {
    const cluster = newCluster(3);
    const leader = leaderOf(cluster);
    for (const id of cluster.nodes.keys()) expect(cluster.core(id).canPropose).toBe(id === leader);
    const follower = leader === 1 ? 2 : 1;
    const entry = cluster.node(follower).log.at(1);
    expect(() => cluster.step(follower, { kind: 'propose', entry })).toThrow('only a leader');
    expect(() => cluster.step(leader, { kind: 'propose', entry })).toThrow('next index');
  });

  test('stop while too many bytes are not committed (R30)', () => {
    const cluster = newCluster(3, { maxUncommittedBytes: 1000 });
    const leader = leaderOf(cluster);
    for (const id of cluster.nodes.keys()) if (id !== leader) cluster.crash(id);
    let taken = 0;
    while (cluster.propose(leader, 144)) taken++;
    expect(taken).toBe(5);
    expect(cluster.core(leader).uncommittedBytes).toBe(1000);
    for (const id of cluster.nodes.keys()) if (id !== leader) cluster.start(id);
    cluster.run(300);
    expect(cluster.core(leader).uncommittedBytes).toBe(0);
    expect(cluster.core(leader).canPropose).toBe(true);
  });

  test('one that was promised before a pause is appended; the next step gives leadership up', () => {
    const cluster = newCluster(3);
    const leader = leaderOf(cluster);
    cluster.nowMs += 5000;
    const { lastIndex } = cluster.core(leader);
    expect(cluster.propose(leader)).toBe(true);
    expect(cluster.core(leader).lastIndex).toBe(lastIndex + 1);
    cluster.step(leader, { kind: 'tick' });
    expect(cluster.core(leader).role).toBe('follower');
  });
});

describe('the deadline', () => {
  /** Ticks at deadlines only, until `over`; returns when that was. */
  const sleepUntil = (cluster: Cluster, id: NodeId, over: () => boolean): number => {
    while (!over()) {
      cluster.nowMs = Math.max(cluster.nowMs, cluster.core(id).deadlineMs);
      cluster.step(id, { kind: 'tick' });
      cluster.settle();
    }
    return cluster.nowMs;
  };

  test('of a leader is its heartbeat, the end of its lease, or that of a transfer', () => {
    const cluster = newCluster(3, { heartbeatIntervalMs: 400 });
    const leader = leaderOf(cluster);
    const core = cluster.core(leader);
    const target = [...cluster.nodes.keys()].find((id) => id !== leader)!;
    cluster.cut(leader, target);
    cluster.nowMs += 50;
    const startedAtMs = cluster.nowMs;
    // The target cannot catch up.
    expect(cluster.propose(leader)).toBe(true);
    cluster.step(leader, { kind: 'transfer', target });
    const takenBackAtMs = sleepUntil(cluster, leader, () => core.transferTarget === null);
    expect(takenBackAtMs).toBe(startedAtMs + 1000);

    for (const id of cluster.nodes.keys()) if (id !== leader) cluster.cut(leader, id);
    const contactMs = Math.max(...core.progress.map((peer) => peer.contactMs));
    const steppedDownAtMs = sleepUntil(cluster, leader, () => core.role !== 'leader');
    expect(steppedDownAtMs).toBe(contactMs + 900);
  });

  test('of others is their election, and there is none while they recover', () => {
    const core = newCore([]);
    core.step({ kind: 'tick' }, 1000, 0);
    expect(core.deadlineMs).toBeGreaterThanOrEqual(1150);
    expect(core.deadlineMs).toBeLessThanOrEqual(1450);
    core.step({ kind: 'standing', takesPart: false }, 1001, 0);
    expect(core.deadlineMs).toBe(Infinity);
    expect(core.step({ kind: 'tick' }, 9000, 0).sendNow).toEqual([]);
  });
});

describe('lease', () => {
  test('lasts leaseMs from the newest answered request of a majority', () => {
    const cluster = newCluster(3);
    const leader = leaderOf(cluster);
    const core = cluster.core(leader);
    const contactMs = Math.max(...core.progress.map((peer) => peer.contactMs));
    expect(core.leaseValid(contactMs + 899)).toBe(true);
    expect(core.leaseValid(contactMs + 900)).toBe(false);
  });

  test('is given up before a transfer, and not held by others', () => {
    const cluster = newCluster(3);
    const leader = leaderOf(cluster);
    const core = cluster.core(leader);
    cluster.step(leader, { kind: 'transfer', target: null });
    expect(core.leaseValid(cluster.nowMs)).toBe(false);
    expect(core.transferTarget).not.toBeNull();
    expect(cluster.core(core.transferTarget!).leaseValid(cluster.nowMs)).toBe(false);
  });

  test('a group of one always holds it', () => {
    const cluster = newCluster(1);
    expect(leaderOf(cluster)).toBe(1);
    expect(cluster.core(1).leaseValid(cluster.nowMs + 1e9)).toBe(true);
  });
});

test('reads beyond the limit are refused at once (R30)', () => {
  const cluster = newCluster(3, { maxPendingReads: 2 });
  const leader = leaderOf(cluster);
  const core = cluster.core(leader);
  for (const id of [1, 2]) {
    expect(core.step({ kind: 'read', id }, cluster.nowMs, 0).reads).toEqual([]);
  }
  const { reads } = core.step({ kind: 'read', id: 3 }, cluster.nowMs, 0);
  expect(reads).toEqual([{ id: 3, index: null }]);
});

describe('messages', () => {
  test('of strangers, and those meant for others, change nothing', () => {
    const core = newCore([1], 1);
    for (const [from, to] of [
      [9, 1],
      [2, 3],
      [1, 1],
    ] as const) {
      const message = append({ from, to, term: 99 });
      const effects = core.step({ kind: 'message', message }, 0, 0);
      expect(effects.sendNow).toEqual([]);
      expect(effects.sendAfterSync).toEqual([]);
      expect(core.term).toBe(1);
    }
    expect(core.step({ kind: 'peer-lost', peer: 9 }, 0, 0).roleChanged).toBe(false);
  });

  test('the answer to a first heartbeat waits for the term, later ones do not wait for the disk', () => {
    const core = newCore([1, 1], 1);
    const first = core.step({ kind: 'message', message: append({}) }, 0, 0);
    expect(first.hardState).toEqual({ term: 3, votedFor: null });
    expect(first.sendNow).toEqual([]);
    expect(first.sendAfterSync).toHaveLength(1);
    const second = core.step({ kind: 'message', message: append({ sentAtMs: 9 }) }, 1, 0);
    expect(second.hardState).toBeNull();
    expect(second.sendNow).toEqual([expect.objectContaining({ success: true, sentAtMs: 9 })]);
  });

  test('an old leader learns the term from the refusal', () => {
    const core = newCore([1], 5);
    const effects = core.step({ kind: 'message', message: append({ term: 4 }) }, 0, 0);
    expect(effects.sendNow).toEqual([expect.objectContaining({ success: false, term: 5 })]);
    expect(core.leaderId).toBeNull();
  });

  test('two leaders in one term, or a leader that contradicts a committed entry, stop the process', () => {
    const core = newCore([1, 1], 1, 2);
    core.step({ kind: 'message', message: append({}) }, 0, 0);
    const other = append({ from: 3 });
    expect(() => core.step({ kind: 'message', message: other }, 0, 0)).toThrow('one leader');
    const again = newCore([1, 1], 1, 2);
    const entries = entriesOfTerms([1, 3]);
    const message = append({ entries });
    expect(() => again.step({ kind: 'message', message }, 0, 0)).toThrow('never contradicts');
  });

  test('a request with a gap stops the process', () => {
    const core = newCore([], 0);
    const [first, , third] = entriesOfTerms([1, 1, 1]);
    const message = append({ entries: [first!, third!] });
    expect(() => core.step({ kind: 'message', message }, 0, 0)).toThrow('no gap');
  });
});

describe('effects', () => {
  test('arrays stay as they were handed out', () => {
    const cluster = newCluster(3);
    const core = cluster.core(1);
    const asked = core.step({ kind: 'tick' }, 5000, 0);
    const { sendNow, sendAfterSync } = asked;
    const later = core.step({ kind: 'tick' }, 10_000, 0);
    expect(later).toBe(asked);
    expect(later.sendNow).not.toBe(sendNow);
    expect(later.sendAfterSync).not.toBe(sendAfterSync);
  });

  test('a repeated vote waits for its own sync again, as the first may still be under way', () => {
    const core = newCore([], 0);
    const message: Message = {
      kind: 'vote-request',
      from: 2,
      to: 1,
      term: 1,
      pre: false,
      lastIndex: 0,
      lastTerm: 0,
      transfer: false,
    };
    for (let i = 0; i < 2; i++) {
      const effects = core.step({ kind: 'message', message }, i, 0);
      expect(effects.hardState).toEqual({ term: 1, votedFor: 2 });
      expect(effects.sendNow).toEqual([]);
      expect(effects.sendAfterSync).toEqual([expect.objectContaining({ granted: true })]);
    }
  });

  test('the no-op is stamped no earlier than the entry before it (R29)', () => {
    const log = new MemoryLog(entriesOfTerms([1, 1]));
    const options = { id: 1, voters: [1], config: raftCoreConfig(), random: createPrng(1) };
    const core = new RaftCore({ ...options, log, hardState: { term: 1, votedFor: null } });
    const effects = core.step({ kind: 'tick' }, 0, 5);
    expect(effects.appends[0]).toMatchObject({ index: 3, term: 2, storeTimestampMs: 1001 });
    expect(core.noopIndex).toBe(3);
  });

  test('same inputs, same effects', () => {
    const traces = [1, 2].map(() => {
      const lines: string[] = [];
      const setups = new Map([1, 2, 3].map((id) => [id, { terms: [] }] as const));
      const cluster = new Cluster(raftCoreConfig(), setups, 42, (line) => lines.push(line));
      cluster.run(2000);
      return lines.join('\n');
    });
    expect(traces[0]).toBe(traces[1]);
  });
});

test('time that goes back, and a sync from the future, stop the process', () => {
  const core = newCore([1], 1);
  core.step({ kind: 'tick' }, 10, 0);
  expect(() => core.step({ kind: 'tick' }, 9, 0)).toThrow('does not go back');
  const synced = { kind: 'synced', throughIndex: 1, term: 2 } as const;
  expect(() => core.step(synced, 10, 0)).toThrow('later term');
});
