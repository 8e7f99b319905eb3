import { existsSync, readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '@raftmq/base';
import { type CommitLog } from './commit-log.js';
import {
  AGE_DELETION_INTERVAL_MS,
  CLOCK_JUMP_MS,
  RetentionGuard,
  START_GUARD_MS,
} from './retention.js';
import { makeEntries } from '../testing/entries.js';
import { frames, LogFixture, readAll } from './testing/log-fixture.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const WALL = 1_800_000_000_000;

describe('RetentionGuard', () => {
  const oldest = { lastIndex: 10, lastStoreTimestampMs: WALL };
  const guardAt = (lastStoreTimestampMs: number, wallMs: number) =>
    new RetentionGuard(silentLogger, lastStoreTimestampMs, wallMs, 0);
  const ask = (
    guard: RetentionGuard,
    nowMonotonicMs: number,
    nowWallMs: number,
    more: object = {},
  ) =>
    guard.reasonToDelete(oldest, 1000, {
      maxAgeMs: 3 * DAY,
      maxTotalBytes: 0,
      nowWallMs,
      nowMonotonicMs,
      keepFromIndex: 11,
      ...more,
    });

  it('lets a segment go when it is older than the limit, to the millisecond', () => {
    const guard = guardAt(WALL, WALL);
    expect(ask(guard, 3 * DAY, WALL + 3 * DAY)).toBeNull();
    expect(ask(guard, 3 * DAY + 1, WALL + 3 * DAY + 1)).toBe('age');
  });

  it('deletes by age at most once a minute', () => {
    const guard = guardAt(WALL, WALL);
    const at = (ms: number) => ask(guard, 4 * DAY + ms, WALL + 4 * DAY + ms);
    expect(at(0)).toBe('age');
    expect(at(AGE_DELETION_INTERVAL_MS - 1)).toBeNull();
    expect(at(AGE_DELETION_INTERVAL_MS)).toBe('age');
  });

  it.each([HOUR, 400 * DAY, -HOUR, CLOCK_JUMP_MS + 1])(
    'deletes nothing by age while the clock is off by %i ms',
    (jumpMs) => {
      const guard = guardAt(WALL, WALL);
      expect(ask(guard, DAY, WALL + DAY + jumpMs)).toBeNull();
      expect(ask(guard, 5 * DAY, WALL + 5 * DAY + jumpMs)).toBeNull();
      expect(ask(guard, 5 * DAY + 1, WALL + 5 * DAY + 1)).toBe('age');
    },
  );

  it('counts only time that the process has seen pass since the last entry, whatever the wall clock says', () => {
    // Started with a clock that is 400 days ahead of the log.
    const guard = guardAt(WALL, WALL + 400 * DAY);
    expect(ask(guard, START_GUARD_MS - 1, WALL + 400 * DAY + START_GUARD_MS - 1)).toBeNull();
    expect(ask(guard, 2 * DAY, WALL + 402 * DAY)).toBeNull();
    expect(ask(guard, 3 * DAY + 1, WALL + 403 * DAY + 1)).toBe('age');
  });

  it('waits an hour after a start whose clock is far from the log', () => {
    const late = { ...oldest, lastStoreTimestampMs: WALL - 9 * DAY };
    const request = { maxAgeMs: DAY, maxTotalBytes: 0, keepFromIndex: 99 };
    const asked = (lastMs: number, afterMs: number) =>
      guardAt(lastMs, WALL).reasonToDelete(late, 1, {
        ...request,
        nowWallMs: WALL + afterMs,
        nowMonotonicMs: afterMs,
      });
    expect(asked(WALL - 2 * HOUR, START_GUARD_MS - 1)).toBeNull();
    expect(asked(WALL - 2 * HOUR, START_GUARD_MS)).toBe('age');
    expect(asked(WALL - 1000, 0)).toBe('age');
  });

  it('keeps what is still needed, and goes by size without asking a clock', () => {
    const guard = guardAt(WALL, WALL);
    expect(ask(guard, 9 * DAY, WALL + 9 * DAY, { keepFromIndex: 10 })).toBeNull();
    expect(ask(guard, 0, WALL + 400 * DAY, { maxTotalBytes: 999 })).toBe('size');
    expect(ask(guard, 0, WALL, { maxTotalBytes: 999 })).toBe('size');
    expect(ask(guard, 0, WALL, { maxTotalBytes: 1000 })).toBeNull();
    expect(ask(guard, 0, WALL, { maxTotalBytes: 999, keepFromIndex: 10 })).toBeNull();
  });
});

describe('CommitLog.retain', () => {
  let fixture: LogFixture;
  let log: CommitLog;
  const entries = makeEntries({ count: 15, payloadBytes: 12_000 });
  beforeEach(async () => {
    fixture = new LogFixture();
    log = await fixture.open();
    await log.append(entries);
  });
  afterEach(async () => {
    await log.close();
    fixture.remove();
  });
  const retain = (maxTotalBytes: number, keepFromIndex = 99) =>
    log.retain({
      maxAgeMs: DAY,
      maxTotalBytes,
      keepFromIndex,
      nowWallMs: fixture.clock.wallMs(),
      nowMonotonicMs: fixture.clock.monotonicMs(),
    });

  it('deletes one whole segment a call, index file included, and never the one that grows', async () => {
    expect(await retain(1)).toBe('size');
    expect(log.firstIndex).toBe(6);
    expect(existsSync(fixture.segment(0))).toBe(false);
    expect(existsSync(`${fixture.segment(0)}.idx`)).toBe(false);
    expect(log.termAt(5)).toBe(1);
    expect(await retain(1)).toBe('size');
    expect(await retain(1)).toBeNull();
    expect(log.firstIndex).toBe(11);
    expect(frames(readAll(log))).toEqual(frames(entries.slice(10)));
    await log.close();
    expect(readdirSync(fixture.directory)).toHaveLength(1);
    log = await fixture.open();
    expect(log.firstIndex).toBe(11);
    expect(frames(readAll(log))).toEqual(frames(entries.slice(10)));
  });

  it('never deletes past the index to keep', async () => {
    expect(await retain(1, 5)).toBeNull();
    expect(await retain(1, 6)).toBe('size');
    expect(await retain(1, 6)).toBeNull();
    expect(log.firstIndex).toBe(6);
  });

  it('lets a read that has begun finish', async () => {
    await log.close();
    log = await fixture.open({ cacheBytes: '65536' });
    const record = log.readRecord(entries[0]!.position + 56, 100);
    expect(await retain(1)).toBe('size');
    expect((await record)!.equals(entries[0]!.frame.subarray(56, 156))).toBe(true);
    expect(await log.readRecord(entries[0]!.position + 56, 100)).toBeNull();
  });
});
