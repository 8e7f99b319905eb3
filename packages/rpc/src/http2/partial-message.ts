import { MESSAGE_PREFIX_BYTES } from './message-encoding.js';
import { type MessageMemory } from './message-memory.js';

const NOTHING = Buffer.alloc(0);

/** Why a message cannot be taken: it is too large, or there are too many at once. */
export type MessageRefusal = 'size' | 'memory';

/**
 * One gRPC message that does not lie within one piece of DATA: a flag (1 byte), its size (4), and the bytes, copied once
 * to where they stay. A message that only promises to be large costs nothing until its bytes come.
 */
export class PartialMessage {
  readonly #memory: MessageMemory;
  readonly #prefix = [0, 0, 0, 0, 0];
  #prefixBytes = 0;
  #size = 0;
  #body = NOTHING;
  #bodyBytes = 0;
  refused: MessageRefusal | null = null;

  constructor(memory: MessageMemory) {
    this.#memory = memory;
  }

  /** @returns where it stopped: at `end`, or behind the last byte of this message */
  take(chunk: Buffer, from: number, end: number): number {
    let at = from;
    while (this.#prefixBytes < MESSAGE_PREFIX_BYTES) {
      if (at === end) return at;
      this.#prefix[this.#prefixBytes++] = chunk[at++]!;
      if (this.#prefixBytes === MESSAGE_PREFIX_BYTES) {
        const [, a, b, c, d] = this.#prefix as [number, number, number, number, number];
        this.#size = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
        if (this.#size > this.#memory.messageBytesMax) this.refused = 'size';
      }
    }
    if (this.refused !== null) return end;
    const size = Math.min(this.#size - this.#bodyBytes, end - at);
    if (size > 0) {
      if (!this.#makeRoom(this.#bodyBytes + size)) {
        this.refused = 'memory';
        return end;
      }
      chunk.copy(this.#body, this.#bodyBytes, at, at + size);
      this.#bodyBytes += size;
    }
    return at + size;
  }

  get complete(): boolean {
    return this.#prefixBytes === MESSAGE_PREFIX_BYTES && this.#bodyBytes === this.#size;
  }

  get flag(): number {
    return this.#prefix[0]!;
  }

  /** The bytes, when complete; they belong to the caller, and its memory no longer counts as that of a partial one. */
  finish(): Buffer {
    this.#memory.release(this.#body.length);
    const { length } = this.#body;
    return this.#size === length ? this.#body : this.#body.subarray(0, this.#size);
  }

  /** Gives it up. */
  discard(): void {
    this.#memory.release(this.#body.length);
    this.#body = NOTHING;
  }

  #makeRoom(neededBytes: number): boolean {
    if (neededBytes <= this.#body.length) return true;
    const { wholeBytesMax } = this.#memory;
    const roomBytes =
      this.#size <= wholeBytesMax
        ? this.#size
        : Math.min(this.#size, Math.max(2 * this.#body.length, neededBytes, wholeBytesMax));
    if (!this.#memory.reserve(roomBytes - this.#body.length)) return false;
    const body = Buffer.allocUnsafe(roomBytes);
    this.#body.copy(body, 0, 0, this.#bodyBytes);
    this.#body = body;
    return true;
  }
}
