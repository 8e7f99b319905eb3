import { bytes, choice, ms, type SettingsOf } from '@raftmq/base';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** Settings of the CommitLog. */
export const commitLogSettings = {
  segmentSizeBytes: bytes({
    default: GIB,
    min: 64 * 1024,
    max: 2 * GIB,
    scope: 'cluster',
    doc: 'Size at which a commit log file is closed and the next one begins. A single entry that is larger gets a file of its own. Retention deletes whole files, so large files keep data longer.',
  }),
  flushDiskType: choice({
    default: 'SYNC_FLUSH',
    of: ['SYNC_FLUSH', 'ASYNC_FLUSH'],
    doc: 'SYNC_FLUSH answers after fdatasync. ASYNC_FLUSH answers when the kernel of a majority has the bytes: only a power cut of a majority can lose messages, those of the last flushIntervalMs. See docs/durability.md.',
  }),
  flushIntervalMs: ms({
    default: 200,
    min: 1,
    max: 10_000,
    doc: 'ASYNC_FLUSH: longest time that written bytes wait for fdatasync. In both modes: how long the log must be idle before its durable mark is brought up to date.',
  }),
  flushBytes: bytes({
    default: 4 * MIB,
    min: 4096,
    max: GIB,
    doc: 'ASYNC_FLUSH: written bytes that start an fdatasync before the interval is over.',
  }),
  cacheBytes: bytes({
    default: 8 * MIB,
    min: 64 * 1024,
    max: 16 * GIB,
    doc: 'Memory for recent entries; a further quarter of it holds older entries that were read from disk. Entries not yet written are kept beyond it.',
  }),
  retentionMs: ms({
    default: 72 * 3_600_000,
    min: 60_000,
    max: 3650 * 86_400_000,
    doc: 'Age at which a whole commit log file may be deleted, counted from its last entry.',
  }),
  retentionBytes: bytes({
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    doc: 'Size of the commit log above which its oldest files are deleted whatever their age; 0 = no limit.',
  }),
} as const;

export type CommitLogConfig = SettingsOf<typeof commitLogSettings>;
