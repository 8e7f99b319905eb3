import { describe, expect, it } from '@jest/globals';
import { isMqError } from '@raftmq/base';
import { entryType, sealEntry, type Entry } from '../core/entry.js';
import { DiskGate, type GatedStep } from './disk-gate.js';
import { ProposalQueue, type ProposalQueueLimits } from './proposal-queue.js';
import { ReadRequests } from './read-requests.js';
import { raftDriverConfig, raftDriverSettings } from './settings.js';
import { TestProposal } from './testing/group.js';
import { WaitingEntries } from './waiting-entries.js';

const limits: ProposalQueueLimits = {
  batchBytesMax: 200,
  batchRecordsMax: 5,
  proposalQueueBytesMax: 1000,
  proposalQueueMax: 100,
  proposalTimeoutMs: 800,
};
const context = { index: 1, term: 1, position: 0, storeTimestampMs: 1 };

function entry(index: number, term: number, recordCount = 1): Entry {
  return sealEntry(Buffer.alloc(60), {
    index,
    term,
    position: 0,
    type: entryType.records,
    storeTimestampMs: 1,
    recordCount,
  });
}

describe('DiskGate', () => {
  const step = (pending: number, term: number): GatedStep => ({
    pending,
    messages: [],
    appendedThrough: 0,
    term,
  });

  it('releases a step only when it and all before it are durable, in order', () => {
    const released: number[] = [];
    const gate = new DiskGate(({ term }) => released.push(term));
    const [a, b, c] = [step(2, 1), step(1, 2), step(0, 3)];
    for (const each of [a, b, c]) gate.enter(each);
    gate.done(b);
    gate.done(a);
    expect(released).toEqual([]);
    gate.done(a);
    expect(released).toEqual([1, 2, 3]);
    gate.enter(step(0, 4));
    expect(released).toEqual([1, 2, 3, 4]);
    expect(gate.size).toBe(0);
  });

  it('releases nothing after it was cleared', () => {
    const released: number[] = [];
    const gate = new DiskGate(({ term }) => released.push(term));
    const a = step(1, 1);
    gate.enter(a);
    gate.clear();
    gate.done(a);
    expect(released).toEqual([]);
  });
});

describe('ProposalQueue', () => {
  it('fills an entry up to bytes and records, and lets a larger proposal go alone', () => {
    const queue = new ProposalQueue(limits);
    for (const [sizeBytes, records] of [
      [100, 1],
      [40, 1],
      [10, 1],
      [10, 3],
      [10, 1],
      [500, 1],
      [10, 1],
    ] as const) {
      expect(queue.push(new TestProposal(sizeBytes, records))).toBe(true);
    }
    const batches: number[][] = [];
    while (queue.size > 0)
      batches.push(queue.seal(context).proposals.map((proposal) => proposal.sizeBytes));
    // 56 bytes of header + 100 + 40 is all that fits 200; then 3 + 1 + 1 records; then the large one.
    expect(batches).toEqual([[100, 40], [10, 10, 10], [500], [10]]);
    expect(queue.bytes).toBe(0);
  });

  it('refuses at its limits, but never the only proposal', () => {
    const queue = new ProposalQueue({ ...limits, proposalQueueMax: 3 });
    expect(queue.push(new TestProposal(5000))).toBe(true);
    expect(queue.push(new TestProposal(1))).toBe(false);
    queue.seal(context);
    expect([1, 2, 3, 4].map(() => queue.push(new TestProposal(1)))).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });

  it('expires what has waited for the timeout, and nothing younger than it', () => {
    const queue = new ProposalQueue(limits);
    const old = new TestProposal();
    queue.push(old);
    for (let nowMs = 0; nowMs < 400; nowMs += 20) expect(queue.expire(nowMs)).toBe(0);
    const young = new TestProposal();
    queue.push(young);
    let expired = 0;
    for (let nowMs = 400; nowMs <= 1000; nowMs += 20) expired += queue.expire(nowMs);
    expect(expired).toBe(1);
    expect([old.outcome, young.outcome]).toEqual(['overloaded', 'open']);
    expect(queue.expire(1400)).toBe(1);
    expect(queue.bytes).toBe(0);
  });
});

describe('WaitingEntries', () => {
  it('answers the entry that was applied, and proves those behind a later term lost', () => {
    const waiting = new WaitingEntries();
    const [a, b, c, d] = [
      new TestProposal(),
      new TestProposal(),
      new TestProposal(),
      new TestProposal(1, 2),
    ];
    waiting.add(entry(5, 3), [a], 0);
    waiting.add(entry(6, 3), [b], 0);
    waiting.add(entry(7, 3), [c], 0);
    waiting.add(entry(7, 9, 2), [d], 0);
    expect(waiting.expects(entry(4, 3))).toBe(false);
    expect(waiting.expects(entry(5, 3))).toBe(true);
    waiting.applied(entry(5, 3), ['x']);
    expect(waiting.applied(entry(6, 8), null).lostProposals).toBe(2);
    expect(waiting.expects(entry(7, 9))).toBe(true);
    waiting.applied(entry(7, 9, 2), ['y', 'z']);
    expect([a, b, c, d].map((each) => each.outcome)).toEqual([
      'committed',
      'lost',
      'lost',
      'committed',
    ]);
    expect(d.results).toEqual(['y', 'z']);
    expect(waiting.size).toBe(0);
  });

  it('settles an entry of an earlier leadership that a later one commits', () => {
    const waiting = new WaitingEntries();
    const [old, own] = [new TestProposal(), new TestProposal()];
    waiting.add(entry(5, 3), [old], 0);
    waiting.add(entry(7, 9), [own], 1);
    waiting.applied(entry(5, 3), ['x']);
    expect([old.outcome, own.outcome]).toEqual(['committed', 'open']);
  });

  it('gives up on the oldest first', () => {
    const waiting = new WaitingEntries();
    const [a, b] = [new TestProposal(), new TestProposal()];
    waiting.add(entry(1, 1), [a], 10);
    waiting.add(entry(2, 1), [b], 20);
    expect(waiting.expire(20)).toBe(1);
    expect([a.outcome, b.outcome]).toEqual(['unknown', 'open']);
  });

  it('tells those who asked for it when an entry commits after they were told "unknown"', () => {
    const waiting = new WaitingEntries();
    const late: unknown[][] = [];
    class Curious extends TestProposal {
      committedLate(results: readonly unknown[], from: number): void {
        late.push(results.slice(from, from + this.recordCount));
      }
    }
    waiting.add(entry(1, 1, 3), [new TestProposal(), new Curious(1, 2)], 10);
    waiting.add(entry(2, 1), [new TestProposal()], 11);
    waiting.add(entry(3, 1), [new Curious()], 12);
    waiting.add(entry(4, 1), [new Curious()], 13);
    const open = new TestProposal();
    waiting.add(entry(5, 1), [open], 20);
    expect(waiting.expire(20)).toBe(5);
    expect(waiting.size).toBe(1);
    expect([1, 2, 3].map((index) => waiting.expects(entry(index, 1)))).toEqual([
      true,
      false,
      false,
    ]);
    expect(waiting.applied(entry(1, 1, 3), ['x', 'y', 'z'])).toMatchObject({ committedEntries: 0 });
    expect(late).toEqual([['y', 'z']]);
    waiting.applied(entry(2, 1), null);
    expect(waiting.expects(entry(3, 1))).toBe(true);
    waiting.applied(entry(3, 1), ['a']);
    expect(late).toEqual([['y', 'z'], ['a']]);
    // Another leader's entry lies where the last two were.
    waiting.applied(entry(4, 2), null);
    expect([late.length, open.outcome, waiting.expects(entry(4, 1))]).toEqual([2, 'lost', false]);
  });

  it('asserts one result per record', () => {
    const waiting = new WaitingEntries();
    waiting.add(entry(1, 1, 2), [new TestProposal(1, 2)], 0);
    expect(() => waiting.applied(entry(1, 1, 2), ['only one'])).toThrow('one result per record');
  });
});

describe('ReadRequests', () => {
  it('shares a round within a turn, and serves it when the index is applied', async () => {
    const reads = new ReadRequests(10, 100);
    const [a, b] = [reads.add(), reads.add()];
    const first = reads.ask(0)!;
    const late = reads.add();
    const second = reads.ask(0)!;
    expect(reads.ask(0)).toBeNull();
    reads.answered({ id: second, index: 9 });
    reads.answered({ id: first, index: 7 });
    reads.applied(7);
    expect(await Promise.all([a, b])).toEqual([7, 7]);
    expect(reads.waiting).toBe(1);
    reads.applied(9);
    expect(await late).toBe(9);
  });

  it('refuses at the limit, and fails what is refused, late or stopped', async () => {
    const reads = new ReadRequests(3, 100);
    const code = (read: Promise<number>): Promise<unknown> =>
      read.then(
        () => 'served',
        (error: unknown) => (isMqError(error) ? error.code : error),
      );
    const refused = code(reads.add());
    reads.answered({ id: reads.ask(0)!, index: null });
    const late = code(reads.add());
    reads.ask(0);
    reads.expire(100);
    expect(reads.waiting).toBe(1);
    reads.expire(101);
    const stopped = [code(reads.add()), code(reads.add()), code(reads.add())];
    const over = code(reads.add());
    reads.rejectAll();
    expect(await Promise.all([refused, late, over, ...stopped])).toEqual([
      'HA_NOT_AVAILABLE',
      'REQUEST_TIMEOUT',
      'TOO_MANY_REQUESTS',
      'HA_NOT_AVAILABLE',
      'HA_NOT_AVAILABLE',
      'HA_NOT_AVAILABLE',
    ]);
    expect(reads.waiting).toBe(0);
  });
});

describe('raftDriverConfig', () => {
  it('lays overrides over the defaults of the table', () => {
    const config = raftDriverConfig({ tickMs: 5 });
    expect(config.tickMs).toBe(5);
    expect(config.batchBytesMax).toBe(raftDriverSettings.batchBytesMax.default);
    expect(Object.keys(config).sort()).toEqual(Object.keys(raftDriverSettings).sort());
  });
});
