import { type DiskFile } from '@raftmq/base';
import { type PositionIndex } from './position-index.js';
import { fileOffsetOf, type DurableMark, type SegmentOrigin } from './segment-head.js';

/**
 * One segment as readers see it: which entries it holds and where.
 *
 * `end`, the index and `lastStoreTimestampMs` follow `append` at once; `file` and `mark` follow the disk, and are
 * changed by the writer only.
 */
export class Segment implements SegmentOrigin {
  readonly start: number;
  readonly firstIndex: number;
  readonly prevTerm: number;
  readonly prevStoreTimestampMs: number;
  readonly path: string;
  readonly positions: PositionIndex;
  /** Position behind the last entry. */
  end: number;
  lastStoreTimestampMs: number;
  /** Null until the writer has created the file. */
  file: DiskFile | null = null;
  mark: DurableMark;
  /** Settles when a sidecar file that is being written is there, or given up. Never rejects. */
  sidecarWork: Promise<void> = Promise.resolve();
  #readers = 0;
  #retired = false;

  constructor(path: string, origin: SegmentOrigin, positions: PositionIndex) {
    this.path = path;
    this.start = origin.start;
    this.firstIndex = origin.firstIndex;
    this.prevTerm = origin.prevTerm;
    this.prevStoreTimestampMs = origin.prevStoreTimestampMs;
    this.positions = positions;
    this.end = origin.start;
    this.lastStoreTimestampMs = origin.prevStoreTimestampMs;
    this.mark = {
      sequence: 0,
      durableEnd: origin.start,
      batchEnd: origin.start,
      strict: true,
      followed: false,
    };
  }

  /** firstIndex - 1 when the segment is empty. */
  get lastIndex(): number {
    return this.firstIndex + this.positions.count - 1;
  }

  get sizeBytes(): number {
    return this.end - this.start;
  }

  positionOf(index: number): number {
    return this.start + this.positions.at(index - this.firstIndex);
  }

  /** Position behind the entry at `index`. */
  endOf(index: number): number {
    return index === this.lastIndex ? this.end : this.positionOf(index + 1);
  }

  /** Where the byte at `position` lies in the file. */
  offsetOf(position: number): number {
    return fileOffsetOf(this.start, position);
  }

  /** Takes one more entry. */
  append(position: number, sizeBytes: number, storeTimestampMs: number): void {
    this.positions.append(position - this.start);
    this.end = position + sizeBytes;
    this.lastStoreTimestampMs = storeTimestampMs;
  }

  /** Reads from the file while holding it open, even when the segment is retired meanwhile. */
  async readHeld(position: number, lengthBytes: number): Promise<Buffer | null> {
    if (this.#retired || this.file === null) return null;
    this.#readers++;
    try {
      return await this.file.read(this.offsetOf(position), lengthBytes);
    } finally {
      this.#readers--;
      if (this.#retired && this.#readers === 0) await this.#close();
    }
  }

  /** Closes the file as soon as nobody reads it. */
  async retire(): Promise<void> {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#readers === 0) await this.#close();
  }

  async #close(): Promise<void> {
    const file = this.file;
    this.file = null;
    if (file !== null) await file.close();
  }
}
