import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { nodeDisk, silentLogger } from '@raftmq/base';
import { BootManifest, type BootManifestOptions } from './boot-manifest.js';

let directory: string;
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'raftmq-boot-')), 'raft');
});
afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }));

const open = (changes: Partial<BootManifestOptions> = {}): Promise<BootManifest> =>
  BootManifest.open({
    disk: nodeDisk,
    directory,
    logger: silentLogger,
    isKnown: true,
    bootId: 'boot-1',
    unsynced: true,
    trustLog: false,
    mark: (path, text) => writeFileSync(path, text),
    ...changes,
  });

type End = 'kill' | 'clean' | 'disk-failed' | 'clean after disk-failed';

/** One run of a process. @returns what it found */
async function run(changes: Partial<BootManifestOptions>, end: End): Promise<[string, boolean]> {
  const manifest = await open(changes);
  const found: [string, boolean] = [manifest.lastRun, manifest.forgetful];
  if (end.includes('disk-failed')) manifest.diskFailed(new Error('EIO'));
  if (end.startsWith('clean')) manifest.flushed();
  await manifest.close();
  return found;
}

describe('the last run', () => {
  it('is none in a new data directory, which has forgotten nothing', async () => {
    expect(await run({ isKnown: false }, 'kill')).toEqual(['none', false]);
  });

  const cases: readonly [
    what: string,
    before: Partial<BootManifestOptions>,
    end: End,
    now: Partial<BootManifestOptions>,
    lastRun: string,
    forgetful: boolean,
  ][] = [
    ['a clean stop', {}, 'clean', { bootId: 'boot-2' }, 'clean', false],
    ['a killed process', {}, 'kill', {}, 'same-boot', false],
    ['a power cut', {}, 'kill', { bootId: 'boot-2' }, 'power-cut', true],
    ['no boot id now', {}, 'kill', { bootId: null }, 'power-cut', true],
    ['no boot id then', { bootId: null }, 'kill', {}, 'power-cut', true],
    ['no boot id at all', { bootId: null }, 'kill', { bootId: null }, 'power-cut', true],
    ['a failed disk', {}, 'disk-failed', {}, 'disk-failed', true],
    ['a failed disk and a clean end', {}, 'clean after disk-failed', {}, 'disk-failed', true],
    [
      'a power cut of a run that synced',
      { unsynced: false },
      'kill',
      { bootId: 'boot-2' },
      'synced',
      false,
    ],
    ['a failed disk of a run that synced', { unsynced: false }, 'disk-failed', {}, 'synced', false],
    [
      'a power cut before a run that syncs',
      {},
      'kill',
      { bootId: 'boot-2', unsynced: false },
      'power-cut',
      true,
    ],
  ];
  it.each(cases)('%s', async (_what, before, end, now, lastRun, forgetful) => {
    await run({ ...before, isKnown: false }, end);
    expect(await run(now, 'kill')).toEqual([lastRun, forgetful]);
  });

  it('is judged by what a run before had left in memory, whatever the next one did', async () => {
    await run({ isKnown: false }, 'kill');
    await run({ unsynced: false }, 'kill');
    expect(await run({ unsynced: false, bootId: 'boot-2' }, 'clean')).toEqual(['power-cut', true]);
    await run({ unsynced: false, bootId: 'boot-2' }, 'kill');
    expect(await run({ bootId: 'boot-3' }, 'kill')).toEqual(['synced', true]);
  });

  it('is unknown in a directory without a record: only a run that syncs can rely on it', async () => {
    expect(await run({}, 'kill')).toEqual(['unknown', true]);
    rmSync(directory, { recursive: true });
    expect(await run({ unsynced: false }, 'kill')).toEqual(['unknown', false]);
  });

  it('keeps the text of the disk error for one start', async () => {
    await run({ isKnown: false }, 'disk-failed');
    expect(readFileSync(join(directory, 'disk-failed'), 'utf8')).toBe('EIO\n');
    await run({}, 'kill');
    expect(existsSync(join(directory, 'disk-failed'))).toBe(false);
    // It still has to be brought up to date, however often it is started.
    expect(await run({}, 'kill')).toEqual(['same-boot', true]);
  });

  it('notes a failed disk even where no file can be made', async () => {
    const full = (): never => {
      throw new Error('ENOSPC');
    };
    await run({ isKnown: false, mark: full }, 'clean after disk-failed');
    expect(await run({ bootId: 'boot-2' }, 'kill')).toEqual(['power-cut', true]);
  });
});

describe('what was forgotten', () => {
  it('stays forgotten over clean stops, until the replica remembers', async () => {
    await run({ isKnown: false }, 'kill');
    await run({ bootId: 'boot-2' }, 'clean');
    expect(await run({ bootId: 'boot-2' }, 'clean')).toEqual(['clean', true]);
    const manifest = await open({ bootId: 'boot-2' });
    await manifest.remembers();
    expect(manifest.forgetful).toBe(false);
    await manifest.close();
    expect(await run({ bootId: 'boot-2' }, 'kill')).toEqual(['same-boot', false]);
  });

  it('is not asked for when the operator trusts the log', async () => {
    await run({ isKnown: false }, 'kill');
    expect(await run({ bootId: 'boot-2', trustLog: true }, 'kill')).toEqual(['power-cut', false]);
    expect(await run({ bootId: 'boot-2' }, 'kill')).toEqual(['same-boot', false]);
  });

  it('survives one damaged slot; two damaged ones are refused with advice', async () => {
    await run({ isKnown: false }, 'kill');
    await run({ bootId: 'boot-2' }, 'kill');
    writeFileSync(join(directory, 'boot-a'), 'garbage');
    expect(await run({ bootId: 'boot-2' }, 'kill')).toEqual(['same-boot', true]);
    for (const name of ['boot-a', 'boot-b']) writeFileSync(join(directory, name), 'garbage');
    await expect(open()).rejects.toMatchObject({
      code: 'LOG_CORRUPTED',
      message: expect.stringContaining('Remove both files and start again'),
    });
    for (const name of ['boot-a', 'boot-b']) rmSync(join(directory, name));
    expect(await run({}, 'kill')).toEqual(['unknown', true]);
  });
});
