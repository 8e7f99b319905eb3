import { describe, expect, it } from '@jest/globals';
import { isMqError, MqError } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, entryType } from '../core/entry.js';
import { type MemoryStore } from '../ports.js';
import { Group, TestProposal, type Member } from './testing/group.js';

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: unknown) => (isMqError(error) ? error.code : String(error)),
  );

describe('RaftDriver: proposals', () => {
  it('puts all proposals of one turn into one entry, and answers them with their own results', async () => {
    const group = new Group(1);
    const { driver, machine } = await group.startAndElect();
    const proposals = [new TestProposal(10, 1), new TestProposal(30, 3), new TestProposal(20, 2)];
    for (const proposal of proposals) driver.propose(proposal);
    expect(machine.entries).toHaveLength(1); // The no-op: nothing is sealed within the turn.
    await group.settle();
    expect(machine.entries).toHaveLength(2);
    const entry = machine.entries[1]!;
    expect(entry.recordCount).toBe(6);
    expect(entry.frame.length).toBe(ENTRY_HEADER_SIZE_BYTES + 60);
    expect(proposals.map((proposal) => proposal.outcome)).toEqual([
      'committed',
      'committed',
      'committed',
    ]);
    expect(proposals.map((proposal) => proposal.results)).toEqual([
      ['2/0'],
      ['2/1', '2/2', '2/3'],
      ['2/4', '2/5'],
    ]);
    expect(proposals[2]!.context).toEqual({
      index: 2,
      term: 1,
      position: entry.position,
      storeTimestampMs: entry.storeTimestampMs,
    });
    expect(driver.probe).toMatchObject({
      sealedEntries: 1,
      sealedProposals: 3,
      sealedRecords: 6,
      settledEntries: 1,
    });
  });

  it('gathers what arrives while the disk is busy, and seals it when the disk is free', async () => {
    const group = new Group(1);
    const { driver, log, machine } = await group.startAndElect();
    log.disk.open = false;
    const first = new TestProposal();
    driver.propose(first);
    await group.settle();
    const later = [new TestProposal(), new TestProposal()];
    for (const proposal of later) {
      driver.propose(proposal);
      await group.settle();
    }
    expect(log.lastIndex).toBe(2);
    expect(driver.status()).toMatchObject({ queuedProposals: 2, waitingEntries: 1 });
    expect(first.outcome).toBe('open');
    log.disk.finish(1);
    await group.settle();
    expect(first.outcome).toBe('committed');
    expect(log.lastIndex).toBe(3);
    expect(log.memory.at(3).recordCount).toBe(2);
    log.disk.finish();
    await group.settle();
    expect(later.map((proposal) => proposal.outcome)).toEqual(['committed', 'committed']);
    expect(machine.appliedIndex).toBe(3);
  });

  it('refuses on followers, beyond its limits, and when stopped', async () => {
    const group = new Group(3, { proposalQueueMax: 2 });
    const leader = await group.startAndElect();
    const follower = group.members.find((member) => member !== leader)!;
    const refused = new TestProposal();
    follower.driver.propose(refused);
    expect(refused.outcome).toBe('not-leader');
    const proposals = [new TestProposal(), new TestProposal(), new TestProposal()];
    for (const proposal of proposals) leader.driver.propose(proposal);
    expect(proposals.map((proposal) => proposal.outcome)).toEqual(['open', 'open', 'overloaded']);
    await leader.driver.stop();
    expect(proposals.map((proposal) => proposal.outcome)).toEqual([
      'stopped',
      'stopped',
      'overloaded',
    ]);
    const late = new TestProposal();
    leader.driver.propose(late);
    expect(late.outcome).toBe('stopped');
  });

  it('asserts that a proposal keeps its announced size', async () => {
    const group = new Group(1);
    const { driver, fatals } = await group.startAndElect();
    const proposal = new TestProposal(10);
    proposal.write = (_frame, at) => at + 9;
    driver.propose(proposal);
    await group.settle();
    expect(fatals).toHaveLength(1);
    expect(proposal.outcome).toBe('open');
  });

  it('answers "lost" only when another entry is proven to be in the place', async () => {
    const group = new Group(3);
    const old = await group.startAndElect();
    const id = old.driver.status().id;
    group.cut.add(id);
    const sealed = new TestProposal();
    old.driver.propose(sealed);
    await group.settle();
    const queued = new TestProposal();
    old.log.disk.open = false;
    old.driver.propose(queued);
    await group.pass(2500); // The lease runs out, and the others elect.
    expect(old.driver.role.role).not.toBe('leader');
    expect(sealed.outcome).toBe('open');
    old.log.disk.open = true;
    old.log.disk.finish();
    await group.until(() =>
      group.members.some((member) => member !== old && member.driver.role.writable),
    );
    group.cut.delete(id);
    await group.until(() => sealed.outcome !== 'open');
    expect(sealed.outcome).toBe('lost');
    expect(old.fatals).toEqual([]);
  });

  it('answers "unknown" when the outcome stays open, and "no-quorum" to what it never sealed', async () => {
    const group = new Group(3, { proposalTimeoutMs: 3000, maxUnsyncedEntries: 1 });
    const leader = await group.startAndElect();
    leader.log.disk.open = false;
    for (const member of group.members)
      if (member !== leader) group.cut.add(member.driver.status().id);
    const sealed = new TestProposal();
    leader.driver.propose(sealed);
    await group.settle();
    const queued = new TestProposal();
    leader.driver.propose(queued);
    await group.pass(1500);
    expect([sealed.outcome, queued.outcome]).toEqual(['open', 'no-quorum']);
    await group.pass(2000);
    expect(sealed.outcome).toBe('unknown');
    expect(leader.driver.probe).toMatchObject({
      rejectedUnknown: 1,
      rejectedNoQuorum: 1,
      leadershipLost: 1,
    });
  });

  it('tells who asked for it of an outcome that comes after "unknown", though nobody else waits', async () => {
    const late: unknown[][] = [];
    class CuriousProposal extends TestProposal {
      committedLate(results: readonly unknown[], from: number): void {
        late.push(results.slice(from, from + this.recordCount));
      }
    }
    const group = new Group(1, { proposalTimeoutMs: 3000 });
    const leader = await group.startAndElect();
    leader.log.disk.open = false;
    const stalled = new CuriousProposal();
    leader.driver.propose(stalled);
    await group.pass(4000);
    expect(stalled.outcome).toBe('unknown');
    leader.log.disk.open = true;
    leader.log.disk.finish();
    await group.settle();
    expect(late).toEqual([[`${stalled.context!.index}/0`]]);
    const next = new TestProposal();
    leader.driver.propose(next);
    await group.settle();
    expect([next.outcome, late.length, leader.fatals]).toEqual(['committed', 1, []]);
  });
});

describe('RaftDriver: the disk', () => {
  it('lets no vote leave before it is durable', async () => {
    const group = new Group(3);
    await group.start();
    for (const member of group.members) member.votes.open = false;
    await group.pass(1000);
    const all = () => group.members.flatMap((member) => member.sent);
    expect(all().some((message) => message.kind === 'vote-request' && message.pre)).toBe(true);
    expect(all().filter((message) => message.kind === 'vote-request' && !message.pre)).toEqual([]);
    for (const member of group.members) {
      member.votes.open = true;
      member.votes.finish();
    }
    await group.until(() => group.members.some((member) => member.driver.role.writable));
  });

  it('lets no acknowledgement leave before the entries are durable', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    const followers = group.members.filter((member) => member !== leader);
    for (const follower of followers) follower.log.disk.open = false;
    const proposal = new TestProposal();
    leader.driver.propose(proposal);
    await group.settle();
    const index = leader.log.lastIndex;
    expect(followers.map((follower) => follower.log.lastIndex)).toEqual([index, index]);
    expect(proposal.outcome).toBe('open');
    followers[0]!.log.disk.finish();
    await group.settle();
    expect(proposal.outcome).toBe('committed');
  });

  it('drops an acknowledgement whose term is over when its entries become durable', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    const slow = group.members.find((member) => member !== leader)!;
    const { term } = leader.driver.role;
    slow.log.disk.open = false;
    leader.driver.propose(new TestProposal());
    await group.settle();
    const index = leader.log.lastIndex;
    group.cut.add(leader.driver.status().id);
    await group.until(() => slow.driver.role.term > term);
    slow.log.disk.open = true;
    slow.log.disk.finish();
    await group.until(() =>
      group.members.some((member) => member !== leader && member.driver.role.writable),
    );
    const acknowledged = slow.sent.filter(
      (message) => message.kind === 'append-response' && message.success,
    );
    expect(
      acknowledged.filter(
        (message) =>
          message.term === term &&
          message.kind === 'append-response' &&
          message.matchIndex >= index,
      ),
    ).toEqual([]);
    expect(slow.log.memory.termAt(index)).toBe(term);
  });

  it('commits on the followers alone while its own disk is stuck', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    leader.log.disk.open = false;
    const proposal = new TestProposal();
    leader.driver.propose(proposal);
    await group.settle();
    expect(proposal.outcome).toBe('committed');
    expect(leader.driver.status()).toMatchObject({
      commitIndex: leader.log.lastIndex,
      durableIndex: leader.log.lastIndex - 1,
    });
  });

  it('dies once, silently, when a write fails', async () => {
    const group = new Group(1);
    const { driver, log, fatals, sent } = await group.startAndElect();
    log.disk.open = false;
    const proposal = new TestProposal();
    driver.propose(proposal);
    await group.settle();
    const sentBefore = sent.length;
    log.disk.fail(new MqError('DISK_FAILED'));
    await group.pass(3000);
    expect(fatals).toHaveLength(1);
    expect(isMqError(fatals[0]) && fatals[0].code).toBe('DISK_FAILED');
    expect(proposal.outcome).toBe('open');
    expect(sent.length).toBe(sentBefore);
  });

  it('reads nothing from a log that refused an append, not even in the same turn', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    const old = leader.driver.status();
    // An entry that only the old leader has; then the others go on without it.
    group.cut.add(old.id);
    const doomed = new TestProposal();
    leader.driver.propose(doomed);
    await group.until(() =>
      group.members.some((member) => member !== leader && member.driver.role.writable),
    );
    leader.log.refuses = true;
    const appliedBefore = leader.machine.appliedIndex;
    group.cut.delete(old.id);
    await group.pass(3000);
    expect(leader.fatals).toHaveLength(1);
    expect(leader.machine.appliedIndex).toBe(appliedBefore);
    expect(doomed.outcome).toBe('open');
  });

  it('does not lead from a log that ends before what is applied', async () => {
    const group = new Group(1, {}, { term: 1, votedFor: 0 }, [5]);
    const [{ driver, fatals, machine }] = group.members as [Member];
    await group.start();
    await group.pass(3000);
    expect(fatals).toMatchObject([{ code: 'LOG_CORRUPTED' }]);
    expect(driver.role.writable).toBe(false);
    expect(machine.appliedIndex).toBe(5);
  });

  it('stops instead of replacing what is applied; a log that was cut short grows again', async () => {
    const source = new Group(1);
    const leader = await source.startAndElect();
    for (let i = 0; i < 4; i++) {
      leader.driver.propose(new TestProposal());
      await source.settle();
    }
    const { entries } = leader.log.memory;
    expect(entries).toHaveLength(5);
    const saved = { term: 1, votedFor: null };
    // The first one has all and has applied it; the others lost the end, and elect without the first one.
    const group = new Group(3, {}, saved, [5, 5, 0]);
    const [first, second, third] = group.members as [Member, Member, Member];
    first.log.memory.append(entries);
    second.log.memory.append(entries.slice(0, 3));
    third.log.memory.append(entries);
    group.cut.add(0);
    await group.start();
    await group.until(() => third.driver.role.writable);
    await group.pass(1000);
    expect(second.fatals).toEqual([]);
    expect(second.machine.appliedIndex).toBe(6);

    const forgetful = new Group(3, {}, saved, [5]);
    const members = forgetful.members;
    members[0]!.log.memory.append(entries);
    for (const other of members.slice(1)) other.log.memory.append(entries.slice(0, 3));
    forgetful.cut.add(0);
    await forgetful.start();
    await forgetful.until(() => members.slice(1).some(({ driver }) => driver.role.writable));
    forgetful.cut.clear();
    await forgetful.pass(3000);
    expect(members[0]!.fatals).toMatchObject([{ code: 'LOG_CORRUPTED' }]);
    expect(members[0]!.log.memory.entries).toHaveLength(5);
  });

  it('starts in the term of its log when the saved one is older', async () => {
    const group = new Group(1, {}, { term: 1, votedFor: 0 });
    const source = new Group(1, {}, { term: 6, votedFor: null });
    await source.startAndElect();
    const [member] = group.members;
    member!.log.memory.append(source.members[0]!.log.memory.entries);
    await group.startAndElect();
    expect(source.members[0]!.driver.role.term).toBe(7);
    expect(member!.driver.role.term).toBe(8);
  });
});

describe('RaftDriver: roles, reads and time', () => {
  it('opens writes only when its own no-op is applied', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    const roles = leader.machine.roles.filter((status) => status.role === 'leader');
    expect(roles.map((status) => status.writable)).toEqual([false, true]);
    expect(leader.machine.entries[0]!.type).toBe(entryType.noop);
  });

  it('serves reads after a round, and refuses them elsewhere', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    const follower = group.members.find((member) => member !== leader)!;
    const reads = [leader.driver.readIndex(), leader.driver.readIndex()];
    await group.pass(200);
    expect(await Promise.all(reads)).toEqual([leader.log.lastIndex, leader.log.lastIndex]);
    expect(await codeOf(follower.driver.readIndex())).toBe('HA_NOT_AVAILABLE');
    for (const member of group.members)
      if (member !== leader) group.cut.add(member.driver.status().id);
    const cut = codeOf(leader.driver.readIndex());
    await group.pass(3000);
    expect(await cut).toBe('HA_NOT_AVAILABLE');
  });

  it('steps down after a stall before it answers anything', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    group.stall(5000);
    const read = codeOf(leader.driver.readIndex());
    const proposal = new TestProposal();
    leader.driver.propose(proposal);
    await group.settle();
    expect(await read).toBe('HA_NOT_AVAILABLE');
    expect(proposal.outcome).toBe('no-quorum');
    expect(leader.driver.probe).toMatchObject({ stalls: 1, stallMaxMs: 5000 });
    expect(leader.fatals).toEqual([]);
  });

  it('hands leadership over, and says when it cannot', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    const target = group.members.find((member) => member !== leader)!;
    const moved = codeOf(leader.driver.transferLeadership(target.driver.status().id));
    await group.pass(200);
    expect(await moved).toBe('resolved');
    await group.until(() => target.driver.role.writable);
    expect(await codeOf(leader.driver.transferLeadership(null))).toBe('PRECONDITION_FAILED');
    const alone = new Group(1);
    const { driver } = await alone.startAndElect();
    expect(await codeOf(driver.transferLeadership(null))).toBe('PRECONDITION_FAILED');
  });

  it('leads on when the target of a transfer is gone', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    const target = group.members.find((member) => member !== leader)!.driver.status().id;
    group.cut.add(target);
    const failed = codeOf(leader.driver.transferLeadership(target));
    await group.pass(3000);
    expect(await failed).toBe('HA_NOT_AVAILABLE');
    const proposal = new TestProposal();
    group.leader().driver.propose(proposal);
    await group.settle();
    expect(proposal.outcome).toBe('committed');
  });

  it('sleeps until something is due, however coarse the tick is', async () => {
    const group = new Group(3, { tickMs: 100 });
    const leader = await group.startAndElect();
    await group.pass(1000);
    const follower = group.members.find((member) => member !== leader)!;
    const counts = () => [leader.timers, follower.timers, leader.sent.length];
    const before = counts();
    await group.pass(10_000);
    const [ofLeader, ofFollower, sent] = counts().map((count, i) => count - before[i]!);
    expect(sent).toBe(200); // Two heartbeats every 100 ms, on the millisecond.
    expect(ofLeader).toBeLessThanOrEqual(101);
    expect(ofFollower).toBeLessThanOrEqual(25);
    const votes = group.members.map((member) => member.driver.probe.campaigns);
    expect(leader.driver.probe.stalls + follower.driver.probe.stalls).toBe(0);

    // Cut off, it must wake up for its election by itself; and its long sleep is no stall.
    group.cut.add(follower.driver.status().id);
    await group.pass(8000);
    expect(follower.driver.role.role).toBe('pre-candidate');
    expect(follower.driver.probe.stalls).toBe(0);
    expect(leader.driver.probe.campaigns).toBe(votes[group.members.indexOf(leader)]);
  });

  it('moves the timer when a deadline comes nearer', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    await group.pass(1000);
    const follower = group.members.find((member) => member !== leader)!;
    const { id, leaderId } = follower.driver.status();
    group.cut.add(leaderId!);
    group.lose(id, leaderId!);
    await group.pass(51); // The most that peerLostJitterMaxMs allows.
    expect(follower.driver.probe.campaigns).toBeGreaterThan(0);
  });

  it('applies a long log in slices, with the event loop in between', async () => {
    const group = new Group(1, { applySliceBytes: 4096, batchBytesMax: 4096 });
    const { driver, machine } = await group.startAndElect();
    for (let i = 0; i < 40; i++) {
      driver.propose(new TestProposal(4000));
      await group.settle();
    }
    const late = new Group(1, { applySliceBytes: 4096 });
    late.members[0]!.log.memory.append(group.members[0]!.log.memory.entries);
    await late.startAndElect();
    expect(late.members[0]!.machine.appliedIndex).toBe(machine.appliedIndex + 1);
    expect(late.members[0]!.machine.runs).toBeGreaterThanOrEqual(20); // Two entries of 4 KiB fill a slice.
  });

  it('stops without waiting for ever, and only once', async () => {
    const group = new Group(3);
    const leader = await group.startAndElect();
    leader.log.disk.open = false;
    const sealed = new TestProposal();
    leader.driver.propose(sealed);
    for (const member of group.members)
      if (member !== leader) group.cut.add(member.driver.status().id);
    await group.settle();
    let stopped = false;
    const stopping = leader.driver.stop().then(() => {
      stopped = true;
    });
    await group.settle();
    expect(sealed.outcome).toBe('unknown');
    expect(stopped).toBe(false);
    leader.log.disk.finish();
    await stopping;
    await leader.driver.stop();
    expect(stopped).toBe(true);
  });
});

describe('RaftDriver: after a power cut', () => {
  class TestMemory implements MemoryStore {
    forgetful: boolean;
    fails = false;

    constructor(forgetful: boolean) {
      this.forgetful = forgetful;
    }

    async remembers(): Promise<void> {
      if (this.fails) throw new Error('EIO');
      this.forgetful = false;
    }
  }

  const start = async (forgetful: readonly boolean[]): Promise<[Group, TestMemory[]]> => {
    const memories = forgetful.map((each) => new TestMemory(each));
    const group = new Group(forgetful.length, {}, undefined, [], memories);
    for (const { driver } of group.members) await driver.start();
    return [group, memories];
  };
  const byAll = (group: Group): number[] =>
    group.members.map(({ driver }) => driver.probe.electionsByAll);

  it('a forgetful replica is brought up to date by the leader that the others elect', async () => {
    const [group, memories] = await start([false, true, false]);
    expect(group.members[1]!.driver.status().recovery).toBe('forgetful');
    await group.pass(4000);
    expect(group.members.map(({ driver }) => driver.status().recovery)).toEqual(
      Array(3).fill('none'),
    );
    expect(memories[1]!.forgetful).toBe(false);
    expect(byAll(group)).toEqual([0, 0, 0]);
  });

  it('a majority of them waits for the last replica, and what that may have cost is counted', async () => {
    const [group, memories] = await start([true, true, false]);
    group.cut.add(2);
    await group.pass(10_000);
    expect(group.members.some(({ driver }) => driver.role.role === 'leader')).toBe(false);
    expect(memories[0]!.forgetful).toBe(true);
    group.cut.clear();
    await group.pass(8000);
    expect(group.leader().driver.role.writable).toBe(true);
    expect(memories.map(({ forgetful }) => forgetful)).toEqual([false, false, false]);
    expect(byAll(group).reduce((sum, count) => sum + count)).toBe(1);
  });

  it('stops when it cannot note that it takes part again', async () => {
    const memory = new TestMemory(true);
    memory.fails = true;
    const group = new Group(1, {}, undefined, [], [memory]);
    await group.members[0]!.driver.start();
    await group.pass(1000);
    expect(group.members[0]!.fatals).toHaveLength(1);
  });
});
