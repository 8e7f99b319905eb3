import { crc32, readInt64, writeInt64 } from '@raftmq/base';

/**
 * A run: the pairs of a stretch of log, sorted by hash, then by position. Drawn in `docs/formats/message-index.md`.
 *
 *   offset size field
 *        0    4 magic 0x524d5158 ("RMQX")
 *        4    4 format version (1)
 *        8    8 from: first position of the stretch
 *       16    8 end: position behind it
 *       24    4 pairCount
 *       28    4 CRC-32 of the fence
 *       32    4 CRC-32 of the 32 bytes above
 *       36   28 reserved, 0
 *       64      fence: blockCount x (4 upper lane of the block's first hash, 4 CRC-32 of the block)
 *               blocks of 512 pairs, the last one shorter
 *
 *   pair: 4 upper lane of the hash, 4 lower lane, 4 position relative to from
 */
export const RUN_HEADER_SIZE_BYTES = 64;
export const FENCE_SIZE_BYTES = 8;
export const PAIR_SIZE_BYTES = 12;
export const PAIRS_PER_BLOCK = 512;
export const BLOCK_SIZE_BYTES = PAIRS_PER_BLOCK * PAIR_SIZE_BYTES;
const MAGIC = 0x524d5158;
const VERSION = 1;

export interface RunHeader {
  readonly from: number;
  readonly end: number;
  readonly pairCount: number;
  readonly fenceCrc: number;
}

export function blockCountOf(pairCount: number): number {
  return Math.ceil(pairCount / PAIRS_PER_BLOCK);
}

/** Where the blocks begin. */
export function blocksStart(pairCount: number): number {
  return RUN_HEADER_SIZE_BYTES + blockCountOf(pairCount) * FENCE_SIZE_BYTES;
}

export function runSizeBytes(pairCount: number): number {
  return blocksStart(pairCount) + pairCount * PAIR_SIZE_BYTES;
}

export function encodeRunHeader(header: RunHeader): Buffer {
  const bytes = Buffer.alloc(RUN_HEADER_SIZE_BYTES);
  bytes.writeUInt32BE(MAGIC, 0);
  bytes.writeUInt32BE(VERSION, 4);
  writeInt64(bytes, header.from, 8);
  writeInt64(bytes, header.end, 16);
  bytes.writeUInt32BE(header.pairCount, 24);
  bytes.writeUInt32BE(header.fenceCrc, 28);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 32)), 32);
  return bytes;
}

/** null for bytes that are no header of this version: the run is made again from the log. */
export function decodeRunHeader(bytes: Buffer): RunHeader | null {
  if (bytes.length < RUN_HEADER_SIZE_BYTES || bytes.readUInt32BE(0) !== MAGIC) return null;
  if (bytes.readUInt32BE(32) !== crc32(bytes.subarray(0, 32))) return null;
  if (bytes.readUInt32BE(4) !== VERSION) return null;
  return {
    from: readInt64(bytes, 8),
    end: readInt64(bytes, 16),
    pairCount: bytes.readUInt32BE(24),
    fenceCrc: bytes.readUInt32BE(28),
  };
}

export function runFileName(from: number, end: number): string {
  return `${digits(from)}-${digits(end)}`;
}

/** The stretch that a file name tells; null for a name that is none. */
export function parseRunFileName(name: string): { from: number; end: number } | null {
  const match = /^(\d{20})-(\d{20})$/.exec(name);
  if (match === null) return null;
  const from = Number(match[1]);
  const end = Number(match[2]);
  return Number.isSafeInteger(from) && Number.isSafeInteger(end) && from < end
    ? { from, end }
    : null;
}

function digits(position: number): string {
  return String(position).padStart(20, '0');
}
