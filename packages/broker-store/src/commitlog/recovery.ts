import { errorText, isMqError, MqError, type DiskFile } from '@raftmq/base';
import { PositionIndex } from './position-index.js';
import { hasEntryFrom, logCorrupted, scanEntries, type ScanEnd } from './scan.js';
import { sealedBlocks, storeSidecar } from './sealed-index.js';
import { createSegmentFile, writeMark } from './segment-file.js';
import {
  openSegments,
  sortOutFiles,
  type FoundSegment,
  type RecoveryOptions,
} from './segment-files.js';
import {
  fileOffsetOf,
  SEGMENT_HEAD_SIZE_BYTES,
  segmentFileName,
  type SegmentOrigin,
} from './segment-head.js';
import { Segment } from './segment.js';
import { readSidecarFile, sidecarPath, type Sidecar } from './sidecar.js';
import { TermRanges } from './term-ranges.js';

/** What start-up found: at least one segment, the last one ready for appends and durable. */
export interface RecoveredLog {
  readonly segments: Segment[];
  readonly terms: TermRanges;
}

const COPY_SIZE_BYTES = 4 * 1024 * 1024;

/**
 * Opens what is in the directory, or begins a new log there.
 *
 * Finished segments are known by their sidecars and are not read. The last one is read whole: a tail that no
 * fdatasync can have covered is cut off, and what follows the durable mark is written again, because after a failed
 * fdatasync the page cache may hold bytes that the disk does not have.
 * @throws MqError LOG_CORRUPTED naming file, byte and index; VERSION_UNSUPPORTED
 */
export async function recoverLog(options: RecoveryOptions): Promise<RecoveredLog> {
  const { disk, directory } = options;
  await disk.makeDirectory(directory);
  const names = await sortOutFiles(options);
  const found = await openSegments(options, names);
  if (found.length === 0) {
    if (options.mustExist) {
      throw new MqError(
        'LOG_CORRUPTED',
        `${directory} holds no commit log, but this replica has had one. Put it back as it was at the last ` +
          'stop, or start this replica with an empty data directory: it then gets the log from its group.',
      );
    }
    return {
      segments: [await beginLog(options)],
      terms: seededTerms({ firstIndex: 1, prevTerm: 0 }),
    };
  }
  const terms = seededTerms(found[0]!.origin);
  const segments: Segment[] = [];
  try {
    for (let i = 0; i + 1 < found.length; i++) {
      segments.push(await openFinished(options, found[i]!, found[i + 1]!.origin, terms));
    }
    segments.push(await openLast(options, found[found.length - 1]!, terms));
    await disk.syncDirectory(directory);
    await noteSuccessor(segments, options.strict);
  } catch (error) {
    for (const { file } of found) await file.close().catch(() => undefined);
    throw error;
  }
  return { segments, terms };
}

function seededTerms(origin: {
  readonly firstIndex: number;
  readonly prevTerm: number;
}): TermRanges {
  const terms = new TermRanges();
  terms.append(origin.firstIndex - 1, origin.prevTerm);
  return terms;
}

async function beginLog(options: RecoveryOptions): Promise<Segment> {
  const origin = { start: 0, firstIndex: 1, prevTerm: 0, prevStoreTimestampMs: 0 };
  const path = `${options.directory}/${segmentFileName(0)}`;
  const segment = new Segment(path, origin, new PositionIndex(options.blocks));
  await createSegmentFile(options.disk, options.directory, segment, options.strict);
  return segment;
}

/** A segment that has a successor: complete by construction, so its size and its sidecar are enough. */
async function openFinished(
  options: RecoveryOptions,
  found: FoundSegment,
  next: SegmentOrigin,
  terms: TermRanges,
): Promise<Segment> {
  const { path, file, origin } = found;
  const end = origin.start + file.sizeBytes() - SEGMENT_HEAD_SIZE_BYTES;
  if (end !== next.start) {
    const what =
      end < next.start
        ? 'a segment file is missing behind this one, or its end is'
        : 'the file overlaps the next one';
    throw logCorrupted(
      path,
      file.sizeBytes(),
      next.firstIndex - 1,
      `the next segment starts at position ${next.start}, this one ends at ${end}: ${what}`,
    );
  }
  const sidecar = await readSidecarFile(options.disk, sidecarPath(path));
  const known =
    sidecar !== null &&
    sidecar.start === origin.start &&
    sidecar.end === end &&
    sidecar.firstIndex === origin.firstIndex &&
    sidecar.firstIndex + sidecar.entryCount === next.firstIndex;
  const segment = known
    ? segmentFromSidecar(options, found, sidecar, terms)
    : await rebuildFinished(options, found, end, terms);
  const lastTerm = terms.termOfRange(terms.rangeAt(segment.lastIndex));
  if (segment.lastIndex + 1 !== next.firstIndex || lastTerm !== next.prevTerm) {
    throw logCorrupted(
      path,
      file.sizeBytes(),
      segment.lastIndex,
      `the next segment continues index ${next.firstIndex - 1} of term ${next.prevTerm}, this one ends with term ${lastTerm}`,
    );
  }
  return segment;
}

/** A crash while the last segment was created may have left the one before without the note that it is followed. */
async function noteSuccessor(segments: readonly Segment[], strict: boolean): Promise<void> {
  const before = segments.at(-2);
  if (before === undefined || before.mark.followed) return;
  await writeMark(before, { durableEnd: before.end, batchEnd: before.end, strict, followed: true });
  await before.file!.sync();
}

function segmentFromSidecar(
  options: RecoveryOptions,
  found: FoundSegment,
  sidecar: Sidecar,
  terms: TermRanges,
): Segment {
  const { path, file, origin, mark } = found;
  const source = sealedBlocks(
    options.disk,
    sidecarPath(path),
    sidecar,
    options.logger,
    () => segment,
  );
  const positions = PositionIndex.sealed(
    options.blocks,
    sidecar.entryCount,
    sidecar.blockFirsts,
    source,
  );
  const segment: Segment = new Segment(path, origin, positions);
  segment.end = sidecar.end;
  segment.lastStoreTimestampMs = sidecar.lastStoreTimestampMs;
  segment.file = file;
  segment.mark = mark;
  for (const { firstIndex, term } of sidecar.terms) terms.append(firstIndex, term);
  return segment;
}

/** Reads a finished segment whole, because its sidecar is missing or damaged, and writes the sidecar again. */
async function rebuildFinished(
  options: RecoveryOptions,
  found: FoundSegment,
  end: number,
  terms: TermRanges,
): Promise<Segment> {
  const { segment, scanned } = await scanSegment(options, found, terms);
  if (scanned.end !== end) {
    throw logCorrupted(
      found.path,
      fileOffsetOf(segment.start, scanned.end),
      scanned.nextIndex,
      'an entry in a finished segment is damaged',
    );
  }
  options.logger.info(
    { file: found.path, entries: segment.positions.count },
    'commit log index file made again',
  );
  await storeSidecar(options.disk, options.directory, segment, terms, options.logger);
  return segment;
}

async function scanSegment(
  options: RecoveryOptions,
  found: FoundSegment,
  terms: TermRanges,
): Promise<{ segment: Segment; scanned: ScanEnd }> {
  const segment = new Segment(found.path, found.origin, new PositionIndex(options.blocks));
  segment.file = found.file;
  segment.mark = found.mark;
  try {
    const scanned = await scanEntries(found.file, found.origin, (entry) => {
      segment.append(entry.position, entry.frame.length, entry.storeTimestampMs);
      terms.append(entry.index, entry.term);
    });
    return { segment, scanned };
  } catch (error) {
    if (!isMqError(error)) throw error;
    throw new MqError(error.code, `${found.path}: ${errorText(error)}`, { cause: error });
  }
}

async function openLast(
  options: RecoveryOptions,
  found: FoundSegment,
  terms: TermRanges,
): Promise<Segment> {
  const { disk, directory, logger } = options;
  const { path, file } = found;
  const mark = found.mark;
  if (await disk.exists(sidecarPath(path))) {
    await disk.unlink(sidecarPath(path));
    await disk.syncDirectory(directory);
  }
  const { segment, scanned } = await scanSegment(options, found, terms);
  const damagedAt = fileOffsetOf(segment.start, scanned.end);
  if (scanned.end < mark.durableEnd) {
    const what = scanned.atFileEnd ? 'the file ends before' : 'an entry is damaged below';
    throw logCorrupted(
      path,
      damagedAt,
      scanned.nextIndex,
      `${what} position ${mark.durableEnd}, which was durable`,
    );
  }
  if (mark.followed) {
    throw logCorrupted(
      path,
      damagedAt,
      scanned.nextIndex,
      `the next segment file ${segmentFileName(segment.end)} is missing`,
    );
  }
  if (!scanned.atFileEnd) {
    if (
      mark.strict &&
      scanned.end < mark.batchEnd &&
      (await hasEntryFrom(file, segment.start, mark.batchEnd))
    ) {
      throw logCorrupted(
        path,
        damagedAt,
        scanned.nextIndex,
        'an entry is damaged, and later entries prove that it was durable',
      );
    }
    logger.warn(
      {
        file: path,
        fileOffset: damagedAt,
        cutBytes: file.sizeBytes() - damagedAt,
        nextIndex: scanned.nextIndex,
      },
      'torn tail of the commit log cut off; it was never acknowledged as durable',
    );
  }
  if (!scanned.atFileEnd) await file.truncate(damagedAt);
  await writeAgain(file, fileOffsetOf(segment.start, mark.durableEnd), damagedAt);
  await file.sync();
  await writeMark(segment, {
    durableEnd: segment.end,
    batchEnd: segment.end,
    strict: options.strict,
    followed: false,
  });
  await file.sync();
  return segment;
}

/** Makes the bytes of a range dirty again, so that the next sync has to write them. */
async function writeAgain(file: DiskFile, fromOffset: number, endOffset: number): Promise<void> {
  for (let at = fromOffset; at < endOffset; at += COPY_SIZE_BYTES) {
    await file.write([await file.read(at, Math.min(COPY_SIZE_BYTES, endOffset - at))], at);
  }
}
