import { crc32, type Disk, type DiskFile } from '@raftmq/base';
import {
  blockCountOf,
  blocksStart,
  BLOCK_SIZE_BYTES,
  decodeRunHeader,
  FENCE_SIZE_BYTES,
  PAIR_SIZE_BYTES,
  PAIRS_PER_BLOCK,
  parseRunFileName,
  RUN_HEADER_SIZE_BYTES,
  runSizeBytes,
  type RunHeader,
} from './run-layout.js';

/** What is looked for: the positions of one hash within [fromPosition, endPosition). */
export interface PairQuery {
  readonly high: number;
  readonly low: number;
  readonly fromPosition: number;
  readonly endPosition: number;
  /** Smallest position first, else largest first. */
  readonly ascending: boolean;
}

/** The file is not what was written: it goes away, and its stretch of the log is indexed again. */
export class RunDamaged extends Error {
  override readonly name = 'RunDamaged';
  readonly run: RunFile;

  constructor(run: RunFile, what: string) {
    super(`${run.path}: ${what}`);
    this.run = run;
  }
}

/** A run on disk. Its header is known; file and fence are opened by {@link RunCache} when they are needed. */
export class RunFile {
  readonly path: string;
  readonly from: number;
  readonly end: number;
  readonly pairCount: number;
  readonly #fenceCrc: number;
  readonly #disk: Disk;
  #file: DiskFile | null = null;
  #fence: Buffer | null = null;
  #loading: Promise<void> | null = null;
  /** Lookups and merges that read it now. */
  readers = 0;

  constructor(disk: Disk, path: string, header: RunHeader) {
    this.#disk = disk;
    this.path = path;
    this.from = header.from;
    this.end = header.end;
    this.pairCount = header.pairCount;
    this.#fenceCrc = header.fenceCrc;
  }

  /** Reads the header; null when the file cannot be what its name says. */
  static async open(disk: Disk, directory: string, name: string): Promise<RunFile | null> {
    const stretch = parseRunFileName(name);
    if (stretch === null) return null;
    const path = `${directory}/${name}`;
    const file = await disk.open(path, { create: false });
    try {
      const header = decodeRunHeader(await file.read(0, RUN_HEADER_SIZE_BYTES));
      if (header?.from !== stretch.from || header.end !== stretch.end) return null;
      if (file.sizeBytes() !== runSizeBytes(header.pairCount)) return null;
      return new RunFile(disk, path, header);
    } finally {
      await file.close();
    }
  }

  /** Memory that the fence takes when it is loaded. */
  get fenceSizeBytes(): number {
    return blockCountOf(this.pairCount) * FENCE_SIZE_BYTES;
  }

  /**
   * Opens the file and reads the fence, once for all who ask meanwhile.
   * @throws RunDamaged
   */
  load(): Promise<void> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  /** Gives up file and fence. Nobody may be reading. */
  async unload(): Promise<void> {
    await this.#loading?.catch(() => undefined); // Whoever asked for it was told.
    const file = this.#file;
    this.#file = null;
    this.#fence = null;
    this.#loading = null;
    await file?.close();
  }

  async #load(): Promise<void> {
    try {
      this.#file = await this.#disk.open(this.path, { create: false });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new RunDamaged(this, 'the file is missing');
    }
    const fence = await this.#file.read(RUN_HEADER_SIZE_BYTES, this.fenceSizeBytes);
    if (fence.length !== this.fenceSizeBytes || crc32(fence) !== this.#fenceCrc)
      throw new RunDamaged(this, 'the fence does not match its sum');
    this.#fence = fence;
  }

  /**
   * Adds matching positions to `found` until it holds `countMax`. The run must be loaded.
   * @throws RunDamaged
   */
  async find(query: PairQuery, found: number[], countMax: number): Promise<void> {
    const blockCount = blockCountOf(this.pairCount);
    if (blockCount === 0) return;
    const { ascending, fromPosition, endPosition } = query;
    const from = Math.max(0, fromPosition - this.from);
    const end = Math.min(this.end, endPosition) - this.from;
    if (from >= end) return;
    const step = ascending ? 1 : -1;
    let block = await this.#lastBlockBelow(query, ascending ? from : end);
    for (; block >= 0 && block < blockCount; block += step) {
      const bytes = await this.readBlocks(block);
      const pairs = bytes.length / PAIR_SIZE_BYTES;
      for (let i = ascending ? 0 : pairs - 1; i >= 0 && i < pairs; i += step) {
        const order = comparePair(bytes, i * PAIR_SIZE_BYTES, query.high, query.low);
        if (order * step > 0) return;
        if (order !== 0) continue;
        const relative = bytes.readUInt32BE(i * PAIR_SIZE_BYTES + 8);
        if (relative >= from && relative < end) found.push(this.from + relative);
        else if (ascending ? relative >= end : relative < from) return;
        if (found.length === countMax) return;
      }
    }
  }

  /**
   * Bytes of up to `count` blocks from `block` on, checked. The run must be loaded.
   * @throws RunDamaged
   */
  async readBlocks(block: number, count = 1): Promise<Buffer> {
    const from = block * PAIRS_PER_BLOCK;
    const end = Math.min(this.pairCount, from + count * PAIRS_PER_BLOCK);
    const sizeBytes = (end - from) * PAIR_SIZE_BYTES;
    const bytes = await this.#file!.read(
      blocksStart(this.pairCount) + block * BLOCK_SIZE_BYTES,
      sizeBytes,
    );
    for (let at = 0, number = block; at < sizeBytes; at += BLOCK_SIZE_BYTES, number++) {
      const crc = this.#fence!.readUInt32BE(number * FENCE_SIZE_BYTES + 4);
      if (crc32(bytes.subarray(at, at + BLOCK_SIZE_BYTES)) !== crc)
        throw new RunDamaged(this, `block ${number} does not match its sum`);
    }
    return bytes;
  }

  /** The last block whose first pair is smaller than (hash, `relative`), at least the first block. */
  async #lastBlockBelow(query: PairQuery, relative: number): Promise<number> {
    const fence = this.#fence!;
    let low = 0;
    let high = blockCountOf(this.pairCount);
    // Blocks below `low` begin with a smaller pair, those from `high` on do not.
    while (low < high) {
      const middle = (low + high) >>> 1;
      const first = fence.readUInt32BE(middle * FENCE_SIZE_BYTES);
      let below = first < query.high;
      if (first === query.high) {
        const bytes = await this.readBlocks(middle);
        const order = comparePair(bytes, 0, query.high, query.low);
        below = order < 0 || (order === 0 && bytes.readUInt32BE(8) < relative);
      }
      if (below) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** Below 0 when the pair's hash is smaller than the given one, 0 when they are equal. */
function comparePair(bytes: Buffer, at: number, high: number, low: number): number {
  const pairHigh = bytes.readUInt32BE(at);
  return pairHigh === high ? bytes.readUInt32BE(at + 4) - low : pairHigh - high;
}
