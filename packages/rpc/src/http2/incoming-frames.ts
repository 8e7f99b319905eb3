import { type FrameSink } from './frame-decoder.js';
import { type GrpcStream } from './grpc-stream.js';
import { findFragment, fragment, HeaderBlock } from './header-block.js';
import { type HeaderField } from './header-field.js';
import { HpackDecoder } from './hpack-decoder.js';
import {
  HEADER_LIST_BYTES_MAX,
  HEADER_TABLE_BYTES,
  IDLE_FRAMES_MAX,
  IDLE_FRAMES_PER_SECOND,
} from './limits.js';
import { Patience } from './patience.js';
import {
  ConnectionError,
  type ErrorCodeName,
  frameFlag,
  frameType,
  STREAM_ID_MAX,
  WINDOW_BYTES_MAX,
} from './protocol.js';
import { type ReceiveWindow } from './receive-window.js';

/** Who acts on frames. */
export interface FrameOwner {
  readonly receiveWindow: ReceiveWindow;
  /** null = over, or not opened yet. */
  stream(streamId: number): GrpcStream | null;
  /** Whether the stream was never opened. */
  isIdle(streamId: number): boolean;
  wasReset(streamId: number): boolean;
  /** A whole header block; null = larger than we take. */
  headersReceived(streamId: number, ends: boolean, fields: HeaderField[] | null): void;
  /** END_STREAM came with DATA. */
  remoteEnd(stream: GrpcStream): void;
  resetReceived(stream: GrpcStream, code: number): void;
  settingsReceived(bytes: Buffer, from: number, end: number): void;
  pingReceived(answers: boolean, opaque: Buffer): void;
  /** The peer will take no streams behind this one. */
  goAwayReceived(lastStreamId: number, code: number): void;
  windowGrown(growth: number): void;
  streamWindowGrown(stream: GrpcStream, growth: number): void;
  /** The peer broke a rule in one stream alone. */
  streamError(streamId: number, code: ErrorCodeName): void;
  /** Bytes of DATA that no stream took. */
  consumed(sizeBytes: number): void;
}

const PING_BYTES = 8;

/** What frames mean, one after another, and which of them may come when (RFC 9113). Its owner acts on them. */
export class IncomingFrames implements FrameSink {
  readonly idleFrames = new Patience(
    'frames that bring nothing',
    IDLE_FRAMES_MAX,
    IDLE_FRAMES_PER_SECOND,
  );
  readonly #owner: FrameOwner;
  readonly #hpack = new HpackDecoder(HEADER_TABLE_BYTES);
  #settingsReceived = false;
  #settingsAcknowledged = false;
  #block: HeaderBlock | null = null;
  #dataStream: GrpcStream | null = null;
  #dataEnds = false;
  /** Bytes of the DATA frame under way that no stream took: padding, or all of it. */
  #dataRestBytes = 0;

  constructor(owner: FrameOwner) {
    this.#owner = owner;
  }

  /** The peer has said its SETTINGS. */
  get settingsReceived(): boolean {
    return this.#settingsReceived;
  }

  /** The peer knows our SETTINGS. */
  get settingsAcknowledged(): boolean {
    return this.#settingsAcknowledged;
  }

  dataStarted(streamId: number, flags: number, sizeBytes: number): void {
    if (this.#block !== null || !this.#settingsReceived) throw unexpected('DATA');
    if (streamId === 0) throw unexpected('DATA on stream 0');
    if (!this.#owner.receiveWindow.take(sizeBytes)) {
      throw new ConnectionError('FLOW_CONTROL_ERROR', 'DATA beyond the window of the connection');
    }
    this.#dataEnds = (flags & frameFlag.END_STREAM) !== 0;
    this.#dataRestBytes = sizeBytes;
    if (sizeBytes === 0 && !this.#dataEnds) this.idleFrames.spend();
    let stream = this.#owner.stream(streamId);
    if (stream === null) {
      if (this.#owner.isIdle(streamId)) throw unexpected('DATA on an idle stream');
      if (!this.#owner.wasReset(streamId)) this.#owner.streamError(streamId, 'STREAM_CLOSED');
    } else if (stream.remoteEnded) {
      this.#owner.streamError(streamId, 'STREAM_CLOSED');
      stream = null;
    } else if (!stream.receiveWindow.take(sizeBytes)) {
      this.#owner.streamError(streamId, 'FLOW_CONTROL_ERROR');
      stream = null;
    }
    this.#dataStream = stream;
  }

  dataPiece(chunk: Buffer, from: number, end: number): void {
    if (this.#dataStream === null) return;
    this.#dataRestBytes -= end - from;
    this.#dataStream.piece(chunk, from, end);
    if (this.#dataStream.over) this.#dataStream = null;
  }

  dataEnded(): void {
    if (this.#dataRestBytes > 0) this.#owner.consumed(this.#dataRestBytes);
    const stream = this.#dataStream;
    this.#dataStream = null;
    if (stream !== null && this.#dataEnds) this.#owner.remoteEnd(stream);
  }

  frame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Buffer,
    from: number,
    end: number,
  ): void {
    if (
      this.#block !== null &&
      (type !== frameType.CONTINUATION || streamId !== this.#block.streamId)
    )
      throw unexpected('a frame inside a header block');
    if (!this.#settingsReceived && type !== frameType.SETTINGS) throw unexpected('no SETTINGS');
    const size = end - from;
    switch (type) {
      case frameType.HEADERS:
        this.#headers(flags, streamId, bytes, from, end);
        break;
      case frameType.CONTINUATION:
        this.#continuation(flags, bytes, from, end);
        break;
      case frameType.PRIORITY:
        if (streamId === 0) throw unexpected('PRIORITY on stream 0');
        if (size !== 5) this.#owner.streamError(streamId, 'FRAME_SIZE_ERROR');
        break;
      case frameType.RST_STREAM:
        expectSize(size, 4);
        this.#reset(streamId, bytes.readUInt32BE(from));
        break;
      case frameType.SETTINGS:
        if (streamId !== 0) throw unexpected('SETTINGS on a stream');
        this.#settings(flags, bytes, from, end);
        break;
      case frameType.PUSH_PROMISE:
        throw unexpected('PUSH_PROMISE');
      case frameType.PING:
        if (streamId !== 0) throw unexpected('PING on a stream');
        expectSize(size, PING_BYTES);
        this.#ping(flags, bytes.subarray(from, end));
        break;
      case frameType.GOAWAY:
        if (streamId !== 0) throw unexpected('GOAWAY on a stream');
        if (size < 8) expectSize(size, 8);
        this.#owner.goAwayReceived(
          bytes.readUInt32BE(from) & STREAM_ID_MAX,
          bytes.readUInt32BE(from + 4),
        );
        break;
      case frameType.WINDOW_UPDATE:
        expectSize(size, 4);
        this.#windowUpdated(streamId, bytes.readUInt32BE(from) & WINDOW_BYTES_MAX);
        break;
      default:
        // Of an extension that we do not speak.
        break;
    }
  }

  #headers(flags: number, streamId: number, bytes: Buffer, from: number, end: number): void {
    if (streamId === 0) throw unexpected('HEADERS on stream 0');
    findFragment(flags, bytes, from, end);
    if ((flags & frameFlag.END_HEADERS) !== 0) {
      this.#headerBlock(streamId, flags, bytes, fragment.from, fragment.end);
    } else {
      this.#block = new HeaderBlock(streamId, flags, bytes.subarray(fragment.from, fragment.end));
    }
  }

  #continuation(flags: number, bytes: Buffer, from: number, end: number): void {
    const block = this.#block;
    if (block === null) throw unexpected('CONTINUATION');
    block.append(bytes.subarray(from, end));
    if ((flags & frameFlag.END_HEADERS) === 0) return;
    this.#block = null;
    this.#headerBlock(block.streamId, block.flags, block.bytes, 0, block.bytes.length);
  }

  #headerBlock(streamId: number, flags: number, bytes: Buffer, from: number, end: number): void {
    const fields = this.#hpack.decode(bytes, from, end, HEADER_LIST_BYTES_MAX);
    this.#owner.headersReceived(streamId, (flags & frameFlag.END_STREAM) !== 0, fields);
  }

  #reset(streamId: number, code: number): void {
    const stream = this.#known(streamId, 'RST_STREAM');
    if (stream !== null) this.#owner.resetReceived(stream, code);
  }

  #settings(flags: number, bytes: Buffer, from: number, end: number): void {
    if ((flags & frameFlag.ACK) !== 0) {
      expectSize(end - from, 0);
      if (!this.#settingsReceived) throw unexpected('an acknowledgement first');
      this.#settingsAcknowledged = true;
      return;
    }
    if (this.#settingsReceived) this.idleFrames.spend();
    this.#settingsReceived = true;
    this.#owner.settingsReceived(bytes, from, end);
  }

  #ping(flags: number, opaque: Buffer): void {
    const answers = (flags & frameFlag.ACK) !== 0;
    if (!answers) this.idleFrames.spend();
    this.#owner.pingReceived(answers, opaque);
  }

  #windowUpdated(streamId: number, growth: number): void {
    if (streamId === 0) {
      if (growth === 0) throw unexpected('a WINDOW_UPDATE of nothing');
      this.#owner.windowGrown(growth);
      return;
    }
    const stream = this.#known(streamId, 'WINDOW_UPDATE');
    if (stream !== null) this.#owner.streamWindowGrown(stream, growth);
  }

  /** null = it is over. */
  #known(streamId: number, what: string): GrpcStream | null {
    if (this.#owner.isIdle(streamId)) throw unexpected(`${what} on an idle stream`);
    return this.#owner.stream(streamId);
  }
}

function unexpected(what: string): ConnectionError {
  return new ConnectionError('PROTOCOL_ERROR', what);
}

function expectSize(size: number, expected: number): void {
  if (size !== expected) {
    throw new ConnectionError('FRAME_SIZE_ERROR', `${size} bytes in a frame of ${expected}`);
  }
}
