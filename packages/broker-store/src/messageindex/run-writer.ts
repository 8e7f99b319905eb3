import { assert, crc32, type Disk, type DiskFile } from '@raftmq/base';
import {
  blockCountOf,
  blocksStart,
  BLOCK_SIZE_BYTES,
  encodeRunHeader,
  FENCE_SIZE_BYTES,
  PAIR_SIZE_BYTES,
  runFileName,
} from './run-layout.js';

/** Pairs are written in chunks of so many blocks: 384 KiB. */
const CHUNK_BLOCKS = 64;

/** Writes one run, pair by pair in their order, under a temporary name until it is whole. */
export class RunWriter {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #from: number;
  readonly #end: number;
  readonly #pairCount: number;
  readonly #file: DiskFile;
  readonly #fence: Buffer;
  readonly #chunk: Buffer;
  /** Bytes of the chunk that are filled. */
  #filled = 0;
  #chunkAt: number;
  #blocks = 0;

  static async open(
    disk: Disk,
    directory: string,
    from: number,
    end: number,
    pairCount: number,
  ): Promise<RunWriter> {
    const file = await disk.open(`${directory}/${runFileName(from, end)}.tmp`, { create: true });
    return new RunWriter(disk, directory, from, end, pairCount, file);
  }

  private constructor(
    disk: Disk,
    directory: string,
    from: number,
    end: number,
    pairCount: number,
    file: DiskFile,
  ) {
    this.#disk = disk;
    this.#directory = directory;
    this.#from = from;
    this.#end = end;
    this.#pairCount = pairCount;
    this.#file = file;
    this.#fence = Buffer.alloc(blockCountOf(pairCount) * FENCE_SIZE_BYTES);
    const blocks = Math.min(CHUNK_BLOCKS, blockCountOf(pairCount));
    this.#chunk = Buffer.allocUnsafe(blocks * BLOCK_SIZE_BYTES);
    this.#chunkAt = blocksStart(pairCount);
  }

  /** Takes the next pair. @returns whether {@link flush} has to be called before the next one */
  add(high: number, low: number, relative: number): boolean {
    const chunk = this.#chunk;
    const at = this.#filled;
    chunk.writeUInt32BE(high, at);
    chunk.writeUInt32BE(low, at + 4);
    chunk.writeUInt32BE(relative, at + 8);
    this.#filled = at + PAIR_SIZE_BYTES;
    return this.#filled === chunk.length;
  }

  /** Writes what was added; called when {@link add} asks for it. */
  async flush(): Promise<void> {
    const filled = this.#chunk.subarray(0, this.#filled);
    if (filled.length === 0) return;
    for (let at = 0; at < filled.length; at += BLOCK_SIZE_BYTES) {
      const fenceAt = this.#blocks++ * FENCE_SIZE_BYTES;
      this.#fence.writeUInt32BE(filled.readUInt32BE(at), fenceAt);
      this.#fence.writeUInt32BE(crc32(filled.subarray(at, at + BLOCK_SIZE_BYTES)), fenceAt + 4);
    }
    await this.#file.write([filled], this.#chunkAt);
    this.#chunkAt += filled.length;
    this.#filled = 0;
  }

  /**
   * Completes the file and gives it its name.
   * @param durable sync it first: what it stands for is about to be deleted
   * @returns its path
   */
  async finish(durable: boolean): Promise<string> {
    await this.flush();
    assert(this.#fence.length === this.#blocks * FENCE_SIZE_BYTES, 'every pair was added');
    const header = encodeRunHeader({
      from: this.#from,
      end: this.#end,
      pairCount: this.#pairCount,
      fenceCrc: crc32(this.#fence),
    });
    await this.#file.write([header, this.#fence], 0);
    await this.#file.truncate(this.#chunkAt);
    if (durable) await this.#file.sync();
    await this.#file.close();
    const path = `${this.#directory}/${runFileName(this.#from, this.#end)}`;
    await this.#disk.rename(this.#file.path, path);
    if (durable) await this.#disk.syncDirectory(this.#directory);
    return path;
  }

  /** Gives up, after a failure or without one; what cannot be removed goes away at the next start. */
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await this.#disk.unlink(this.#file.path).catch(() => undefined);
  }
}
