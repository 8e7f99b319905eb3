import { assert, crc32, MqError, readInt64, writeInt32, writeInt64 } from '@raftmq/base';

/**
 * A queue file holds the index entries of a run of offsets of one queue:
 *
 *   offset size field
 *        0    4 magic 0x524d5143 ("RMQC")
 *        4    4 format version (1)
 *        8    8 first queue offset in this file
 *       16    4 CRC-32 of the 16 bytes above
 *       20   12 reserved, 0
 *       32      entries, 20 bytes each, offset by offset
 *
 *   entry:  0    8 position of the message in the CommitLog
 *           8    4 size of the message in bytes
 *          12    8 hash of its tag (Java's String.hashCode, sign-extended), 0 without a tag
 *
 * The entry is the classic consume queue's, so tools that know it can read it.
 */
export const QUEUE_FILE_HEADER_SIZE_BYTES = 32;
export const QUEUE_ENTRY_SIZE_BYTES = 20;
const MAGIC = 0x524d5143;
const FORMAT_VERSION = 1;

export function writeQueueEntry(
  target: Buffer,
  at: number,
  position: number,
  sizeBytes: number,
  tagHash: number,
): void {
  writeInt64(target, position, at);
  writeInt32(target, sizeBytes, at + 8);
  writeInt32(target, tagHash < 0 ? -1 : 0, at + 12);
  writeInt32(target, tagHash, at + 16);
}

export function queueFileHeader(fromOffset: number): Buffer {
  const header = Buffer.alloc(QUEUE_FILE_HEADER_SIZE_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(FORMAT_VERSION, 4);
  writeInt64(header, fromOffset, 8);
  header.writeUInt32BE(crc32(header.subarray(0, 16)), 16);
  return header;
}

/**
 * Whether the header belongs to a file that starts at `fromOffset`.
 * @throws MqError VERSION_UNSUPPORTED when a newer version wrote it
 */
export function isQueueFileHeader(header: Buffer, fromOffset: number): boolean {
  if (header.length < QUEUE_FILE_HEADER_SIZE_BYTES || header.readUInt32BE(0) !== MAGIC)
    return false;
  if (header.readUInt32BE(16) !== crc32(header.subarray(0, 16))) return false;
  if (header.readUInt32BE(4) !== FORMAT_VERSION) {
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `queue file format ${header.readUInt32BE(4)}: written by another version of RaftMQ`,
    );
  }
  return readInt64(header, 8) === fromOffset;
}

/** Reads `count` entries that lie back to back in `bytes` into the arrays, from slot `slot` on. */
export function readQueueEntries(
  bytes: Buffer,
  count: number,
  slot: number,
  positions: Float64Array,
  sizesBytes: Int32Array,
  tagHashes: Int32Array,
): void {
  assert(
    bytes.length >= count * QUEUE_ENTRY_SIZE_BYTES,
    'the queue file holds the entries it should',
  );
  for (let i = 0, at = 0; i < count; i++, at += QUEUE_ENTRY_SIZE_BYTES) {
    positions[slot + i] = readInt64(bytes, at);
    sizesBytes[slot + i] = bytes.readInt32BE(at + 8);
    tagHashes[slot + i] = bytes.readInt32BE(at + 16);
  }
}
