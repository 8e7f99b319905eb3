import { assert, type Disk, type DiskFile } from '@raftmq/base';
import { type QueueSlice } from '../ports.js';
import {
  QUEUE_ENTRY_SIZE_BYTES as ENTRY,
  QUEUE_FILE_HEADER_SIZE_BYTES as HEADER,
  isQueueFileHeader,
  queueFileHeader,
  readQueueEntries,
  writeQueueEntry,
} from './entry-layout.js';

/** Files of the queues, opened for reading on demand; bounds how many stay open. */
export interface QueueFiles {
  readonly disk: Disk;
  /** The open file, to be used before the next call only. */
  openSync(path: string): DiskFile;
  forget(path: string): Promise<void>;
}

const TAIL_ENTRIES_MIN = 64;

/**
 * The index of one queue.
 *
 *   offsets:  min ........ first file | next file | last file ][ tail in memory ) max
 *                                      on disk ---------------'
 *
 * The tail takes appends; `flush` moves it to the files. A tail that was flushed stays readable until the next flush
 * finds nothing new, so that fresh entries are read from memory.
 */
export class Queue {
  minOffset: number;
  maxOffset: number;
  readonly #directory: string;
  readonly #files: QueueFiles;
  readonly #entriesPerFile: number;
  /** First offsets of the files, ascending. */
  readonly #starts: number[];
  #tail: Buffer;
  #tailFrom: number;
  /** Everything below is in the files. */
  #flushedEnd: number;

  constructor(
    directory: string,
    files: QueueFiles,
    entriesPerFile: number,
    starts: number[],
    endOffset: number,
  ) {
    this.#directory = directory;
    this.#files = files;
    this.#entriesPerFile = entriesPerFile;
    this.#starts = starts;
    this.minOffset = starts[0] ?? 0;
    this.maxOffset = endOffset;
    this.#flushedEnd = endOffset;
    this.#tailFrom = endOffset;
    this.#tail = Buffer.alloc(0);
  }

  get dirty(): boolean {
    return this.#flushedEnd < this.maxOffset;
  }

  /** Bytes of memory that the tail holds. */
  get tailSizeBytes(): number {
    return this.#tail.length;
  }

  get empty(): boolean {
    return this.maxOffset === this.minOffset;
  }

  /** Lets an empty queue begin at `offset`: what came before is no longer in the log. */
  startAt(offset: number): void {
    assert(this.empty, 'only an empty queue can choose where it begins');
    this.minOffset = offset;
    this.maxOffset = offset;
    this.#flushedEnd = offset;
    this.#tailFrom = offset;
  }

  append(position: number, sizeBytes: number, tagHash: number): void {
    const at = (this.maxOffset - this.#tailFrom) * ENTRY;
    if (at + ENTRY > this.#tail.length) {
      const grown = Buffer.alloc(Math.max(TAIL_ENTRIES_MIN * ENTRY, this.#tail.length * 2));
      this.#tail.copy(grown, 0, 0, at);
      this.#tail = grown;
    }
    writeQueueEntry(this.#tail, at, position, sizeBytes, tagHash);
    this.maxOffset++;
  }

  read(fromOffset: number, countMax: number): QueueSlice {
    assert(fromOffset >= 0, 'queue offsets start at 0');
    const from = Math.max(fromOffset, this.minOffset);
    const count = Math.max(0, Math.min(countMax, this.maxOffset - from));
    const positions = new Float64Array(count);
    const sizesBytes = new Int32Array(count);
    const tagHashes = new Int32Array(count);
    let slot = 0;
    while (slot < count) {
      const offset = from + slot;
      if (offset >= this.#tailFrom) {
        const bytes = this.#tail.subarray((offset - this.#tailFrom) * ENTRY);
        readQueueEntries(bytes, count - slot, slot, positions, sizesBytes, tagHashes);
        slot = count;
      } else {
        const fileFrom = this.#starts[this.#fileIndexOf(offset)]!;
        const run = Math.min(
          count - slot,
          fileFrom + this.#entriesPerFile - offset,
          this.#tailFrom - offset,
        );
        const file = this.#files.openSync(this.#path(fileFrom));
        const bytes = file.readSync(HEADER + (offset - fileFrom) * ENTRY, run * ENTRY);
        readQueueEntries(bytes, run, slot, positions, sizesBytes, tagHashes);
        slot += run;
      }
    }
    return { fromOffset: from, count, positions, sizesBytes, tagHashes };
  }

  /** Moves the tail as of this call into the files and syncs them. One at a time per queue. */
  async flush(): Promise<void> {
    const end = this.maxOffset;
    let offset = this.#flushedEnd;
    if (offset === end) {
      // Nothing new since the last flush: the files have it all, give the memory back.
      this.#tail = Buffer.alloc(0);
      this.#tailFrom = end;
      return;
    }
    while (offset < end) {
      const fileFrom = Math.floor(offset / this.#entriesPerFile) * this.#entriesPerFile;
      const known = this.#starts.includes(fileFrom);
      const run = Math.min(end, fileFrom + this.#entriesPerFile) - offset;
      const at = (offset - this.#tailFrom) * ENTRY;
      const file = await this.#files.disk.open(this.#path(fileFrom), { create: true });
      try {
        if (!known) await file.write([queueFileHeader(fileFrom)], 0);
        await file.write(
          [this.#tail.subarray(at, at + run * ENTRY)],
          HEADER + (offset - fileFrom) * ENTRY,
        );
        await file.sync();
      } finally {
        await file.close();
      }
      if (!known) {
        await this.#files.disk.syncDirectory(this.#directory);
        this.#starts.push(fileFrom);
      }
      offset += run;
    }
    this.#dropTailBelow(this.#flushedEnd);
    this.#flushedEnd = end;
  }

  async truncate(endOffset: number): Promise<void> {
    assert(!this.dirty, 'a queue is cut back before it is appended to');
    while (this.#starts.length > 0 && this.#starts[this.#starts.length - 1]! >= endOffset) {
      await this.#remove(this.#starts.pop()!);
    }
    this.maxOffset = Math.min(this.maxOffset, endOffset);
    this.#flushedEnd = this.maxOffset;
    this.#tail = Buffer.alloc(0);
    this.#tailFrom = this.maxOffset;
    this.minOffset = Math.min(this.minOffset, this.maxOffset);
  }

  /** Moves `minOffset` to the first message at or behind `firstPosition`; gives the paths that are no longer needed. */
  dropBelow(firstPosition: number): number[] {
    let low = this.minOffset;
    let high = this.maxOffset;
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2);
      if (this.read(middle, 1).positions[0]! < firstPosition) low = middle + 1;
      else high = middle;
    }
    this.minOffset = low;
    const dropped: number[] = [];
    while (this.#starts.length > 1 && this.#starts[1]! <= low) dropped.push(this.#starts.shift()!);
    return dropped;
  }

  async remove(starts: readonly number[] = this.#starts.splice(0)): Promise<void> {
    for (const start of starts) await this.#remove(start);
  }

  async #remove(start: number): Promise<void> {
    await this.#files.forget(this.#path(start));
    await this.#files.disk.unlink(this.#path(start));
  }

  #dropTailBelow(offset: number): void {
    const keepFrom = (offset - this.#tailFrom) * ENTRY;
    if (keepFrom === 0) return;
    const usedEnd = (this.maxOffset - this.#tailFrom) * ENTRY;
    this.#tail = Buffer.from(this.#tail.subarray(keepFrom, usedEnd));
    this.#tailFrom = offset;
  }

  #fileIndexOf(offset: number): number {
    let index = this.#starts.length - 1;
    while (index > 0 && this.#starts[index]! > offset) index--;
    return index;
  }

  #path(start: number): string {
    return `${this.#directory}/${queueFileName(start)}`;
  }
}

export function queueFileName(start: number): string {
  return String(start).padStart(20, '0');
}

/**
 * Reads what files of a queue directory can be trusted: names and headers right, files without a gap.
 * @returns first offsets of the good files, and the offset behind the last whole entry; what follows a bad file is not used
 */
export async function scanQueueDirectory(
  directory: string,
  files: QueueFiles,
  entriesPerFile: number,
): Promise<{ readonly starts: number[]; readonly endOffset: number }> {
  const starts: number[] = [];
  let endOffset = 0;
  for (const name of await files.disk.list(directory)) {
    const start = Number(name);
    if (!/^\d{20}$/.test(name) || start % entriesPerFile !== 0) continue;
    if (starts.length > 0 && start !== endOffset) break;
    const path = `${directory}/${name}`;
    const file = files.openSync(path);
    if (!isQueueFileHeader(file.readSync(0, HEADER), start)) {
      // Nobody may find it open later: another file may take its name.
      await files.forget(path);
      break;
    }
    starts.push(start);
    endOffset = start + Math.min(entriesPerFile, Math.floor((file.sizeBytes() - HEADER) / ENTRY));
  }
  return { starts, endOffset };
}
