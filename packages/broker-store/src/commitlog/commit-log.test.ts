import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, entryEnd } from '@raftmq/raft';
import { makeEntries, makeEntriesBehind } from '../testing/entries.js';
import { eventually, frames, LogFixture, readAll } from './testing/log-fixture.js';
import { NotingDisk } from './testing/noting-disk.js';

let fixture: LogFixture;
beforeEach(() => {
  fixture = new LogFixture();
});
afterEach(() => fixture.remove());

describe('CommitLog', () => {
  it('holds 100 000 entries over many segments, and reads them at random after a restart', async () => {
    const entries = makeEntries({ count: 100_000, payloadBytes: 24 });
    const log = await fixture.open();
    const appends: Promise<void>[] = [];
    for (let i = 0; i < entries.length; i += 500)
      appends.push(log.append(entries.slice(i, i + 500)));
    await Promise.all(appends);
    await log.close();
    const again = await fixture.open();
    const { segmentCount, logBytes } = await again.usage();
    expect(segmentCount).toBe(Math.ceil(entries.length / Math.floor(65536 / 80)));
    expect(logBytes).toBe(8_000_000);
    const random = createPrng(5);
    for (let i = 0; i < 300; i++) {
      const from = random.integer(1, entries.length);
      const through = Math.min(entries.length, from + random.integer(0, 900));
      const read = again.read(from, through, Infinity);
      expect(read).toHaveLength(through - from + 1);
      expect(read.every((entry, at) => entry.frame.equals(entries[from - 1 + at]!.frame))).toBe(
        true,
      );
    }
    await again.close();
  });

  it('gives entries by any byte of theirs, from memory and from disk', async () => {
    const entries = makeEntries({ count: 3_000 });
    const log = await fixture.open({ cacheBytes: '1048576' });
    await log.append(entries);
    await log.close();
    const again = await fixture.open();
    for (const entry of [entries[0]!, entries[1_234]!, entries[2_999]!]) {
      for (const position of [entry.position, entry.position + 7, entryEnd(entry) - 1]) {
        expect(again.indexAt(position)).toBe(entry.index);
        expect((await again.entryAt(position))?.frame.equals(entry.frame)).toBe(true);
      }
    }
    expect(await again.entryAt(entryEnd(entries[2_999]!))).toBeNull();
    await again.compactThrough(2_000);
    expect(await again.entryAt(0)).toBeNull();
    await again.close();
  });

  it('gathers appends that arrive during a sync into one write and one sync', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open({}, disk);
    const entries = makeEntries({ count: 100 });
    disk.notes.length = 0;
    disk.holdSyncs();
    const appends = entries.map((entry) => log.append([entry]));
    disk.releaseSyncs();
    await Promise.all(appends);
    const batch = ['write 0', 'mark 0', 'sync 0'];
    expect(disk.notes).toEqual([...batch, ...batch]);
    expect(log.counters).toMatchObject({ batches: 2, syncs: 2, pendingBytes: 0 });
    expect(log.counters.appendedBytes).toBe(log.endPosition);
    await log.close();
  });

  it('resolves an append only after its sync, and shows it before', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open({}, disk);
    const entries = makeEntries({ count: 3 });
    disk.holdSyncs();
    let resolved = false;
    const append = log.append(entries).then(() => {
      resolved = true;
    });
    // The disk is a real one, and as slow as it likes to be; the test's own time limit is the bound.
    while (disk.notes.at(-1) !== 'sync 0') await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(resolved).toBe(false);
    expect(log.durablePosition).toBe(0);
    expect(frames(readAll(log))).toEqual(frames(entries));
    disk.releaseSyncs();
    await append;
    expect(log.durablePosition).toBe(log.endPosition);
    await log.close();
  });

  it('rolls at the size limit, creating and syncing the next file before its first entry', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open({}, disk);
    const first = makeEntries({ count: 1, payloadBytes: 60_000 });
    const second = makeEntriesBehind(first[0]!, { count: 1, payloadBytes: 65_536 - 56 });
    const third = makeEntriesBehind(second[0]!, { count: 1, payloadBytes: 200_000 });
    const fourth = makeEntriesBehind(third[0]!, { count: 1 });
    await log.append(first);
    disk.notes.length = 0;
    await log.append(second);
    expect(disk.notes.filter((note) => !note.includes('.idx')).slice(0, 10)).toEqual([
      'create 60056',
      'mark 60056',
      'mark 60056',
      'sync 60056',
      'syncdir commitlog',
      'mark 0',
      'sync 0',
      'write 60056',
      'mark 60056',
      'sync 60056',
    ]);
    await log.append([...third, ...fourth]);
    expect((await log.usage()).segmentCount).toBe(4);
    await log.close();
    const again = await fixture.open();
    expect(frames(readAll(again))).toEqual(frames([...first, ...second, ...third, ...fourth]));
    await again.close();
  });

  it('gives the same entries from memory, from disk, and across the border between them', async () => {
    const entries = makeEntries({ count: 3000, payloadBytes: 60 });
    const log = await fixture.open({ cacheBytes: '65536' });
    await log.append(entries);
    expect(log.cachedRecord(entries[0]!.position + 56, 10)).toBeNull();
    expect(log.cachedRecord(entries[2999]!.position + 56, 10)).not.toBeNull();
    expect(frames(readAll(log))).toEqual(frames(entries));
    const frameBytes = entries[0]!.frame.length;
    expect(log.read(1, 3000, 1000 * frameBytes)).toHaveLength(1000);
    expect(log.read(2500, 3000, 450 * frameBytes)).toHaveLength(450);
    await log.close();
  });

  it('finds records by position, in memory or through one read of their entry', async () => {
    const entries = makeEntries({ count: 1000, payloadBytes: 500 });
    const log = await fixture.open({ cacheBytes: '65536' });
    await log.append(entries);
    const record = (i: number, at: number) => log.readRecord(entries[i]!.position + 56 + at, 100);
    const expected = (i: number, at: number) => entries[i]!.frame.subarray(56 + at, 156 + at);
    for (const i of [999, 0, 500, 1])
      expect((await record(i, 200))!.equals(expected(i, 200))).toBe(true);
    // A second record of the same entry is in memory now.
    expect(log.cachedRecord(entries[0]!.position + 56, 100)!.equals(expected(0, 0))).toBe(true);
    const many = await Promise.all(Array.from({ length: 50 }, (_, at) => record(300, at)));
    expect(many.every((bytes, at) => bytes!.equals(expected(300, at)))).toBe(true);
    expect(await log.readRecord(log.endPosition, 100)).toBeNull();
    await log.compactThrough(200);
    expect(log.firstIndex).toBeGreaterThan(1);
    expect(await log.readRecord(entries[3]!.position + 56, 100)).toBeNull();
    await log.close();
  });

  it('says that an index is damaged when no record lies at its position', async () => {
    const entries = makeEntries({ count: 2 });
    const log = await fixture.open();
    await log.append(entries);
    expect(() => log.cachedRecord(entries[1]!.position + ENTRY_HEADER_SIZE_BYTES, 101)).toThrow(
      'no record of 101 bytes',
    );
    await expect(log.readRecord(entries[1]!.position + 3, 10)).rejects.toMatchObject({
      code: 'LOG_CORRUPTED',
    });
    await log.close();
  });

  it('reads while it appends, rolls and cuts', async () => {
    const log = await fixture.open({ cacheBytes: '65536' });
    const random = createPrng(11);
    let state = makeEntries({ count: 50, payloadBytes: 400 });
    const pending: Promise<unknown>[] = [log.append(state)];
    for (let round = 0; round < 400; round++) {
      const cut = random.chance(0.1);
      const kept = cut ? random.integer(1, state.length) : state.length;
      const plan = { count: random.integer(1, 8), payloadBytes: 400, term: 1 + round };
      const added = makeEntriesBehind(state[kept - 1]!, plan);
      state = [...state.slice(0, kept), ...added];
      pending.push(log.append(added));
      const from = random.integer(1, state.length);
      const through = Math.min(state.length, from + 20);
      expect(frames(log.read(from, through, Infinity))).toEqual(
        frames(state.slice(from - 1, through)),
      );
      const { position, frame } = state[from - 1]!;
      const record = log.readRecord(position + 56, 100);
      pending.push(
        record.then((bytes) => {
          // A later cut may have taken the entry away, or put another one in its place.
          const now = state[from - 1];
          if (now?.frame === frame) expect(bytes!.equals(frame.subarray(56, 156))).toBe(true);
        }),
      );
      if (round % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(pending);
    expect(frames(readAll(log))).toEqual(frames(state));
    expect(log.endPosition).toBe(entryEnd(state.at(-1)!));
    await log.close();
    const again = await fixture.open();
    expect(frames(readAll(again))).toEqual(frames(state));
    await again.close();
  });

  it('forgets nothing that is not written yet', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open({ cacheBytes: '65536' }, disk);
    disk.holdSyncs();
    const entries = makeEntries({ count: 2000, payloadBytes: 200 });
    const append = log.append(entries);
    expect(log.counters.pendingBytes).toBe(log.endPosition);
    expect(frames(log.read(1, 2000, Infinity))).toEqual(frames(entries));
    await log.compactThrough(2000);
    expect(log.firstIndex).toBe(1);
    disk.releaseSyncs();
    await append;
    await log.compactThrough(2000);
    expect(log.firstIndex).toBeGreaterThan(1);
    await log.close();
  });

  it('refuses appends after close', async () => {
    const log = await fixture.open();
    await log.append(makeEntries({ count: 1 }));
    await Promise.all([log.close(), log.close()]);
    expect(() => void log.append(makeEntries({ count: 2 }))).toThrow('a closed log');
  });
});

describe('ASYNC_FLUSH', () => {
  const flags = { flushDiskType: 'ASYNC_FLUSH', flushIntervalMs: '200', flushBytes: '8192' };

  it('answers after the write, and syncs after the interval', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open(flags, disk);
    disk.notes.length = 0;
    await log.append(makeEntries({ count: 1 }));
    expect(disk.notes).toEqual(['write 0']);
    expect(log.durablePosition).toBe(0);
    fixture.clock.advance(199);
    expect(disk.notes).toEqual(['write 0']);
    fixture.clock.advance(1);
    await eventually(() => log.durablePosition === log.endPosition);
    expect(disk.notes).toEqual(['write 0', 'mark 0', 'sync 0']);
    await log.close();
  });

  it('syncs earlier once enough bytes wait, and goes on writing meanwhile', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open(flags, disk);
    disk.notes.length = 0;
    disk.holdSyncs();
    const first = makeEntries({ count: 1, payloadBytes: 9000 });
    await log.append(first);
    await eventually(() => disk.notes.includes('sync 0'));
    await log.append(makeEntriesBehind(first[0]!, { count: 1 }));
    expect(disk.notes).toEqual(['write 0', 'mark 0', 'sync 0', 'write 0']);
    disk.releaseSyncs();
    await eventually(() => log.durablePosition === entryEnd(first[0]!));
    await log.close();
    expect(log.durablePosition).toBe(log.endPosition);
  });

  it('reports a failed sync in the background at once, and touches no file afterwards', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open(flags, disk);
    disk.failAt = (note) => note === 'sync 0';
    const entries = makeEntries({ count: 2 });
    await log.append(entries.slice(0, 1));
    fixture.clock.advance(200);
    await eventually(() => fixture.failures.length > 0);
    expect(fixture.failures[0]).toMatchObject({ code: 'DISK_FAILED' });
    const before = disk.notes.length;
    await expect(log.append(entries.slice(1))).rejects.toBe(log.failure);
    fixture.clock.advance(10_000);
    await log.close();
    expect(disk.notes).toHaveLength(before);
  });

  it('makes durable what was appended so far when asked to, without waiting for the interval', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open(flags, disk);
    const entries = makeEntries({ count: 2 });
    const append = log.append(entries.slice(0, 1));
    await log.makeDurable();
    expect(log.durablePosition).toBe(entryEnd(entries[0]!));
    await append;
    const before = disk.notes.length;
    await log.makeDurable();
    expect(disk.notes).toHaveLength(before);
    // A replaced tail that ends where the durable one did is not durable yet.
    void log.append(makeEntries({ count: 1, term: 2, payloadBytes: 9 }));
    const again = makeEntries({ count: 1, term: 3 });
    void log.append(again);
    expect(log.durablePosition).toBeLessThan(log.endPosition);
    disk.notes.length = 0;
    await log.makeDurable();
    expect(disk.notes.slice(-2)).toEqual(['write 0', 'sync 0']);
    expect(frames(readAll(log))).toEqual(frames(again));
    await log.close();
  });

  it('tells those who asked for a sync that it failed, and those who ask later', async () => {
    const disk = new NotingDisk();
    const log = await fixture.open(flags, disk);
    disk.failAt = (note) => note === 'sync 0';
    await log.append(makeEntries({ count: 1 }));
    await expect(log.makeDurable()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(fixture.failures).toHaveLength(1);
    await expect(log.makeDurable()).rejects.toBe(log.failure);
    await log.close();
  });
});
