import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from '@jest/globals';
import { createPrng, loadConfig, nodeDisk, silentLogger, systemClock } from '@raftmq/base';
import { CommitLog, commitLogSettings } from '@raftmq/broker-store';
import { diskCases } from './disk.js';
import { logStorageCases } from './log-storage.js';
import { MemoryDisk } from './memory-disk.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-contract-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('Disk: the real one', () => {
  for (const { name, needsCrash, run } of diskCases) {
    if (!needsCrash) it(name, () => run({ disk: nodeDisk, directory }));
  }
});

describe.each([
  { flushDiskType: 'SYNC_FLUSH', cacheBytes: '32MiB' },
  { flushDiskType: 'SYNC_FLUSH', cacheBytes: '64KiB' },
  { flushDiskType: 'ASYNC_FLUSH', cacheBytes: '64KiB' },
])('LogStorage: CommitLog on the real disk, %j', (flags) => {
  const config = loadConfig(commitLogSettings, { flags: { ...flags, segmentSizeBytes: '64KiB' } });
  const open = () =>
    CommitLog.open({ disk: nodeDisk, directory, config, logger: silentLogger, clock: systemClock });
  for (const { name, needs, run } of logStorageCases) {
    if (needs === 'crash') continue; // Needs a disk that loses power.
    it(name, () => run({ open, compactionUnitBytes: config.segmentSizeBytes }));
  }
});

// The order of disk operations, and what a power cut leaves, are drawn from the seed.
describe.each([1, 2, 3, 4, 5])('in memory, with power cuts, seed %i', (seed) => {
  const flags = { segmentSizeBytes: '64KiB', cacheBytes: '64KiB' };
  const config = loadConfig(commitLogSettings, { flags });

  for (const { name, run } of diskCases) {
    it(`Disk: ${name}`, async () => {
      const disk = new MemoryDisk(createPrng(seed));
      await disk.drive(run({ disk, directory: '/data', crash: () => disk.crash(true) }));
    });
  }

  for (const { name, run } of logStorageCases) {
    it(`LogStorage: ${name}`, async () => {
      const disk = new MemoryDisk(createPrng(seed));
      const open = () =>
        CommitLog.open({
          disk,
          directory: '/data/commitlog',
          config,
          logger: silentLogger,
          clock: systemClock,
        });
      const crash = () => disk.crash(true);
      await disk.drive(run({ open, crash, compactionUnitBytes: config.segmentSizeBytes }));
    });
  }
});
