import { MqError, type Disk, type DiskFile, type Logger } from '@raftmq/base';
import { type BlockCache } from './position-index.js';
import { logCorrupted } from './scan.js';
import {
  decodeSegmentHeader,
  newestMark,
  SEGMENT_HEAD_SIZE_BYTES,
  type DurableMark,
  type SegmentOrigin,
} from './segment-head.js';

export interface RecoveryOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly logger: Logger;
  readonly blocks: BlockCache;
  /** SYNC_FLUSH: what the marks written here may claim. */
  readonly strict: boolean;
  /** Refuse to begin an empty log. */
  readonly mustExist: boolean;
}

/** A segment file with what its first pages say. */
export interface FoundSegment {
  readonly path: string;
  readonly file: DiskFile;
  readonly origin: SegmentOrigin;
  readonly mark: DurableMark;
}

/** Gives the names of segment files, ascending; removes leftovers and moves strangers to `quarantine/`. */
export async function sortOutFiles({
  disk,
  directory,
  logger,
}: RecoveryOptions): Promise<string[]> {
  const names = await disk.list(directory);
  const segments = names.filter((name) => /^\d{20}$/.test(name));
  let changed = false;
  for (const name of names) {
    const path = `${directory}/${name}`;
    const sidecarOf = /^(\d{20})\.idx$/.exec(name)?.[1];
    if (segments.includes(name) || name === 'quarantine') continue;
    if (sidecarOf !== undefined && segments.includes(sidecarOf)) continue;
    changed = true;
    if (sidecarOf !== undefined || /^\d{20}\.idx\.tmp$/.test(name)) {
      await disk.unlink(path);
      continue;
    }
    const quarantine = `${directory}/quarantine`;
    await disk.makeDirectory(quarantine);
    let to = `${quarantine}/${name}`;
    for (let n = 1; await disk.exists(to); n++) to = `${quarantine}/${name}.${n}`;
    await disk.rename(path, to);
    await disk.syncDirectory(quarantine);
    logger.warn({ file: path, movedTo: to }, 'unknown file in the commit log directory moved away');
  }
  if (changed) await disk.syncDirectory(directory);
  return segments;
}

/** Opens all segment files and reads their first pages; removes a last one that was never finished. */
export async function openSegments(
  options: RecoveryOptions,
  names: readonly string[],
): Promise<FoundSegment[]> {
  const { disk, directory } = options;
  const found: FoundSegment[] = [];
  try {
    for (const [i, name] of names.entries()) {
      const path = `${directory}/${name}`;
      const file = await disk.open(path, { create: false });
      const head = await file.read(0, SEGMENT_HEAD_SIZE_BYTES);
      const origin = decodeSegmentHeader(head);
      const mark = newestMark(head);
      if (origin === 'newer') {
        await file.close();
        throw new MqError(
          'VERSION_UNSUPPORTED',
          `${path} was written by a newer version of RaftMQ; start that version`,
        );
      }
      if (origin !== null && mark !== null && origin.start === Number(name)) {
        found.push({ path, file, origin, mark });
        continue;
      }
      const sizeBytes = file.sizeBytes();
      await file.close();
      if (
        i === names.length - 1 &&
        sizeBytes <= SEGMENT_HEAD_SIZE_BYTES &&
        mayBeUnfinished(name, found.at(-1))
      ) {
        // A crash between creating the file and syncing its head: no entry can have been written behind it.
        await disk.unlink(path);
        await disk.syncDirectory(directory);
        options.logger.info({ file: path }, 'unfinished new commit log segment removed');
        continue;
      }
      throw headDamaged(path, name, origin, mark);
    }
  } catch (error) {
    for (const { file } of found) await file.close().catch(() => undefined);
    throw error;
  }
  return found;
}

/** Whether a crash while the segment `name` was created explains a damaged head. */
function mayBeUnfinished(name: string, before: FoundSegment | undefined): boolean {
  if (before === undefined) return Number(name) === 0;
  const end = before.origin.start + before.file.sizeBytes() - SEGMENT_HEAD_SIZE_BYTES;
  return !before.mark.followed && Number(name) === end;
}

function headDamaged(
  path: string,
  name: string,
  origin: SegmentOrigin | null,
  mark: DurableMark | null,
): MqError {
  if (origin === null) return logCorrupted(path, 0, 0, 'the segment header is damaged');
  if (origin.start !== Number(name)) {
    return logCorrupted(
      path,
      8,
      origin.firstIndex,
      `the file says that it starts at ${origin.start}, its name does not`,
    );
  }
  return logCorrupted(
    path,
    mark === null ? 4096 : 0,
    origin.firstIndex,
    'both durable marks are damaged',
  );
}
