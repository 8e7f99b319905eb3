import { afterEach, describe, expect, it } from '@jest/globals';
import { silentLogger, type DiskUsage } from '@raftmq/base';
import { type Entry, type RecoveryKind, type RoleStatus } from '@raftmq/raft';
import { FakeClock } from '../testing/edge-fixture.js';
import { DiskWatermark } from './disk-watermark.js';
import { Readiness } from './readiness.js';
import { RetentionLoop } from './retention-loop.js';
import { WatchedStateMachine, type VersionedStateMachine } from './watched-state-machine.js';

const leader: RoleStatus = { role: 'leader', term: 1, leaderId: 0, writable: true };
const follower: RoleStatus = { role: 'follower', term: 1, leaderId: 1, writable: false };

describe('the disk watermark', () => {
  const clock = new FakeClock();
  let percent = 10;
  let failing = false;
  const usage = async (): Promise<DiskUsage> => {
    if (failing) throw new Error('EIO');
    return { usedBytes: percent, totalBytes: 100, freeBytes: 100 - percent };
  };
  const disk = new DiskWatermark({
    path: '/data',
    usage,
    warnPercent: 75,
    refusePercent: 90,
    intervalMs: 3_000,
    clock,
    logger: silentLogger,
  });
  afterEach(() => {
    failing = false;
  });

  it('refuses above the mark with a text that says what to do, and recovers by itself', async () => {
    await disk.start();
    expect(disk.refusal()).toBeNull();
    percent = 91;
    await clock.advance(3_000);
    expect(disk.refusal()).toMatchObject({ code: 'DISK_FULL' });
    for (const part of ['/data', '91.0 %', '90 %', 'free space'])
      expect(disk.refusal()?.message).toContain(part);
    percent = 89.5;
    await clock.advance(3_000);
    expect(disk.refusing).toBe(true);
    percent = 88;
    await clock.advance(3_000);
    expect([disk.refusal(), disk.usedPercent, disk.freeBytes]).toEqual([null, 88, 12]);
  });

  it('keeps its last judgement while the usage cannot be read, and stops when closed', async () => {
    percent = 95;
    await clock.advance(3_000);
    failing = true;
    await clock.advance(9_000);
    expect(disk.refusing).toBe(true);
    disk.close();
    failing = false;
    percent = 10;
    await clock.advance(9_000);
    expect(disk.refusing).toBe(true);
  });
});

describe('readiness', () => {
  let role: RoleStatus = follower;
  let recovery: RecoveryKind = 'none';
  let missing: number[] = [];
  let commitIndex = 0;
  let appliedIndex = 0;
  let full = false;
  let draining = false;
  const readiness = new Readiness({
    role: () => role,
    recovery: () => recovery,
    missing: () => missing,
    commitIndex: () => commitIndex,
    appliedIndex: () => appliedIndex,
    diskRefusing: () => full,
    draining: () => draining,
    lagEntriesMax: 10,
  });
  const reasons = () => readiness.reasons().map(({ reason }) => reason);

  it('comes with a leader and a first catching up, and goes with each reason against it', () => {
    role = { ...follower, leaderId: null };
    expect(reasons()).toEqual(['no-leader', 'catching-up']);
    role = follower;
    [commitIndex, appliedIndex] = [5, 3];
    expect(reasons()).toEqual(['catching-up']);
    appliedIndex = 5;
    expect(reasons()).toEqual([]);
    commitIndex = 15;
    expect(reasons()).toEqual([]);
    commitIndex = 16;
    expect(reasons()).toEqual(['behind']);
    appliedIndex = 16;
    [full, draining] = [true, true];
    expect(reasons()).toEqual(['disk-full', 'draining']);
    [full, draining] = [false, false];
    role = { ...leader, writable: false };
    expect(reasons()).toEqual(['no-leader']);
    role = leader;
    expect(reasons()).toEqual([]);
  });

  it('tells what a recovering replica waits for', () => {
    const [known, details] = [role, () => readiness.reasons().map(({ detail }) => detail)];
    recovery = 'forgetful';
    role = follower;
    expect(reasons()).toEqual(['recovering']);
    expect(details()[0]).toContain('the leader brings this replica up to date');
    [role, missing] = [{ ...follower, leaderId: null }, [2, 3]];
    expect(reasons()).toEqual(['no-leader', 'recovering']);
    expect(details()[1]).toContain('when all replicas are there (not there: 2, 3)');
    missing = [];
    expect(details()[1]).toContain('(all are there)');
    [role, recovery] = [follower, 'lost-disk'];
    expect(details()).toEqual([expect.stringContaining('it waits for a leader to admit it')]);
    [role, recovery] = [known, 'none'];
  });
});

describe('the watched state machine', () => {
  it('gives topic versions that can be compared between replicas', () => {
    let changes = 0;
    const inner: { -readonly [K in keyof VersionedStateMachine]: VersionedStateMachine[K] } = {
      appliedIndex: 40,
      topicsVersion: 1,
      apply: (entry: Entry) => {
        inner.appliedIndex = entry.index;
      },
      roleChanged: () => undefined,
      applied: () => undefined,
    };
    const watched = new WatchedStateMachine(inner, () => changes++);
    expect(watched.topicsVersion).toBe(40);
    watched.apply({ index: 41 } as Entry, null);
    watched.applied();
    expect([watched.topicsVersion, changes]).toEqual([40, 0]);
    inner.topicsVersion++;
    watched.apply({ index: 42 } as Entry, null);
    watched.applied();
    expect([watched.topicsVersion, changes, watched.appliedIndex]).toEqual([42, 1, 42]);
    watched.roleChanged(leader);
    expect(changes).toBe(2);
  });
});

describe('retention', () => {
  it('keeps what the next start and the slowest follower need', async () => {
    const clock = new FakeClock();
    const asked: number[] = [];
    const loop = new RetentionLoop({
      log: {
        retain: async ({ keepFromIndex }) => {
          asked.push(keepFromIndex);
          return asked.length === 1 ? 'age' : null;
        },
      },
      status: () => ({ peers: [{ matchIndex: 70 }, { matchIndex: 60 }] }) as never,
      savedIndex: () => (asked.length === 0 ? 50 : 100),
      retentionMs: 1,
      retentionBytes: 0,
      clock,
      onFatal: (error) => {
        throw error;
      },
    });
    loop.start();
    await clock.advance(20_000);
    expect([asked, loop.deletedFiles]).toEqual([[51, 61], 1]);
    await loop.close();
    await clock.advance(20_000);
    expect(asked).toHaveLength(2);
  });

  it('stops the process when a deletion fails', async () => {
    const clock = new FakeClock();
    const fatal: unknown[] = [];
    const loop = new RetentionLoop({
      log: { retain: () => Promise.reject(new Error('EIO')) },
      status: () => ({ peers: [] }) as never,
      savedIndex: () => 0,
      retentionMs: 1,
      retentionBytes: 0,
      clock,
      onFatal: (error) => fatal.push(error),
    });
    loop.start();
    await clock.advance(30_000);
    expect(fatal).toHaveLength(1);
  });
});
