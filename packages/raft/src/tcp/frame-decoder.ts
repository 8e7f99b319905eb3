import { assert, MqError } from '@raftmq/base';
import {
  CONTROL_SIZE_BYTES_MAX,
  FRAME_MAGIC,
  FRAME_PREFIX_SIZE_BYTES,
  headSum,
  malformed,
} from './frame.js';

/**
 * Takes in a whole frame. `control` is a view that is reused after the call; `body` belongs to the callee.
 * It may throw; the decoder must not be fed afterwards.
 */
export type TakeFrame = (kind: number, control: Buffer, body: Buffer) => void;

const NO_BODY = Buffer.alloc(0);

/**
 * Cuts a stream of chunks into frames, wherever the chunks begin and end:
 *
 *   prefix (16) ──► control part, sum checked ──► body ──► prefix …
 *
 * The head is gathered in one small Buffer that lives as long as the decoder. The body gets a Buffer of its own, made
 * when its size is known and vouched for by the head's sum, and every byte is copied into it once.
 */
export class FrameDecoder {
  readonly #take: TakeFrame;
  readonly #head = Buffer.allocUnsafe(FRAME_PREFIX_SIZE_BYTES + CONTROL_SIZE_BYTES_MAX);
  #headFill = 0;
  /** Bytes of prefix and control part; the control part's are known once the prefix is here. */
  #headSize = FRAME_PREFIX_SIZE_BYTES;
  #body: Buffer | null = null;
  #bodyFill = 0;
  /** A frame with a larger body is refused. */
  bodySizeBytesMax = 0;
  #ended = false;

  constructor(take: TakeFrame) {
    this.#take = take;
  }

  /** Passes over everything from now on, also over what is left of the chunk being decoded. */
  end(): void {
    this.#ended = true;
    this.#body = null;
  }

  /**
   * @param chunk is not kept
   * @throws MqError BAD_REQUEST for bytes that are no frame or a frame over the limit; and whatever
   *   taking a frame throws
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#ended) {
      at = this.#body === null ? this.#fillHead(chunk, at) : this.#fillBody(chunk, at, this.#body);
    }
  }

  #fillHead(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#headSize - this.#headFill);
    this.#headFill += chunk.copy(this.#head, this.#headFill, at, end);
    if (this.#headFill < this.#headSize) return end;
    if (this.#headSize === FRAME_PREFIX_SIZE_BYTES && !this.#readPrefix()) return end;
    this.#headDone();
    return end;
  }

  /** @returns whether the head is complete already, having no control part */
  #readPrefix(): boolean {
    const head = this.#head;
    if (head.readUInt16BE(0) !== FRAME_MAGIC) throw malformed('it starts with other bytes');
    const controlSize = head.readUInt32BE(4);
    if (controlSize > CONTROL_SIZE_BYTES_MAX) throw malformed('its control part is too large');
    const bodySize = head.readUInt32BE(8);
    if (bodySize > this.bodySizeBytesMax) {
      throw new MqError(
        'BAD_REQUEST',
        `a frame with a body of ${bodySize} bytes is over the limit of ${this.bodySizeBytesMax}`,
      );
    }
    this.#headSize += controlSize;
    return controlSize === 0;
  }

  #headDone(): void {
    const head = this.#head;
    if (headSum(head, this.#headSize) !== head.readUInt32BE(12))
      throw malformed('its head is damaged');
    const bodySize = head.readUInt32BE(8);
    if (bodySize === 0) return this.#emit(NO_BODY);
    this.#body = Buffer.allocUnsafe(bodySize);
    this.#bodyFill = 0;
  }

  #fillBody(chunk: Buffer, at: number, body: Buffer): number {
    const end = Math.min(chunk.length, at + body.length - this.#bodyFill);
    this.#bodyFill += chunk.copy(body, this.#bodyFill, at, end);
    assert(this.#bodyFill <= body.length, 'a body is filled to its size');
    if (this.#bodyFill === body.length) this.#emit(body);
    return end;
  }

  #emit(body: Buffer): void {
    const control = this.#head.subarray(FRAME_PREFIX_SIZE_BYTES, this.#headSize);
    const kind = this.#head[2]!;
    this.#headFill = 0;
    this.#headSize = FRAME_PREFIX_SIZE_BYTES;
    this.#body = null;
    this.#take(kind, control, body);
  }
}
