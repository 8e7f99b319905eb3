import { crc32, readInt64 } from '@raftmq/base';
import { readEntryHeader, type Entry, type HardState } from '@raftmq/raft';
import { type SimDisk } from './disk.js';

const SEGMENT_NAME = /^\d{20}$/;
const SEGMENT_HEAD_SEARCH_BYTES = 64 * 1024;
const HEAD_STEP_BYTES = 512;
const VOTE_MAGIC = 0x524d5156;
const VOTE_SIZE_BYTES = 32;

/** A file of the log, and the position of its first entry. */
interface Segment {
  readonly start: number;
  readonly path: string;
}

/**
 * What the platter of a node holds, read past the code under test: only the documented layout of the files is known
 * here (`docs/formats/`), none of the code that writes them.
 */
export class DurableView {
  readonly #disk: SimDisk;
  readonly #logDirectory: string;
  readonly #voteDirectory: string;
  readonly #flushed: boolean;
  /** Size of the head of a segment file; the same for all of them. */
  #headSizeBytes: number | null = null;
  /** Of the names as they were in this version. */
  #segments: readonly Segment[] = [];
  #namesVersion = -1;

  constructor(
    disk: SimDisk,
    logDirectory: string,
    voteDirectory: string,
    flushDiskType: 'SYNC_FLUSH' | 'ASYNC_FLUSH',
  ) {
    this.#disk = disk;
    this.#flushed = flushDiskType === 'SYNC_FLUSH';
    this.#logDirectory = logDirectory;
    this.#voteDirectory = voteDirectory;
  }

  /** Whether the whole frame of `entry` would survive a power cut now; with ASYNC_FLUSH, the end of the process. */
  holds(entry: Entry): boolean {
    const segment = this.#segmentOf(entry.position);
    if (segment === null) return false;
    const { start, path } = segment;
    this.#headSizeBytes ??= findHeadSize(
      this.#flushed ? this.#disk.durableBytes(path)! : this.#disk.writtenBytes(path)!,
      start,
    );
    if (this.#headSizeBytes === null) return false;
    const offset = this.#headSizeBytes + entry.position - start;
    return this.#flushed
      ? this.#disk.isDurable(path, offset, entry.frame)
      : this.#disk.isWritten(path, offset, entry.frame);
  }

  /** Term and vote that a restart after a power cut would find. */
  vote(): HardState {
    let newest = { sequence: 0, term: 0, votedFor: null as number | null };
    for (const name of ['vote-a', 'vote-b']) {
      const bytes = this.#disk.durableBytes(`${this.#voteDirectory}/${name}`);
      if (bytes === null || bytes.length < VOTE_SIZE_BYTES || bytes.readUInt32BE(0) !== VOTE_MAGIC)
        continue;
      if (bytes.readUInt32BE(28) !== crc32(bytes.subarray(0, 28))) continue;
      const sequence = readInt64(bytes, 8);
      if (sequence <= newest.sequence) continue;
      const votedFor = bytes.readInt32BE(24);
      newest = { sequence, term: readInt64(bytes, 16), votedFor: votedFor < 0 ? null : votedFor };
    }
    return newest;
  }

  #segmentOf(position: number): Segment | null {
    const version = this.#flushed ? this.#disk.durableNamesVersion : this.#disk.directory.version;
    if (version !== this.#namesVersion) {
      this.#namesVersion = version;
      const names = this.#flushed
        ? this.#disk.durableNames(this.#logDirectory)
        : this.#disk.directory.names(this.#logDirectory);
      this.#segments = names
        .filter((name) => SEGMENT_NAME.test(name))
        .map((name) => ({ start: Number(name), path: `${this.#logDirectory}/${name}` }));
    }
    for (let i = this.#segments.length - 1; i >= 0; i--) {
      if (this.#segments[i]!.start <= position) return this.#segments[i]!;
    }
    return null;
  }
}

function findHeadSize(bytes: Buffer, start: number): number | null {
  for (let at = 0; at < Math.min(bytes.length, SEGMENT_HEAD_SEARCH_BYTES); at += HEAD_STEP_BYTES) {
    if (readEntryHeader(bytes, at)?.position === start) return at;
  }
  return null;
}
