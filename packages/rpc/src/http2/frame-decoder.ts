import { ConnectionError, FRAME_HEADER_BYTES, frameFlag, frameType } from './protocol.js';

/** Receives frames in order. Throwing a ConnectionError ends the connection: nothing is decoded after it. */
export interface FrameSink {
  /** @param sizeBytes of the payload, padding included: what flow control counts */
  dataStarted(streamId: number, flags: number, sizeBytes: number): void;
  /** Content of that frame, without padding, in one piece or several. The bytes are valid during this call only. */
  dataPiece(chunk: Buffer, from: number, end: number): void;
  dataEnded(): void;
  /** A whole frame of another type. The bytes are valid during this call only. */
  frame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Buffer,
    from: number,
    end: number,
  ): void;
}

export interface FrameLimits {
  /** Payload of a frame, as our SETTINGS say. */
  readonly frameBytesMax: number;
  /** Payload of a frame that is not DATA: it is held in memory until it is whole. */
  readonly controlBytesMax: number;
}

const NOTHING = Buffer.alloc(0);

/**
 * Cuts the bytes of a connection into frames, in chunks of any size. A frame within one chunk is passed on as a range of
 * it. DATA that spans chunks is passed on piece by piece, so nothing of it is copied here; other frames are put together.
 * Frames of unknown types are passed over.
 */
export class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #limits: FrameLimits;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Payload bytes of the frame under way that are still to come; -1 = a header is next. */
  #rest = -1;
  /** How many of them are padding at the end. */
  #padding = 0;
  #padLengthNext = false;
  #partial = NOTHING;
  #partialBytes = 0;

  constructor(sink: FrameSink, limits: FrameLimits) {
    this.#sink = sink;
    this.#limits = limits;
  }

  /**
   * @throws ConnectionError when the bytes break the framing, or the sink refuses a frame
   */
  push(chunk: Buffer): void {
    const end = chunk.length;
    let at = 0;
    for (;;) {
      if (this.#rest < 0) {
        if (at === end) return;
        if (this.#headerBytes > 0 || end - at < FRAME_HEADER_BYTES) {
          at = this.#gatherHeader(chunk, at, end);
          if (this.#headerBytes < FRAME_HEADER_BYTES) return;
          this.#headerBytes = 0;
          this.#start(this.#header, 0);
        } else {
          this.#start(chunk, at);
          at += FRAME_HEADER_BYTES;
        }
      }
      at = this.#type === frameType.DATA ? this.#data(chunk, at, end) : this.#other(chunk, at, end);
      if (this.#rest >= 0) return;
    }
  }

  #gatherHeader(chunk: Buffer, at: number, end: number): number {
    const size = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, end - at);
    chunk.copy(this.#header, this.#headerBytes, at, at + size);
    this.#headerBytes += size;
    return at + size;
  }

  #start(bytes: Buffer, at: number): void {
    const size = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    this.#type = bytes[at + 3]!;
    this.#flags = bytes[at + 4]!;
    this.#streamId =
      ((bytes[at + 5]! & 0x7f) << 24) |
      (bytes[at + 6]! << 16) |
      (bytes[at + 7]! << 8) |
      bytes[at + 8]!;
    this.#rest = size;
    const { frameBytesMax, controlBytesMax } = this.#limits;
    if (size > frameBytesMax) {
      throw new ConnectionError('FRAME_SIZE_ERROR', `a frame of ${size} bytes`);
    }
    if (this.#type === frameType.DATA) {
      this.#padding = 0;
      this.#padLengthNext = (this.#flags & frameFlag.PADDED) !== 0;
      if (this.#padLengthNext && size === 0) {
        throw new ConnectionError('FRAME_SIZE_ERROR', 'a padded frame without its pad length');
      }
      this.#sink.dataStarted(this.#streamId, this.#flags, size);
    } else if (size > controlBytesMax && this.#type <= frameType.CONTINUATION) {
      throw new ConnectionError('ENHANCE_YOUR_CALM', `${size} bytes in a frame without data`);
    }
  }

  #data(chunk: Buffer, from: number, end: number): number {
    let at = from;
    if (this.#padLengthNext) {
      if (at === end) return at;
      this.#padding = chunk[at++]!;
      this.#padLengthNext = false;
      this.#rest--;
      if (this.#padding > this.#rest) {
        throw new ConnectionError('PROTOCOL_ERROR', 'more padding than frame');
      }
    }
    const content = Math.min(this.#rest - this.#padding, end - at);
    if (content > 0) {
      this.#rest -= content;
      this.#sink.dataPiece(chunk, at, at + content);
      at += content;
    }
    if (this.#rest <= this.#padding) {
      const passed = Math.min(this.#rest, end - at);
      this.#padding -= passed;
      this.#rest -= passed;
      at += passed;
      if (this.#rest === 0) {
        this.#rest = -1;
        this.#sink.dataEnded();
      }
    }
    return at;
  }

  #other(chunk: Buffer, at: number, end: number): number {
    const known = this.#type <= frameType.CONTINUATION;
    const size = Math.min(this.#rest, end - at);
    if (known && this.#partialBytes === 0 && size === this.#rest) {
      this.#rest = -1;
      this.#sink.frame(this.#type, this.#flags, this.#streamId, chunk, at, at + size);
      return at + size;
    }
    if (known && size > 0) {
      if (this.#partialBytes === 0) this.#partial = Buffer.allocUnsafe(this.#rest);
      chunk.copy(this.#partial, this.#partialBytes, at, at + size);
      this.#partialBytes += size;
    }
    this.#rest -= size;
    if (this.#rest === 0) {
      this.#rest = -1;
      const whole = this.#partial;
      const wholeBytes = this.#partialBytes;
      this.#partial = NOTHING;
      this.#partialBytes = 0;
      if (known) this.#sink.frame(this.#type, this.#flags, this.#streamId, whole, 0, wholeBytes);
      else this.#sink.frame(this.#type, this.#flags, this.#streamId, NOTHING, 0, 0);
    }
    return at + size;
  }
}
