import { assert, errorText, type Disk, type Logger } from '@raftmq/base';
import { ENTRY_HEADER_SIZE_BYTES, readEntryHeader } from '@raftmq/raft';
import { BLOCK_ENTRIES, type BlockSource } from './position-index.js';
import { logCorrupted } from './scan.js';
import { type Segment } from './segment.js';
import {
  encodeSidecar,
  readSidecarFile,
  sidecarBlocks,
  sidecarPath,
  writeSidecarFile,
  type Sidecar,
} from './sidecar.js';
import { type TermRanges } from './term-ranges.js';

/**
 * Blocks of a finished segment: from its sidecar, or, where the sidecar's bytes are damaged, by walking over the
 * headers of the block's entries in the segment itself.
 * @param segmentOf gives the segment, which may be made after its index
 */
export function sealedBlocks(
  disk: Disk,
  path: string,
  sidecar: Sidecar,
  logger: Logger,
  segmentOf: () => Segment,
): BlockSource {
  return sidecarBlocks(disk, path, sidecar, (block, error) => {
    logger.warn(
      { file: path, block, error: error === null ? 'checksum' : errorText(error) },
      'commit log index block is not readable, walking over the segment instead',
    );
    return walkBlock(segmentOf(), sidecar, block);
  });
}

function walkBlock(segment: Segment, sidecar: Sidecar, block: number): Uint32Array {
  const { file } = segment;
  assert(file !== null, 'a finished segment has an open file');
  const positions = new Uint32Array(
    Math.min(BLOCK_ENTRIES, sidecar.entryCount - block * BLOCK_ENTRIES),
  );
  let relative = sidecar.blockFirsts[block]!;
  for (let i = 0; i < positions.length; i++) {
    const offset = segment.offsetOf(segment.start + relative);
    const index = segment.firstIndex + block * BLOCK_ENTRIES + i;
    const header = readEntryHeader(file.readSync(offset, ENTRY_HEADER_SIZE_BYTES));
    if (header === null || header.index !== index || header.position !== segment.start + relative) {
      throw logCorrupted(segment.path, offset, index, 'no valid entry header where one has to be');
    }
    positions[i] = relative;
    relative += header.sizeBytes;
  }
  return positions;
}

/**
 * Writes the sidecar of a finished segment and lets its index use it. A failure is logged and costs a longer
 * start-up only: the index stays in memory.
 */
export async function storeSidecar(
  disk: Disk,
  directory: string,
  segment: Segment,
  terms: TermRanges,
  logger: Logger,
): Promise<void> {
  const path = sidecarPath(segment.path);
  const { truncations } = segment.positions;
  const bytes = encodeSidecar(segment, terms);
  try {
    await writeSidecarFile(disk, directory, path, bytes);
    const sidecar = await readSidecarFile(disk, path);
    if (sidecar === null || segment.positions.truncations !== truncations) return;
    segment.positions.seal(sealedBlocks(disk, path, sidecar, logger, () => segment));
  } catch (error) {
    logger.error(
      { file: path, error: errorText(error) },
      'commit log index file could not be written',
    );
  }
}
