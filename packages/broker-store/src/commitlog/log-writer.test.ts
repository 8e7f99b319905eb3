import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { makeEntries, makeEntriesBehind } from '../testing/entries.js';
import { eventually, frames, LogFixture, readAll } from './testing/log-fixture.js';
import { NotingDisk } from './testing/noting-disk.js';

let fixture: LogFixture;
let disk: NotingDisk;
beforeEach(() => {
  fixture = new LogFixture();
  disk = new NotingDisk();
});
afterEach(() => fixture.remove());

describe('cutting a tail', () => {
  it('lowers the mark, cuts, and appends, each after the sync of the step before', async () => {
    const log = await fixture.open({}, disk);
    const old = makeEntries({ count: 10 });
    await log.append(old);
    disk.notes.length = 0;
    await log.append(makeEntriesBehind(old[3]!, { count: 1, term: 2 }));
    expect(disk.notes).toEqual([
      'mark 0',
      'sync 0',
      'truncate 0',
      'sync 0',
      'write 0',
      'mark 0',
      'sync 0',
    ]);
    await log.close();
  });

  it('removes later segments newest first, each durable before the next', async () => {
    const log = await fixture.open({}, disk);
    const old = makeEntries({ count: 15, payloadBytes: 12_000 });
    await log.append(old);
    await eventually(() => disk.notes.filter((note) => note.startsWith('rename')).length === 2);
    await log.close();
    disk.notes.length = 0;
    const again = await fixture.open({}, disk);
    disk.notes.length = 0;
    await again.append(makeEntriesBehind(old[1]!, { count: 1, term: 2 }));
    const [second, third] = [old[5]!.position, old[10]!.position];
    expect(disk.notes).toEqual([
      `mark ${second}`,
      `sync ${second}`,
      `unlink ${third}`,
      'syncdir commitlog',
      'mark 0',
      'sync 0',
      `unlink ${second}.idx`,
      `unlink ${second}`,
      'syncdir commitlog',
      'unlink 0.idx',
      'syncdir commitlog',
      'truncate 0',
      'sync 0',
      'write 0',
      'mark 0',
      'sync 0',
    ]);
    expect(frames(readAll(again)).slice(0, 2)).toEqual(frames(old.slice(0, 2)));
    await again.close();
  });

  it('may cut what is still waiting to be written', async () => {
    const log = await fixture.open({}, disk);
    disk.holdSyncs();
    const a = makeEntries({ count: 12, payloadBytes: 12_000 });
    const b = makeEntriesBehind(a[1]!, { count: 12, payloadBytes: 12_000, term: 2 });
    const c = makeEntriesBehind(b[6]!, { count: 3, term: 3 });
    const appends = [log.append(a), log.append(b), log.append(c)];
    const expected = frames([...a.slice(0, 2), ...b.slice(0, 7), ...c]);
    expect(frames(readAll(log))).toEqual(expected);
    disk.releaseSyncs();
    await Promise.all(appends);
    expect(frames(readAll(log))).toEqual(expected);
    await log.close();
    const again = await fixture.open();
    expect(frames(readAll(again))).toEqual(expected);
    await again.close();
  });
});

describe('a disk that fails', () => {
  // The plan of the test below runs through every one of these steps.
  const steps = [
    'write 0',
    'mark 0',
    'sync 0',
    'create 60056',
    'mark 60056',
    'sync 60056',
    'syncdir commitlog',
    'write 60056',
    'unlink 60056',
    'truncate 0',
  ];

  /** Without the index files, which are derived. */
  const changesOfTheLog = () => disk.notes.filter((note) => !/\.idx|syncdir/.test(note));

  it.each(steps)('stops everything at "%s", and no file is touched afterwards', async (failing) => {
    const log = await fixture.open({}, disk);
    const first = makeEntries({ count: 1, payloadBytes: 60_000 });
    const second = makeEntriesBehind(first[0]!, { count: 1, payloadBytes: 60_000 });
    const other = makeEntries({ count: 1, payloadBytes: 10, term: 2 });
    const late = makeEntriesBehind(other[0]!, { count: 1 });
    let failed = false;
    disk.failAt = (note) => {
      if (note !== failing || failed) return false;
      failed = true;
      return true;
    };
    const outcomes: PromiseSettledResult<void>[] = [];
    for (const entries of [first, second, other]) {
      outcomes.push(...(await Promise.allSettled([log.append(entries)])));
    }
    const rejections = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(rejections.length).toBeGreaterThan(0);
    expect(outcomes.at(-1)!.status).toBe('rejected');
    for (const { reason } of rejections) expect(reason).toBe(log.failure);
    expect(log.failure).toMatchObject({ code: 'DISK_FAILED', cause: { code: 'EIO' } });
    expect(fixture.failures).toEqual([log.failure]);
    const before = changesOfTheLog();
    await expect(log.append(late)).rejects.toBe(log.failure);
    fixture.clock.advance(10_000);
    await log.close();
    expect(changesOfTheLog()).toEqual(before);
  });

  it('rejects all that waits, and readers go on', async () => {
    const log = await fixture.open({}, disk);
    const entries = makeEntries({ count: 20 });
    disk.failAt = (note) => note === 'sync 0';
    const appends = entries.map((entry) => log.append([entry]));
    const outcomes = await Promise.allSettled(appends);
    expect(outcomes.every((outcome) => outcome.status === 'rejected')).toBe(true);
    expect(frames(readAll(log))).toEqual(frames(entries));
    await log.close();
  });

  it('treats a full disk alike: the watermark has to refuse earlier', async () => {
    const log = await fixture.open({}, disk);
    disk.failCode = 'ENOSPC';
    disk.failAt = (note) => note === 'write 0';
    await expect(log.append(makeEntries({ count: 1 }))).rejects.toMatchObject({
      code: 'DISK_FAILED',
    });
    await log.close();
  });

  it('only costs a longer start when it refuses an index file', async () => {
    const log = await fixture.open({}, disk);
    disk.failAt = (note) => note.includes('.idx');
    const entries = makeEntries({ count: 2000, payloadBytes: 24 });
    await log.append(entries);
    expect(log.failure).toBeNull();
    expect(frames(readAll(log))).toEqual(frames(entries));
    await log.close();
    const again = await fixture.open();
    expect(frames(readAll(again))).toEqual(frames(entries));
    await again.close();
  });
});

describe('the durable mark', () => {
  it('is brought up to date after an idle interval, once, and not while appends go on', async () => {
    const log = await fixture.open({ flushIntervalMs: '200' }, disk);
    const entries = makeEntries({ count: 3 });
    await log.append(entries.slice(0, 1));
    fixture.clock.advance(150);
    await log.append(entries.slice(1, 2));
    await new Promise((resolve) => setImmediate(resolve));
    disk.notes.length = 0;
    fixture.clock.advance(150);
    expect(disk.notes).toEqual([]);
    expect(fixture.clock.timerCount).toBe(1);
    fixture.clock.advance(200);
    await eventually(() => disk.notes.length === 2);
    expect(disk.notes).toEqual(['mark 0', 'sync 0']);
    await eventually(() => log.counters.syncs === 3);
    fixture.clock.advance(10_000);
    expect(fixture.clock.timerCount).toBe(0);
    expect(disk.notes).toHaveLength(2);
    await log.append(entries.slice(2));
    expect(fixture.clock.timerCount).toBe(1);
    await log.close();
    expect(fixture.clock.timerCount).toBe(0);
  });
});
