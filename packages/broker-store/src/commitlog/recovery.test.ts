import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { isMqError } from '@raftmq/base';
import { entryEnd, type Entry } from '@raftmq/raft';
import { SEGMENT_HEAD_SIZE_BYTES } from './segment-head.js';
import { makeEntries, makeEntriesBehind } from '../testing/entries.js';
import { frames, LogFixture, readAll } from './testing/log-fixture.js';
import { NotingDisk } from './testing/noting-disk.js';

let fixture: LogFixture;
beforeEach(() => {
  fixture = new LogFixture();
});
afterEach(() => fixture.remove());

const HEAD = SEGMENT_HEAD_SIZE_BYTES;

/** Appends in the given batches and closes; the clean close marks everything as durable. */
async function written(...batches: Entry[][]): Promise<void> {
  const log = await fixture.open();
  for (const batch of batches) await log.append(batch);
  await log.close();
}

/** What is on disk after `batches`, with the last one on its way: its mark written, nothing after it. */
async function interrupted(...batches: Entry[][]): Promise<Buffer> {
  const log = await fixture.open();
  for (const batch of batches) await log.append(batch);
  const bytes = fs.readFileSync(fixture.segment(0));
  await log.close();
  return bytes;
}

async function openedEntries(): Promise<readonly Entry[]> {
  const log = await fixture.open();
  const entries = readAll(log);
  await log.close();
  return entries;
}

const refused = (what: string) => ({
  code: 'LOG_CORRUPTED',
  message: expect.stringContaining(what) as unknown,
});

describe('a torn tail', () => {
  it('is cut wherever the last batch was torn, at each 512-byte boundary and around it', async () => {
    const old = makeEntries({ count: 3, payloadBytes: 333 });
    const last = makeEntriesBehind(old[2]!, { count: 4, payloadBytes: 900 });
    const bytes = await interrupted(old, last);
    const from = HEAD + last[0]!.position;
    const cuts = new Set<number>();
    for (let at = from - (from % 512); at <= bytes.length; at += 512) {
      for (const cut of [at - 1, at, at + 1]) if (cut >= from && cut < bytes.length) cuts.add(cut);
    }
    expect(cuts.size).toBeGreaterThan(18);
    for (const cut of cuts) {
      const whole = last.filter((entry) => HEAD + entryEnd(entry) <= cut);
      const tails = [Buffer.alloc(0), Buffer.alloc(bytes.length - cut), Buffer.alloc(100, 0xa5)];
      for (const tail of tails) {
        fs.writeFileSync(fixture.segment(0), Buffer.concat([bytes.subarray(0, cut), tail]));
        expect(frames(await openedEntries())).toEqual(frames([...old, ...whole]));
        // What was cut is gone for good: the next start finds the same.
        expect(fs.statSync(fixture.segment(0)).size).toBe(
          HEAD + entryEnd([...old, ...whole].at(-1)!),
        );
      }
    }
  });

  it('is cut before good entries of the same batch: sectors reach the disk in any order', async () => {
    const old = makeEntries({ count: 2 });
    const last = makeEntriesBehind(old[1]!, { count: 4, payloadBytes: 600 });
    const bytes = await interrupted(old, last);
    bytes.fill(0, HEAD + last[1]!.position, HEAD + last[1]!.position + 512);
    fs.writeFileSync(fixture.segment(0), bytes);
    expect(frames(await openedEntries())).toEqual(frames([...old, last[0]!]));
  });

  it('can be appended to after the cut', async () => {
    const old = makeEntries({ count: 3 });
    const bytes = await interrupted(old.slice(0, 2), old.slice(2));
    fs.writeFileSync(fixture.segment(0), bytes.subarray(0, bytes.length - 1));
    const log = await fixture.open();
    expect(log.lastIndex).toBe(2);
    const fresh = makeEntriesBehind(old[1]!, { count: 2, term: 9 });
    await log.append(fresh);
    await log.close();
    expect(frames(await openedEntries())).toEqual(frames([...old.slice(0, 2), ...fresh]));
  });

  it('is cut and what follows the mark is written again and synced, before the new mark', async () => {
    const old = makeEntries({ count: 3 });
    const last = makeEntriesBehind(old[2]!, { count: 2 });
    const bytes = await interrupted(old, last);
    fs.writeFileSync(fixture.segment(0), bytes.subarray(0, bytes.length - 1));
    const disk = new NotingDisk();
    const log = await fixture.open({}, disk);
    expect(disk.notes).toEqual([
      'truncate 0',
      'write 0',
      'sync 0',
      'mark 0',
      'sync 0',
      'syncdir commitlog',
    ]);
    await log.close();
  });
});

describe('damage that no crash explains', () => {
  it('is refused when later entries prove that the batch was durable, even with the newest mark lost', async () => {
    const a = makeEntries({ count: 2 });
    const b = makeEntriesBehind(a[1]!, { count: 2 });
    const c = makeEntriesBehind(b[1]!, { count: 1 });
    const log = await fixture.open();
    await log.append(a);
    await log.append(b);
    const before = fs.readFileSync(fixture.segment(0));
    await log.append(c);
    const after = fs.readFileSync(fixture.segment(0));
    await log.close();
    // The crash kept the entries of c, but not its mark; b has rotted.
    const bytes = Buffer.concat([before.subarray(0, HEAD), after.subarray(HEAD)]);
    bytes[HEAD + b[0]!.position + 60]! ^= 1;
    fs.writeFileSync(fixture.segment(0), bytes);
    await expect(fixture.open()).rejects.toMatchObject(
      refused('later entries prove that it was durable'),
    );
    // Without a trace of c, b may as well have been torn.
    fs.writeFileSync(fixture.segment(0), bytes.subarray(0, HEAD + c[0]!.position));
    expect(frames(await openedEntries())).toEqual(frames(a));
  });

  it('is found for every flipped byte of a small log, or the log is read unchanged', async () => {
    const entries = makeEntries({ count: 6, payloadBytes: 40 });
    await written(entries);
    const good = fs.readFileSync(fixture.segment(0));
    let refusals = 0;
    for (let at = 0; at < good.length; at++) {
      // Most of the head is padding; its meaningful bytes and some others are enough.
      if (at < HEAD && at % 4096 > 60 && at % 97 !== 0) continue;
      const bad = Buffer.from(good);
      bad[at]! ^= 1 << (at % 8);
      fs.writeFileSync(fixture.segment(0), bad);
      const outcome: unknown = await openedEntries().catch((error: unknown) => error);
      if (isMqError(outcome)) {
        expect(['LOG_CORRUPTED', 'VERSION_UNSUPPORTED']).toContain(outcome.code);
        expect(outcome.message).toContain(fixture.segment(0));
        // A refusal leaves the file as it is.
        expect(fs.readFileSync(fixture.segment(0)).equals(bad)).toBe(true);
        refusals++;
      } else {
        expect(at).toBeLessThan(HEAD);
        expect(frames(outcome as Entry[])).toEqual(frames(entries));
      }
    }
    expect(refusals).toBeGreaterThanOrEqual(6 * 96 + 44);
  });

  it('names file, byte and index', async () => {
    const entries = makeEntries({ count: 6 });
    await written(entries);
    const bytes = fs.readFileSync(fixture.segment(0));
    const at = HEAD + entries[3]!.position;
    bytes[at + 70]! ^= 4;
    fs.writeFileSync(fixture.segment(0), bytes);
    await expect(fixture.open()).rejects.toMatchObject(
      refused(`(byte ${at} of the file, entry index 4)`),
    );
  });

  it.each([1, 57, 156, 400])(
    'is refused when %i durable bytes are missing at the end',
    async (missingBytes) => {
      await written(makeEntries({ count: 6 }));
      const bytes = fs.readFileSync(fixture.segment(0));
      fs.writeFileSync(fixture.segment(0), bytes.subarray(0, bytes.length - missingBytes));
      await expect(fixture.open()).rejects.toMatchObject(refused('which was durable'));
    },
  );

  it('is refused when both marks are bad, and survived when one is', async () => {
    const entries = makeEntries({ count: 3 });
    await written(entries);
    const bytes = fs.readFileSync(fixture.segment(0));
    for (const page of [1, 2]) {
      const bad = Buffer.from(bytes);
      bad.fill(0, page * 4096, (page + 1) * 4096);
      fs.writeFileSync(fixture.segment(0), bad);
      expect(frames(await openedEntries())).toEqual(frames(entries));
    }
    fs.writeFileSync(
      fixture.segment(0),
      Buffer.concat([bytes.subarray(0, 4096), Buffer.alloc(8192), bytes.subarray(HEAD)]),
    );
    await expect(fixture.open()).rejects.toMatchObject(refused('both durable marks are damaged'));
  });
});

describe('files of the directory', () => {
  /** Three segments: two finished ones and the last. */
  async function threeSegments(): Promise<{ entries: Entry[]; starts: number[] }> {
    const entries = makeEntries({ count: 15, payloadBytes: 12_000 });
    await written(entries);
    const starts = fs
      .readdirSync(fixture.directory)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
    expect(starts).toHaveLength(3);
    return { entries, starts };
  }

  it('are complained about when the first, the middle or the last one is missing', async () => {
    const { entries, starts } = await threeSegments();
    const take = (start: number): (() => void) => {
      const bytes = fs.readFileSync(fixture.segment(start));
      fs.rmSync(fixture.segment(start));
      return () => fs.writeFileSync(fixture.segment(start), bytes);
    };
    let restore = take(starts[1]!);
    await expect(fixture.open()).rejects.toMatchObject(
      refused('a segment file is missing behind this one'),
    );
    restore();
    restore = take(starts[2]!);
    await expect(fixture.open()).rejects.toMatchObject(
      refused(`the next segment file ${String(starts[2]!).padStart(20, '0')} is missing`),
    );
    restore();
    expect(frames(await openedEntries())).toEqual(frames(entries));
    // Without the first one the log begins later, as after retention.
    fs.rmSync(fixture.segment(0));
    const log = await fixture.open();
    expect(log.firstPosition).toBe(starts[1]);
    expect(log.termAt(log.firstIndex - 1)).toBe(1);
    expect(frames(readAll(log))).toEqual(frames(entries.slice(log.firstIndex - 1)));
    await log.close();
  });

  it('are complained about under another name, cut short, too long, or from a newer version', async () => {
    const { starts } = await threeSegments();
    const path = fixture.segment(starts[1]!);
    const bytes = fs.readFileSync(path);
    fs.writeFileSync(path, bytes.subarray(0, bytes.length - 10));
    await expect(fixture.open()).rejects.toMatchObject(refused('or its end is'));
    fs.writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(10)]));
    await expect(fixture.open()).rejects.toMatchObject(refused('overlaps'));
    fs.rmSync(path);
    fs.writeFileSync(fixture.segment(starts[1]! + 1), bytes);
    await expect(fixture.open()).rejects.toMatchObject(refused('its name does not'));
  });

  it('that are strangers go to quarantine, leftovers are removed', async () => {
    const { entries } = await threeSegments();
    const put = (name: string, content: string) =>
      fs.writeFileSync(join(fixture.directory, name), content);
    put('notes.txt', 'one');
    put('00000000000000000000.idx.tmp', 'half an index');
    put('00000000000000000777.idx', 'the index of a segment that is gone');
    expect(frames(await openedEntries())).toEqual(frames(entries));
    put('notes.txt', 'two');
    expect(frames(await openedEntries())).toEqual(frames(entries));
    const quarantine = join(fixture.directory, 'quarantine');
    expect(fs.readdirSync(quarantine).sort()).toEqual(['notes.txt', 'notes.txt.1']);
    expect(fs.readFileSync(join(quarantine, 'notes.txt.1'), 'utf8')).toBe('two');
    const rest = fs.readdirSync(fixture.directory).filter((name) => !/^\d{20}$/.test(name));
    expect(rest.sort()).toEqual([
      '00000000000000000000.idx',
      `${String(entries[5]!.position).padStart(20, '0')}.idx`,
      'quarantine',
    ]);
  });

  it.each([0, 100, 4096, HEAD - 1])(
    'may end with a new segment that a crash left at %i bytes',
    async (sizeBytes) => {
      const entries = makeEntries({ count: 3 });
      await written(entries);
      fs.writeFileSync(fixture.segment(entryEnd(entries[2]!)), Buffer.alloc(sizeBytes));
      expect(frames(await openedEntries())).toEqual(frames(entries));
    },
  );

  it('may be a first segment that was never finished, but not a damaged one with entries', async () => {
    fs.mkdirSync(fixture.directory);
    fs.writeFileSync(fixture.segment(0), Buffer.alloc(50));
    expect(await openedEntries()).toEqual([]);
    await written(makeEntries({ count: 1 }));
    const bytes = fs.readFileSync(fixture.segment(0));
    bytes[3]! ^= 1;
    fs.writeFileSync(fixture.segment(0), bytes);
    await expect(fixture.open()).rejects.toMatchObject(refused('the segment header is damaged'));
  });

  it('must exist when the replica has had a log', async () => {
    await expect(fixture.open({}, undefined, true)).rejects.toMatchObject(
      refused('holds no commit log'),
    );
    expect(fs.readdirSync(fixture.directory)).toEqual([]);
  });
});

describe('index files of finished segments', () => {
  it('spare reading the segments, and are made again when missing or damaged', async () => {
    const entries = makeEntries({ count: 3000, payloadBytes: 24 });
    await written(entries);
    const path = `${fixture.segment(0)}.idx`;
    const good = fs.readFileSync(path);
    const original = fs.readFileSync(fixture.segment(0));
    // With an index nobody looks into the segment: damage in it is found by the reader, not at start.
    const bad = Buffer.from(original);
    bad[HEAD + 70]! ^= 1;
    fs.writeFileSync(fixture.segment(0), bad);
    const log = await fixture.open();
    expect(() => log.read(1, 1, Infinity)).toThrow('does not match its sum');
    expect(log.read(2, 2, Infinity)[0]!.frame.equals(entries[1]!.frame)).toBe(true);
    await log.close();
    fs.rmSync(path);
    await expect(fixture.open()).rejects.toMatchObject(
      refused('an entry in a finished segment is damaged'),
    );
    fs.writeFileSync(fixture.segment(0), original);
    for (let at = 0; at < 90; at++) {
      const flipped = Buffer.from(good);
      flipped[at]! ^= 0x20;
      fs.writeFileSync(path, flipped);
      expect((await openedEntries())[0]!.frame.equals(entries[0]!.frame)).toBe(true);
      if (at < 56) expect(fs.readFileSync(path).equals(good)).toBe(true);
    }
    fs.writeFileSync(path, good.subarray(0, good.length - 4));
    expect(frames(await openedEntries())).toEqual(frames(entries));
    expect(fs.readFileSync(path).equals(good)).toBe(true);
  });

  it('are walked around when a block is damaged', async () => {
    const entries = makeEntries({ count: 2000, payloadBytes: 24 });
    await written(entries);
    const path = `${fixture.segment(0)}.idx`;
    const bytes = fs.readFileSync(path);
    bytes[bytes.length - 10]! ^= 1;
    fs.writeFileSync(path, bytes);
    expect(frames(await openedEntries())).toEqual(frames(entries));
    const log = await fixture.open();
    fs.rmSync(path);
    expect(frames(log.read(700, 800, Infinity))).toEqual(frames(entries.slice(699, 800)));
    await log.close();
  });

  it('do not outlive a cut into their segment', async () => {
    const entries = makeEntries({ count: 2000, payloadBytes: 24 });
    await written(entries);
    const log = await fixture.open();
    const fresh = makeEntriesBehind(entries[99]!, { count: 5, term: 2 });
    await log.append(fresh);
    expect(fs.readdirSync(fixture.directory)).toEqual(['00000000000000000000']);
    await log.close();
    expect(frames(await openedEntries())).toEqual(frames([...entries.slice(0, 100), ...fresh]));
  });
});
