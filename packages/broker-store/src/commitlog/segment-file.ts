import { type Disk } from '@raftmq/base';
import {
  encodeMark,
  encodeSegmentHeader,
  MARK_SIZE_BYTES,
  markOffset,
  type DurableMark,
} from './segment-head.js';
import { type Segment } from './segment.js';

/**
 * Creates the file of a segment: header and first mark, fdatasync, directory sync. Entries may follow when it resolves.
 * Bytes of an earlier file of that name are discarded.
 */
export async function createSegmentFile(
  disk: Disk,
  directory: string,
  segment: Segment,
  strict: boolean,
): Promise<void> {
  const file = await disk.open(segment.path, { create: true });
  segment.file = file;
  if (file.sizeBytes() > 0) await file.truncate(0);
  await file.write([encodeSegmentHeader(segment), Buffer.alloc(2 * 4096)], 0);
  await writeMark(segment, {
    durableEnd: segment.start,
    batchEnd: segment.start,
    strict,
    followed: false,
  });
  await file.sync();
  await disk.syncDirectory(directory);
}

/** Writes the next durable mark of a segment; durable with the next sync of its file. */
export function writeMark(segment: Segment, mark: Omit<DurableMark, 'sequence'>): Promise<void> {
  const sequence = segment.mark.sequence + 1;
  segment.mark = { sequence, ...mark };
  const bytes = Buffer.allocUnsafe(MARK_SIZE_BYTES);
  encodeMark(bytes, segment.mark);
  return segment.file!.write([bytes], markOffset(sequence));
}
