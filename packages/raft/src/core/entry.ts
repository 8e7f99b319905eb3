import { assert, crc32, MqError, readInt64, writeInt64 } from '@raftmq/base';

/**
 * One entry of the replicated log: a batch, framed exactly as it lies on every replica's disk.
 *
 *   offset size field
 *        0    4 magic 0x524d5145 ("RMQE")
 *        4    1 format version (1)
 *        5    1 type: 1 no-op, 2 records
 *        6    2 reserved, 0
 *        8    4 sizeBytes of the whole frame, header included
 *       12    4 CRC-32 of the payload
 *       16    8 index, from 1
 *       24    8 term, from 1
 *       32    8 position: where this frame starts in the log, in bytes from the log's beginning
 *       40    8 storeTimestampMs: the leader's wall clock at append; never lower than in the entry before
 *       48    4 recordCount in the payload
 *       52    4 CRC-32 of the 52 bytes above
 *       56      payload: records back to back
 *
 * The position in the header exposes stale and misdirected blocks (R26). `frame` is immutable once sealed.
 */
export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly position: number;
  readonly type: EntryType;
  readonly storeTimestampMs: number;
  readonly recordCount: number;
  /** The whole frame, header included. */
  readonly frame: Buffer;
}

export const ENTRY_HEADER_SIZE_BYTES = 56;
export const ENTRY_MAGIC = 0x524d5145;
export const ENTRY_FORMAT_VERSION = 1;
/** A frame beyond this is refused everywhere: it bounds buffers and makes a damaged length visible. */
export const ENTRY_SIZE_BYTES_MAX = 64 * 1024 * 1024;

export const entryType = { noop: 1, records: 2 } as const;
export type EntryType = (typeof entryType)[keyof typeof entryType];

/** What the header of a frame says besides its payload. */
export interface EntryMeta {
  readonly index: number;
  readonly term: number;
  readonly position: number;
  readonly type: EntryType;
  readonly storeTimestampMs: number;
  readonly recordCount: number;
}

/** First position behind the entry. */
export function entryEnd(entry: Entry): number {
  return entry.position + entry.frame.length;
}

/** Fills in the header of `frame` (whose payload is complete) and gives the finished entry; takes over `frame`. */
export function sealEntry(frame: Buffer, meta: EntryMeta): Entry {
  assert(frame.length >= ENTRY_HEADER_SIZE_BYTES, 'an entry frame has room for its header');
  assert(frame.length <= ENTRY_SIZE_BYTES_MAX, 'an entry frame is within the limit');
  frame.writeUInt32BE(ENTRY_MAGIC, 0);
  frame[4] = ENTRY_FORMAT_VERSION;
  frame[5] = meta.type;
  frame.writeUInt16BE(0, 6);
  frame.writeUInt32BE(frame.length, 8);
  frame.writeUInt32BE(crc32(frame.subarray(ENTRY_HEADER_SIZE_BYTES)), 12);
  writeInt64(frame, meta.index, 16);
  writeInt64(frame, meta.term, 24);
  writeInt64(frame, meta.position, 32);
  writeInt64(frame, meta.storeTimestampMs, 40);
  frame.writeUInt32BE(meta.recordCount, 48);
  frame.writeUInt32BE(crc32(frame.subarray(0, 52)), 52);
  return { ...meta, frame };
}

/** A frame's header as read back: size and payload sum beside the meta data. */
export interface EntryHeader extends EntryMeta {
  readonly sizeBytes: number;
  readonly payloadCrc: number;
}

/**
 * Reads a header from at least 56 bytes.
 * @returns null when magic, version, type, size or the header's own sum is wrong: these bytes are no entry
 */
export function readEntryHeader(bytes: Buffer, at = 0): EntryHeader | null {
  if (bytes.length - at < ENTRY_HEADER_SIZE_BYTES || bytes.readUInt32BE(at) !== ENTRY_MAGIC)
    return null;
  if (bytes.readUInt32BE(at + 52) !== crc32(bytes.subarray(at, at + 52))) return null;
  const type = bytes[at + 5]!;
  const sizeBytes = bytes.readUInt32BE(at + 8);
  if (
    bytes[at + 4] !== ENTRY_FORMAT_VERSION ||
    (type !== entryType.noop && type !== entryType.records)
  ) {
    // The sum is right, so another version wrote this: never skip what we cannot read (R32).
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `entry format ${bytes[at + 4]} type ${type}: written by a newer version of RaftMQ`,
    );
  }
  if (sizeBytes < ENTRY_HEADER_SIZE_BYTES || sizeBytes > ENTRY_SIZE_BYTES_MAX) return null;
  return {
    type,
    sizeBytes,
    payloadCrc: bytes.readUInt32BE(at + 12),
    index: readInt64(bytes, at + 16),
    term: readInt64(bytes, at + 24),
    position: readInt64(bytes, at + 32),
    storeTimestampMs: readInt64(bytes, at + 40),
    recordCount: bytes.readUInt32BE(at + 48),
  };
}

/**
 * Reads one whole frame: header, length and payload sum.
 * @param frame exactly one frame, or more bytes that start with one; the entry holds a view of it
 * @returns null when the frame is torn or damaged
 */
export function readEntry(frame: Buffer): Entry | null {
  const header = readEntryHeader(frame);
  if (header === null || frame.length < header.sizeBytes) return null;
  const whole = frame.length === header.sizeBytes ? frame : frame.subarray(0, header.sizeBytes);
  if (crc32(whole.subarray(ENTRY_HEADER_SIZE_BYTES)) !== header.payloadCrc) return null;
  const { index, term, position, type, storeTimestampMs, recordCount } = header;
  return { index, term, position, type, storeTimestampMs, recordCount, frame: whole };
}
