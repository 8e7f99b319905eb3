import { FRAME_HEADER_BYTES, frameFlag, frameType } from './protocol.js';

const SLAB_BYTES = 64 * 1024;
/** Larger pieces go to the socket as they are; up to here a copy is cheaper than a buffer more in the writev. */
const COPIED_BYTES_MAX = 4 * 1024;

/**
 * Collects the frames of one connection for one write: small pieces side by side in a slab, large ones as references.
 * One batch serves all connections in turns. What `take` returned is never written to again: slabs are only filled, and
 * a new one is made when one is full.
 */
export class FrameBatch {
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** Where the next byte goes, and where the run starts that is not in `#chunks` yet. */
  #at = 0;
  #from = 0;
  #chunks: Buffer[] = [];
  #sizeBytes = 0;

  /** Bytes collected since the last `take`. */
  get sizeBytes(): number {
    return this.#sizeBytes + (this.#at - this.#from);
  }

  frameHeader(size: number, type: number, flags: number, streamId: number): void {
    this.#reserve(FRAME_HEADER_BYTES);
    const slab = this.#slab;
    const at = this.#at;
    slab[at] = size >>> 16;
    slab[at + 1] = size >>> 8;
    slab[at + 2] = size;
    slab[at + 3] = type;
    slab[at + 4] = flags;
    slab[at + 5] = streamId >>> 24;
    slab[at + 6] = streamId >>> 16;
    slab[at + 7] = streamId >>> 8;
    slab[at + 8] = streamId;
    this.#at = at + FRAME_HEADER_BYTES;
  }

  /** The five bytes in front of each gRPC message. */
  messagePrefix(size: number, from: number, end: number): void {
    this.#reserve(end - from);
    for (let i = from; i < end; i++) {
      this.#slab[this.#at++] = i === 0 ? 0 : size >>> (8 * (4 - i));
    }
  }

  /** A piece of a buffer, which must not change any more. */
  piece(bytes: Buffer, from: number, end: number): void {
    const size = end - from;
    if (size > COPIED_BYTES_MAX) {
      this.#endRun();
      this.#chunks.push(from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end));
      this.#sizeBytes += size;
      return;
    }
    this.#reserve(size);
    if (size <= 48) {
      const slab = this.#slab;
      let at = this.#at;
      for (let i = from; i < end; i++) slab[at++] = bytes[i]!;
      this.#at = at;
    } else {
      bytes.copy(this.#slab, this.#at, from, end);
      this.#at += size;
    }
  }

  /** HEADERS with a whole block, which may change afterwards. */
  headers(streamId: number, flags: number, block: Buffer): void {
    this.frameHeader(block.length, frameType.HEADERS, flags | frameFlag.END_HEADERS, streamId);
    const stable = block.length > COPIED_BYTES_MAX ? Buffer.from(block) : block;
    this.piece(stable, 0, stable.length);
  }

  resetStream(streamId: number, code: number): void {
    this.frameHeader(4, frameType.RST_STREAM, 0, streamId);
    this.#uint32(code);
  }

  /** What was collected, in order; the caller owns it. */
  take(): Buffer[] {
    this.#endRun();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#sizeBytes = 0;
    return chunks;
  }

  #uint32(value: number): void {
    this.#reserve(4);
    this.#slab.writeUInt32BE(value, this.#at);
    this.#at += 4;
  }

  #reserve(size: number): void {
    if (this.#at + size <= SLAB_BYTES) return;
    this.#endRun();
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.#at = 0;
    this.#from = 0;
  }

  #endRun(): void {
    if (this.#at === this.#from) return;
    this.#chunks.push(this.#slab.subarray(this.#from, this.#at));
    this.#sizeBytes += this.#at - this.#from;
    this.#from = this.#at;
  }
}
