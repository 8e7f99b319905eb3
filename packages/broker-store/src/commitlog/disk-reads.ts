import { assert, MqError } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, readEntry, readEntryHeader, type Entry } from '@raftmq/raft';
import { logCorrupted } from './scan.js';
import { type Segment } from './segment.js';

/** One read from disk takes at most this much, unless a single entry is larger. */
const READ_SIZE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Reads entries of one segment into `entries`, in the calling tick: from `fromIndex` through at most `throughIndex`, as
 * many as fit in `bytesMax`, at least one when `entries` is empty.
 * @returns bytes of the entries read, 0 when the next one does not fit
 * @throws MqError LOG_CORRUPTED
 */
export function readRun(
  segment: Segment,
  fromIndex: number,
  throughIndex: number,
  bytesMax: number,
  entries: Entry[],
): number {
  const through = Math.min(throughIndex, segment.lastIndex);
  const fromPosition = segment.positionOf(fromIndex);
  const limitBytes = Math.min(bytesMax, READ_SIZE_BYTES_MAX);
  let sizeBytes = segment.endOf(fromIndex) - fromPosition;
  if (sizeBytes > bytesMax && entries.length > 0) return 0;
  for (let index = fromIndex + 1; index <= through; index++) {
    const grownBytes = segment.endOf(index) - fromPosition;
    if (grownBytes > limitBytes) break;
    sizeBytes = grownBytes;
  }
  assert(segment.file !== null, 'entries that left memory are in an open file');
  const bytes = segment.file.readSync(segment.offsetOf(fromPosition), sizeBytes);
  let index = fromIndex;
  for (let at = 0; at < sizeBytes; index++) {
    const entry = decodeAt(segment, index, bytes, at, fromPosition + at);
    entries.push(entry);
    at += entry.frame.length;
  }
  return sizeBytes;
}

/**
 * The entry at `index` as read into `bytes` at `at`.
 * @throws MqError LOG_CORRUPTED when the sums are wrong, or it is another entry
 */
export function decodeAt(
  segment: Segment,
  index: number,
  bytes: Buffer,
  at: number,
  position: number,
): Entry {
  const entry = readEntry(at === 0 ? bytes : bytes.subarray(at));
  if (entry === null || entry.index !== index || entry.position !== position) {
    const what = 'the entry does not match its sum or its place';
    throw logCorrupted(segment.path, segment.offsetOf(position), index, what);
  }
  return entry;
}

/** Store timestamp of the entry at `index`, from its header on disk. */
export function storeTimestampOnDisk(segment: Segment, index: number): number {
  const offset = segment.offsetOf(segment.positionOf(index));
  assert(segment.file !== null, 'entries that left memory are in an open file');
  const header = readEntryHeader(segment.file.readSync(offset, ENTRY_HEADER_SIZE_BYTES));
  if (header === null || header.index !== index) {
    throw logCorrupted(segment.path, offset, index, 'the entry header is damaged');
  }
  return header.storeTimestampMs;
}

/**
 * The record at `position` as a view of its entry's frame.
 * @throws MqError LOG_CORRUPTED when the entry has no such record
 */
export function recordOf(entry: Entry, position: number, sizeBytes: number): Buffer {
  const at = position - entry.position;
  if (at < ENTRY_HEADER_SIZE_BYTES || at + sizeBytes > entry.frame.length) {
    throw new MqError(
      'LOG_CORRUPTED',
      `no record of ${sizeBytes} bytes lies at position ${position}: entry ${entry.index} takes positions ` +
        `${entry.position} to ${entry.position + entry.frame.length}. The index that gave this position is damaged; ` +
        'delete the derived files and start again, they are made from the log.',
    );
  }
  return entry.frame.subarray(at, at + sizeBytes);
}
