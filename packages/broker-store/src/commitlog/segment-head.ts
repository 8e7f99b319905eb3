import { crc32, readInt64, writeInt64 } from '@raftmq/base';

/**
 * The first three 4 KiB pages of a segment file; entries follow from byte 12288 on.
 *
 *   page 0, written once when the file is created
 *   offset size field
 *        0    4 magic 0x524d5153 ("RMQS")
 *        4    4 format version (1)
 *        8    8 start: position in the log of the first entry here; equals the file's name
 *       16    8 firstIndex: index of the first entry here
 *       24    8 prevTerm: term of the entry before, 0 when there is none
 *       32    8 prevStoreTimestampMs: store timestamp of the entry before, 0 when there is none
 *       40    4 CRC-32 of the 40 bytes above
 *
 *   pages 1 and 2: one durable mark each, written in turns; the higher valid sequence counts
 *        0    4 magic 0x524d5144 ("RMQD")
 *        4    4 flags: 1 strict, 2 followed
 *        8    8 sequence, from 1
 *       16    8 durableEnd: every byte of the log below this position is durable
 *       24    8 batchEnd: end of the batch that was written beside this mark
 *       32    4 CRC-32 of the 32 bytes above
 *
 * A mark is written together with a batch and made durable by the batch's own fdatasync, so it always speaks of the
 * time before that batch. Pages of their own keep a torn mark from touching anything else.
 */
export const SEGMENT_HEAD_SIZE_BYTES = 3 * 4096;
export const SEGMENT_MAGIC = 0x524d5153;
export const SEGMENT_FORMAT_VERSION = 1;
const HEADER_SIZE_BYTES = 44;
const MARK_MAGIC = 0x524d5144;
export const MARK_SIZE_BYTES = 36;
const FLAG_STRICT = 1;
const FLAG_FOLLOWED = 2;
const PAGE_SIZE_BYTES = 4096;

/** What a segment knows about the log before it. */
export interface SegmentOrigin {
  /** Position of the first entry. */
  readonly start: number;
  readonly firstIndex: number;
  readonly prevTerm: number;
  readonly prevStoreTimestampMs: number;
}

/** What was known to be durable when the mark was written. */
export interface DurableMark {
  readonly sequence: number;
  readonly durableEnd: number;
  readonly batchEnd: number;
  /** Nothing at or behind `batchEnd` was written before everything below it was durable (SYNC_FLUSH). */
  readonly strict: boolean;
  /** A next segment exists: its absence means that a file is missing. */
  readonly followed: boolean;
}

/** `00000000000000000000` for the first segment. */
export function segmentFileName(start: number): string {
  return String(start).padStart(20, '0');
}

/** Where in its file the byte at `position` lies. */
export function fileOffsetOf(start: number, position: number): number {
  return SEGMENT_HEAD_SIZE_BYTES + position - start;
}

/** Page 0. */
export function encodeSegmentHeader(origin: SegmentOrigin): Buffer {
  const page = Buffer.alloc(PAGE_SIZE_BYTES);
  page.writeUInt32BE(SEGMENT_MAGIC, 0);
  page.writeUInt32BE(SEGMENT_FORMAT_VERSION, 4);
  writeInt64(page, origin.start, 8);
  writeInt64(page, origin.firstIndex, 16);
  writeInt64(page, origin.prevTerm, 24);
  writeInt64(page, origin.prevStoreTimestampMs, 32);
  page.writeUInt32BE(crc32(page.subarray(0, 40)), 40);
  return page;
}

/**
 * Reads page 0.
 * @returns null when the bytes are no segment header; `'newer'` when a newer version wrote it
 */
export function decodeSegmentHeader(page: Buffer): SegmentOrigin | 'newer' | null {
  if (page.length < HEADER_SIZE_BYTES || page.readUInt32BE(0) !== SEGMENT_MAGIC) return null;
  if (page.readUInt32BE(40) !== crc32(page.subarray(0, 40))) return null;
  if (page.readUInt32BE(4) !== SEGMENT_FORMAT_VERSION) return 'newer';
  return {
    start: readInt64(page, 8),
    firstIndex: readInt64(page, 16),
    prevTerm: readInt64(page, 24),
    prevStoreTimestampMs: readInt64(page, 32),
  };
}

/** File offset of the page that holds the mark with this sequence. */
export function markOffset(sequence: number): number {
  return PAGE_SIZE_BYTES * (1 + (sequence % 2));
}

/** Writes a mark into `target` (at least 36 bytes). */
export function encodeMark(target: Buffer, mark: DurableMark): void {
  target.writeUInt32BE(MARK_MAGIC, 0);
  target.writeUInt32BE((mark.strict ? FLAG_STRICT : 0) | (mark.followed ? FLAG_FOLLOWED : 0), 4);
  writeInt64(target, mark.sequence, 8);
  writeInt64(target, mark.durableEnd, 16);
  writeInt64(target, mark.batchEnd, 24);
  target.writeUInt32BE(crc32(target.subarray(0, 32)), 32);
}

function decodeMark(page: Buffer): DurableMark | null {
  if (page.length < MARK_SIZE_BYTES || page.readUInt32BE(0) !== MARK_MAGIC) return null;
  if (page.readUInt32BE(32) !== crc32(page.subarray(0, 32))) return null;
  const flags = page.readUInt32BE(4);
  return {
    sequence: readInt64(page, 8),
    durableEnd: readInt64(page, 16),
    batchEnd: readInt64(page, 24),
    strict: (flags & FLAG_STRICT) !== 0,
    followed: (flags & FLAG_FOLLOWED) !== 0,
  };
}

/** The valid mark with the higher sequence among pages 1 and 2 of `head`; null when both are damaged. */
export function newestMark(head: Buffer): DurableMark | null {
  const even = decodeMark(head.subarray(PAGE_SIZE_BYTES, PAGE_SIZE_BYTES + MARK_SIZE_BYTES));
  const odd = decodeMark(head.subarray(2 * PAGE_SIZE_BYTES, 2 * PAGE_SIZE_BYTES + MARK_SIZE_BYTES));
  if (even === null || odd === null) return even ?? odd;
  return even.sequence > odd.sequence ? even : odd;
}
