import { MqError, type DiskFile } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, readEntry, readEntryHeader, type Entry } from '@raftmq/raft';
import { fileOffsetOf, SEGMENT_HEAD_SIZE_BYTES, type SegmentOrigin } from './segment-head.js';

const CHUNK_SIZE_BYTES = 4 * 1024 * 1024;
/** Big-endian 0x524d5145, how every entry begins. */
const ENTRY_MAGIC_BYTES = Buffer.from('RMQE', 'latin1');

/** How far a scan came. */
export interface ScanEnd {
  /** Position behind the last good entry. */
  readonly end: number;
  readonly nextIndex: number;
  /** Whether the file ends exactly there. */
  readonly atFileEnd: boolean;
}

/**
 * Reads all entries of a segment in order, header and payload sums included, until the first one that is damaged,
 * cut off, or not the one that has to follow.
 * @param visit gets each good entry; its frame is a view of the read buffer
 * @throws MqError VERSION_UNSUPPORTED when a newer version wrote an entry
 */
export async function scanEntries(
  file: DiskFile,
  origin: SegmentOrigin,
  visit: (entry: Entry) => void,
): Promise<ScanEnd> {
  let position = origin.start;
  let index = origin.firstIndex;
  let term = origin.prevTerm;
  let lengthBytes = CHUNK_SIZE_BYTES;
  for (;;) {
    const chunk = await file.read(fileOffsetOf(origin.start, position), lengthBytes);
    if (chunk.length === 0) return { end: position, nextIndex: index, atFileEnd: true };
    let at = 0;
    let wantedBytes = ENTRY_HEADER_SIZE_BYTES;
    while (chunk.length - at >= ENTRY_HEADER_SIZE_BYTES) {
      const header = readEntryHeader(chunk, at);
      if (header === null) return { end: position, nextIndex: index, atFileEnd: false };
      wantedBytes = header.sizeBytes;
      if (chunk.length - at < wantedBytes) break;
      const entry = readEntry(chunk.subarray(at, at + wantedBytes));
      if (
        entry === null ||
        entry.index !== index ||
        entry.position !== position ||
        entry.term < term
      ) {
        return { end: position, nextIndex: index, atFileEnd: false };
      }
      visit(entry);
      at += wantedBytes;
      position += wantedBytes;
      term = entry.term;
      index++;
      wantedBytes = ENTRY_HEADER_SIZE_BYTES;
    }
    const atEnd = chunk.length < lengthBytes;
    if (atEnd) return { end: position, nextIndex: index, atFileEnd: at === chunk.length };
    lengthBytes = Math.max(CHUNK_SIZE_BYTES, wantedBytes);
  }
}

/**
 * Whether any entry begins at or behind `fromPosition`, judged by a good header that names its own position.
 * Damage before such an entry cannot be a torn write when the writer syncs batch by batch.
 */
export async function hasEntryFrom(
  file: DiskFile,
  start: number,
  fromPosition: number,
): Promise<boolean> {
  const sizeBytes = file.sizeBytes();
  let offset = Math.max(SEGMENT_HEAD_SIZE_BYTES, fileOffsetOf(start, fromPosition));
  while (offset + ENTRY_HEADER_SIZE_BYTES <= sizeBytes) {
    const chunk = await file.read(offset, CHUNK_SIZE_BYTES);
    let at = chunk.indexOf(ENTRY_MAGIC_BYTES);
    while (at >= 0 && at + ENTRY_HEADER_SIZE_BYTES <= chunk.length) {
      if (isEntryAt(chunk, at, start + offset + at - SEGMENT_HEAD_SIZE_BYTES)) return true;
      at = chunk.indexOf(ENTRY_MAGIC_BYTES, at + 1);
    }
    if (chunk.length < CHUNK_SIZE_BYTES) return false;
    offset += chunk.length - (ENTRY_HEADER_SIZE_BYTES - 1);
  }
  return false;
}

function isEntryAt(chunk: Buffer, at: number, position: number): boolean {
  try {
    return readEntryHeader(chunk, at)?.position === position;
  } catch {
    return true; // A header with a good sum that only a newer version can read.
  }
}

/** The error for damage in the log: names the file, the byte in it and the entry, and what to do. */
export function logCorrupted(
  path: string,
  fileOffset: number,
  index: number,
  what: string,
): MqError {
  return new MqError(
    'LOG_CORRUPTED',
    `${path}: ${what} (byte ${fileOffset} of the file, entry index ${index}). The file was not changed. Keep a ` +
      'copy of the data directory. In a group of several replicas start this one with an empty data directory, it ' +
      'gets the log from the others; in a group of one restore a backup.',
  );
}
