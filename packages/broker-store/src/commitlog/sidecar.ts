import { crc32, readInt64, writeInt64, type Disk } from '@raftmq/base';
import { type BlockSource, BLOCK_ENTRIES } from './position-index.js';
import { type Segment } from './segment.js';
import { type TermRanges } from './term-ranges.js';

/**
 * `<start>.idx`: what start-up and readers need to know about a finished segment without reading it. Derived: when it
 * is missing or damaged it is made again from the segment.
 *
 *   offset size field
 *        0    4 magic 0x524d5149 ("RMQI")
 *        4    4 format version (1)
 *        8    8 start of the segment
 *       16    8 end: position behind its last entry
 *       24    8 firstIndex
 *       32    8 lastStoreTimestampMs
 *       40    4 entryCount
 *       44    4 termCount
 *       48    4 CRC-32 of the tables that follow, up to the first block
 *       52    4 CRC-32 of the 52 bytes above
 *       56      termCount x (8 first index, 8 term)
 *               blockCount x (4 first relative position, 4 CRC-32 of the block)
 *               blocks of 4096 x 4 relative positions, the last one shorter
 */
const SIDECAR_MAGIC = 0x524d5149;
const SIDECAR_VERSION = 1;
const HEADER_SIZE_BYTES = 56;
const TERM_SIZE_BYTES = 16;
const BLOCK_ROW_SIZE_BYTES = 8;

/** The tables of a sidecar; its blocks stay in the file. */
export interface Sidecar {
  readonly start: number;
  readonly end: number;
  readonly firstIndex: number;
  readonly lastStoreTimestampMs: number;
  readonly entryCount: number;
  readonly terms: readonly { readonly firstIndex: number; readonly term: number }[];
  readonly blockFirsts: readonly number[];
  readonly blockSums: readonly number[];
}

/** `…/00000000000000000000.idx` for the segment file of that name. */
export function sidecarPath(segmentPath: string): string {
  return `${segmentPath}.idx`;
}

/** The whole file as one Buffer. `terms` must cover the segment. */
export function encodeSidecar(segment: Segment, terms: TermRanges): Buffer {
  const { positions, firstIndex } = segment;
  const fromRange = positions.count === 0 ? 0 : terms.rangeAt(firstIndex);
  const endRange = positions.count === 0 ? 0 : terms.rangeAt(segment.lastIndex) + 1;
  const termCount = endRange - fromRange;
  const blockCount = positions.firsts.length;
  const blocksAt =
    HEADER_SIZE_BYTES + termCount * TERM_SIZE_BYTES + blockCount * BLOCK_ROW_SIZE_BYTES;
  const bytes = Buffer.alloc(blocksAt + positions.count * 4);
  let at = HEADER_SIZE_BYTES;
  for (let range = fromRange; range < endRange; range++) {
    at = writeInt64(bytes, Math.max(firstIndex, terms.firstIndexAt(range)), at);
    at = writeInt64(bytes, terms.termOfRange(range), at);
  }
  let blockAt = blocksAt;
  for (let b = 0; b < blockCount; b++) {
    const block = positions.block(b);
    const count = positions.blockCount(b);
    const blockEnd = blockAt + count * 4;
    for (let i = 0; i < count; i++) bytes.writeUInt32BE(block[i]!, blockAt + i * 4);
    at = bytes.writeUInt32BE(positions.firsts[b]!, at);
    at = bytes.writeUInt32BE(crc32(bytes.subarray(blockAt, blockEnd)), at);
    blockAt = blockEnd;
  }
  bytes.writeUInt32BE(SIDECAR_MAGIC, 0);
  bytes.writeUInt32BE(SIDECAR_VERSION, 4);
  writeInt64(bytes, segment.start, 8);
  writeInt64(bytes, segment.end, 16);
  writeInt64(bytes, firstIndex, 24);
  writeInt64(bytes, segment.lastStoreTimestampMs, 32);
  bytes.writeUInt32BE(positions.count, 40);
  bytes.writeUInt32BE(termCount, 44);
  bytes.writeUInt32BE(crc32(bytes.subarray(HEADER_SIZE_BYTES, blocksAt)), 48);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 52)), 52);
  return bytes;
}

/** Writes a sidecar under a temporary name, syncs it and renames it; durable when it resolves. */
export async function writeSidecarFile(
  disk: Disk,
  directory: string,
  path: string,
  bytes: Buffer,
): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await disk.open(temporary, { create: true });
  try {
    await file.truncate(0);
    await file.write([bytes], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(directory);
}

/** Reads the tables of a sidecar; null when the file is missing, damaged or of another version. */
export async function readSidecarFile(disk: Disk, path: string): Promise<Sidecar | null> {
  if (!(await disk.exists(path))) return null;
  const file = await disk.open(path, { create: false });
  try {
    const header = await file.read(0, HEADER_SIZE_BYTES);
    if (header.length < HEADER_SIZE_BYTES || header.readUInt32BE(0) !== SIDECAR_MAGIC) return null;
    if (header.readUInt32BE(52) !== crc32(header.subarray(0, 52))) return null;
    if (header.readUInt32BE(4) !== SIDECAR_VERSION) return null;
    const entryCount = header.readUInt32BE(40);
    const termCount = header.readUInt32BE(44);
    const blockCount = Math.ceil(entryCount / BLOCK_ENTRIES);
    const tablesSize = termCount * TERM_SIZE_BYTES + blockCount * BLOCK_ROW_SIZE_BYTES;
    if (file.sizeBytes() !== HEADER_SIZE_BYTES + tablesSize + entryCount * 4) return null;
    const tables = await file.read(HEADER_SIZE_BYTES, tablesSize);
    if (tables.length !== tablesSize || crc32(tables) !== header.readUInt32BE(48)) return null;
    return decodeTables(header, tables, entryCount, termCount, blockCount);
  } finally {
    await file.close();
  }
}

function decodeTables(
  header: Buffer,
  tables: Buffer,
  entryCount: number,
  termCount: number,
  blockCount: number,
): Sidecar {
  const terms = [];
  for (let i = 0; i < termCount; i++) {
    const at = i * TERM_SIZE_BYTES;
    terms.push({ firstIndex: readInt64(tables, at), term: readInt64(tables, at + 8) });
  }
  const blockFirsts: number[] = [];
  const blockSums: number[] = [];
  for (let b = 0; b < blockCount; b++) {
    const at = termCount * TERM_SIZE_BYTES + b * BLOCK_ROW_SIZE_BYTES;
    blockFirsts.push(tables.readUInt32BE(at));
    blockSums.push(tables.readUInt32BE(at + 4));
  }
  return {
    start: readInt64(header, 8),
    end: readInt64(header, 16),
    firstIndex: readInt64(header, 24),
    lastStoreTimestampMs: readInt64(header, 32),
    entryCount,
    terms,
    blockFirsts,
    blockSums,
  };
}

/**
 * Loads blocks of a sidecar file on demand, in the calling tick.
 * @param whenDamaged gives a block whose bytes in the file do not match their sum
 */
export function sidecarBlocks(
  disk: Disk,
  path: string,
  sidecar: Sidecar,
  whenDamaged: (block: number, error: unknown) => Uint32Array,
): BlockSource {
  const { entryCount, blockSums } = sidecar;
  const blocksAt =
    HEADER_SIZE_BYTES +
    sidecar.terms.length * TERM_SIZE_BYTES +
    blockSums.length * BLOCK_ROW_SIZE_BYTES;
  return (block) => {
    const count = Math.min(BLOCK_ENTRIES, entryCount - block * BLOCK_ENTRIES);
    let bytes: Buffer;
    try {
      const file = disk.openSync(path);
      try {
        bytes = file.readSync(blocksAt + block * BLOCK_ENTRIES * 4, count * 4);
      } finally {
        file.close().catch(() => undefined); // Nothing was written through it.
      }
    } catch (error) {
      return whenDamaged(block, error);
    }
    if (bytes.length !== count * 4 || crc32(bytes) !== blockSums[block])
      return whenDamaged(block, null);
    const positions = new Uint32Array(count);
    for (let i = 0; i < count; i++) positions[i] = bytes.readUInt32BE(i * 4);
    return positions;
  };
}
