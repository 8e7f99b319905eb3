import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadConfig, nodeDisk, silentLogger, systemClock } from '@raftmq/base';
import { CommitLog } from './commit-log.js';
import { commitLogSettings } from './settings.js';
import { makeEntries } from './testing/entries.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-commitlog-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (flags: Record<string, string> = {}) =>
  CommitLog.open({
    disk: nodeDisk,
    directory,
    config: loadConfig(commitLogSettings, { flags: { segmentSizeBytes: '65536', ...flags } }),
    logger: silentLogger,
    clock: systemClock,
  });

describe('CommitLog', () => {
  it.each(['SYNC_FLUSH', 'ASYNC_FLUSH'])(
    'keeps 2000 entries over segments and a restart, %s',
    async (flushDiskType) => {
      const log = await open({ flushDiskType, cacheBytes: '65536' });
      const entries = makeEntries({ count: 2000, payloadBytes: 300 });
      const appends = [];
      for (let i = 0; i < entries.length; i += 10)
        appends.push(log.append(entries.slice(i, i + 10)));
      await Promise.all(appends);
      expect(log.lastIndex).toBe(2000);
      expect(log.read(1, 2000, Infinity).map((e) => e.frame.toString('base64'))).toEqual(
        entries.map((e) => e.frame.toString('base64')),
      );
      await log.close();
      const again = await open({ flushDiskType });
      expect(again.lastIndex).toBe(2000);
      expect(again.read(1, 2000, Infinity).map((e) => e.frame.toString('base64'))).toEqual(
        entries.map((e) => e.frame.toString('base64')),
      );
      await again.close();
    },
  );
});
