import { type Socket } from 'node:net';
import { FrameDecoder, type FrameSink } from './frame-decoder.js';
import { type FlushTurn } from './flush-turn.js';
import { type GrpcStream } from './grpc-stream.js';
import { findFragment, fragment, HeaderBlock } from './header-block.js';
import { type HeaderField } from './header-field.js';
import { HpackDecoder } from './hpack-decoder.js';
import {
  type ConnectionLimits,
  type ConnectionProbe,
  CONTROL_BYTES_MAX,
  DRAIN_PING_MS,
  FRAME_BYTES_MAX,
  HEADER_BLOCK_BYTES_MAX,
  HEADER_LIST_BYTES_MAX,
  HEADER_TABLE_BYTES,
  IDLE_FRAMES_MAX,
  IDLE_FRAMES_PER_SECOND,
  LINGER_MS,
  RECENT_RESETS_MAX,
  RESETS_MAX,
  RESETS_PER_SECOND,
} from './limits.js';
import { ByteBudget, type MessageMemory } from './message-memory.js';
import { Outbox, type OutboxOwner } from './outbox.js';
import { Patience } from './patience.js';
import {
  goAwayFrame,
  pingFrame,
  resetFrame,
  SETTINGS_ACK,
  windowUpdateFrame,
} from './control-frames.js';
import { PeerSettings, settingsFrame } from './settings.js';
import {
  ConnectionError,
  DEFAULT_WINDOW_BYTES,
  errorCode,
  type ErrorCodeName,
  frameFlag,
  frameType,
  isConnectionError,
  setting,
  STREAM_ID_MAX,
  WINDOW_BYTES_MAX,
} from './protocol.js';

/** What the connections of one server or channel share. */
export interface ConnectionHost {
  readonly turn: FlushTurn;
  readonly probe: ConnectionProbe;
  /** Memory for messages that have not come in whole, over all connections. */
  readonly partialMemory: ByteBudget;
  /** The connection ends because the peer broke a rule. */
  violated(connection: Connection, error: ConnectionError): void;
  /** The connection ends because this code is broken. */
  crashed(connection: Connection, error: unknown): void;
  /** The connection is closed; its streams are over. */
  left(connection: Connection): void;
}

const KEEPALIVE_PING = Buffer.from('raftmq-k', 'latin1');
const DRAIN_PING = Buffer.from('raftmq-d', 'latin1');
const PING_BYTES = 8;

/**
 * One HTTP/2 connection (RFC 9113) on a plain or TLS socket: framing, settings, flow control, keepalive, the end. What a
 * header block means is up to the end that the connection is on.
 */
export abstract class Connection implements FrameSink, MessageMemory, OutboxOwner {
  readonly probe: ConnectionProbe;
  /** `host:port` of the other side. */
  readonly peer: string;
  readonly streamWindowBytes: number;
  readonly messageBytesMax: number;
  readonly wholeBytesMax: number;
  /** Bytes of DATA that the peer takes now. */
  sendWindow: number = DEFAULT_WINDOW_BYTES;
  /** Bytes of messages that wait in streams. */
  pendingBytes = 0;
  protected readonly host: ConnectionHost;
  protected readonly limits: ConnectionLimits;
  protected readonly streams = new Map<number, GrpcStream>();
  protected readonly peerSettings = new PeerSettings();
  /** The last stream of the peer that we serve. */
  protected lastStreamId = 0;
  /** We said which stream is the last one. */
  protected leaving = false;
  protected readonly outbox: Outbox;
  protected readonly resets = new Patience('calls taken back', RESETS_MAX, RESETS_PER_SECOND);
  readonly #idleFrames = new Patience(
    'frames that bring nothing',
    IDLE_FRAMES_MAX,
    IDLE_FRAMES_PER_SECOND,
  );
  readonly #socket: Socket;
  readonly #decoder: FrameDecoder;
  readonly #hpack = new HpackDecoder(HEADER_TABLE_BYTES);
  readonly #partialMemory: ByteBudget;
  readonly #windowBytes: number;
  #receiveWindow: number;
  #unreturnedBytes = 0;
  #settingsReceived = false;
  #settingsAcknowledged = false;
  #block: HeaderBlock | null = null;
  #dataStream: GrpcStream | null = null;
  #dataEnds = false;
  /** Bytes of the DATA frame under way that no stream took: padding, or all of it. */
  #dataRestBytes = 0;
  /** Streams that ended with a reset of ours lately. */
  readonly #recentResets = new Set<number>();
  #heard = false;
  #heardMs: number;
  #busyMs: number;
  #pingedMs: number | null = null;
  #drainingMs: number | null = null;
  #drained = false;
  /** Nothing is read any more, and nothing begun. */
  #ended = false;
  #hangUpMs: number | null = null;
  readonly #openedMs: number;

  constructor(socket: Socket, host: ConnectionHost, limits: ConnectionLimits, nowMs: number) {
    this.#socket = socket;
    this.host = host;
    this.limits = limits;
    this.probe = host.probe;
    this.peer = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
    this.messageBytesMax = limits.messageBytesMax;
    this.streamWindowBytes = limits.streamWindowBytes;
    this.wholeBytesMax = limits.streamWindowBytes;
    this.outbox = new Outbox(socket, host.turn, this);
    this.#partialMemory = new ByteBudget(limits.partialBytesMax, host.partialMemory);
    this.#windowBytes = Math.max(limits.connectionWindowBytes, DEFAULT_WINDOW_BYTES);
    this.#receiveWindow = this.#windowBytes;
    this.#openedMs = nowMs;
    this.#heardMs = nowMs;
    this.#busyMs = nowMs;
    this.#decoder = new FrameDecoder(this, {
      frameBytesMax: FRAME_BYTES_MAX,
      controlBytesMax: HEADER_BLOCK_BYTES_MAX,
    });
    socket.on('end', () => this.#lost('the caller is gone'));
    socket.on('close', () => {
      this.#lost('the connection broke');
      this.host.left(this);
    });
    socket.on('error', () => undefined);
  }

  // ---- Of the end that it is on ----------------------------------------------------------------------------------

  /** A whole header block; null = larger than we take. */
  protected abstract headersReceived(
    streamId: number,
    ends: boolean,
    fields: HeaderField[] | null,
  ): void;
  /** Whether the stream was never opened. */
  protected abstract isIdle(streamId: number): boolean;
  /** The peer will take no streams behind this one. */
  protected abstract goAwayReceived(lastStreamId: number, code: number): void;
  /** Time has passed. */
  protected abstract ticked(nowMs: number): void;

  /** Says what has to be said first. */
  protected open(own: readonly (readonly [id: number, value: number])[]): void {
    const { limits } = this;
    this.outbox.control(
      settingsFrame([
        ...own,
        [setting.INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
        [setting.MAX_FRAME_SIZE, FRAME_BYTES_MAX],
        [setting.MAX_HEADER_LIST_SIZE, HEADER_LIST_BYTES_MAX],
      ]),
    );
    const growth = this.#windowBytes - DEFAULT_WINDOW_BYTES;
    if (growth > 0) this.windowUpdate(0, growth);
  }

  /** Bytes came; they are valid during this call only. */
  received(chunk: Buffer): void {
    this.#heard = true;
    if (this.#ended) return;
    try {
      this.#decoder.push(chunk);
      if (this.outbox.controlBytes > CONTROL_BYTES_MAX) {
        throw new ConnectionError('ENHANCE_YOUR_CALM', 'answers to control frames are not read');
      }
    } catch (error) {
      if (isConnectionError(error)) this.abort(error);
      else this.crashed(error);
    }
  }

  // ---- Frames ----------------------------------------------------------------------------------------------------

  dataStarted(streamId: number, flags: number, sizeBytes: number): void {
    if (this.#block !== null || !this.#settingsReceived) throw unexpected('DATA');
    if (streamId === 0) throw unexpected('DATA on stream 0');
    if (sizeBytes > this.#receiveWindow) {
      throw new ConnectionError('FLOW_CONTROL_ERROR', 'DATA beyond the window of the connection');
    }
    this.#receiveWindow -= sizeBytes;
    this.#dataEnds = (flags & frameFlag.END_STREAM) !== 0;
    this.#dataRestBytes = sizeBytes;
    if (sizeBytes === 0 && !this.#dataEnds) this.#idleFrames.spend();
    let stream = this.streams.get(streamId) ?? null;
    if (stream === null) {
      if (this.isIdle(streamId)) throw unexpected('DATA on an idle stream');
      if (!this.#recentResets.has(streamId)) this.streamError(streamId, 'STREAM_CLOSED');
    } else if (stream.remoteEnded) {
      this.streamError(streamId, 'STREAM_CLOSED');
      stream = null;
    } else if (sizeBytes > stream.receiveWindow) {
      this.streamError(streamId, 'FLOW_CONTROL_ERROR');
      stream = null;
    } else {
      stream.receiveWindow -= sizeBytes;
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
    if (this.#dataRestBytes > 0) this.consumed(this.#dataRestBytes);
    const stream = this.#dataStream;
    this.#dataStream = null;
    if (stream !== null && this.#dataEnds) this.#remoteEnd(stream);
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
        if (size !== 5) this.streamError(streamId, 'FRAME_SIZE_ERROR');
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
        this.goAwayReceived(bytes.readUInt32BE(from) & STREAM_ID_MAX, bytes.readUInt32BE(from + 4));
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
    this.headersReceived(streamId, (flags & frameFlag.END_STREAM) !== 0, fields);
  }

  /** HEADERS for a stream that is not there any more. */
  protected lateHeaders(streamId: number): void {
    if (this.#recentResets.has(streamId)) return;
    throw new ConnectionError('STREAM_CLOSED', `HEADERS on stream ${streamId}, which is closed`);
  }

  /** END_STREAM came, with DATA or with trailers. */
  protected trailersReceived(stream: GrpcStream, ends: boolean): void {
    if (stream.remoteEnded) this.streamError(stream.id, 'STREAM_CLOSED');
    else if (!ends) this.streamError(stream.id, 'PROTOCOL_ERROR');
    else this.#remoteEnd(stream);
  }

  #remoteEnd(stream: GrpcStream): void {
    if (stream.contentFits) stream.remoteEnd();
    else this.streamError(stream.id, 'PROTOCOL_ERROR');
  }

  #reset(streamId: number, code: number): void {
    if (this.isIdle(streamId)) throw unexpected('RST_STREAM on an idle stream');
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    this.probe.resetsReceived++;
    this.resets.spend();
    this.remove(stream);
    stream.reset(code);
  }

  #settings(flags: number, bytes: Buffer, from: number, end: number): void {
    if ((flags & frameFlag.ACK) !== 0) {
      expectSize(end - from, 0);
      if (!this.#settingsReceived) throw unexpected('an acknowledgement first');
      this.#settingsAcknowledged = true;
      return;
    }
    if (this.#settingsReceived) this.#idleFrames.spend();
    this.#settingsReceived = true;
    const before = this.peerSettings.streamWindowBytes;
    this.peerSettings.read(bytes, from, end);
    const growth = this.peerSettings.streamWindowBytes - before;
    if (growth !== 0) {
      for (const stream of this.streams.values()) this.#widen(stream, growth);
    }
    this.outbox.control(SETTINGS_ACK);
  }

  #widen(stream: GrpcStream, growth: number): void {
    stream.sendWindow += growth;
    if (stream.sendWindow > WINDOW_BYTES_MAX) {
      throw new ConnectionError('FLOW_CONTROL_ERROR', 'a window of more than 2 GiB');
    }
    if (growth > 0) this.outbox.ready(stream);
  }

  #ping(flags: number, opaque: Buffer): void {
    if ((flags & frameFlag.ACK) === 0) {
      this.#idleFrames.spend();
      this.outbox.control(pingFrame(opaque, true));
    } else if (this.#drainingMs !== null && opaque.equals(DRAIN_PING)) {
      this.#leave();
    }
  }

  #windowUpdated(streamId: number, increment: number): void {
    if (streamId === 0) {
      if (increment === 0) throw unexpected('a WINDOW_UPDATE of nothing');
      this.sendWindow += increment;
      if (this.sendWindow > WINDOW_BYTES_MAX) {
        throw new ConnectionError('FLOW_CONTROL_ERROR', 'a window of more than 2 GiB');
      }
      this.outbox.windowOpened();
      return;
    }
    if (this.isIdle(streamId)) throw unexpected('WINDOW_UPDATE on an idle stream');
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    if (increment === 0) this.streamError(streamId, 'PROTOCOL_ERROR');
    else if (stream.sendWindow + increment > WINDOW_BYTES_MAX)
      this.streamError(streamId, 'FLOW_CONTROL_ERROR');
    else {
      stream.sendWindow += increment;
      this.outbox.ready(stream);
    }
  }

  // ---- For streams -----------------------------------------------------------------------------------------------

  /** What a new stream may send, and receive. Before our SETTINGS are known there, the peer goes by the default. */
  get peerStreamWindowBytes(): number {
    return this.peerSettings.streamWindowBytes;
  }

  get streamReceiveWindowBytes(): number {
    const { streamWindowBytes } = this;
    return this.#settingsAcknowledged
      ? streamWindowBytes
      : Math.max(streamWindowBytes, DEFAULT_WINDOW_BYTES);
  }

  get peerFrameBytesMax(): number {
    return this.peerSettings.frameBytesMax;
  }

  ready(stream: GrpcStream): void {
    this.outbox.ready(stream);
  }

  starve(stream: GrpcStream): void {
    this.outbox.starve(stream);
  }

  reserve(sizeBytes: number): boolean {
    return this.#partialMemory.take(sizeBytes);
  }

  release(sizeBytes: number): void {
    this.#partialMemory.give(sizeBytes);
  }

  /** Bytes of DATA need no room any more: the peer may send as many. */
  consumed(sizeBytes: number): void {
    this.#unreturnedBytes += sizeBytes;
    if (2 * this.#unreturnedBytes < this.#windowBytes) return;
    this.#receiveWindow += this.#unreturnedBytes;
    this.windowUpdate(0, this.#unreturnedBytes);
    this.#unreturnedBytes = 0;
  }

  windowUpdate(streamId: number, incrementBytes: number): void {
    this.outbox.control(windowUpdateFrame(streamId, incrementBytes));
  }

  /** The peer broke a rule in one stream alone. */
  streamError(streamId: number, code: ErrorCodeName): void {
    this.probe.malformedCalls++;
    this.resets.spend();
    this.resetStream(streamId, code);
  }

  /** Ends a stream without another word; what still comes for it is passed over. */
  resetStream(streamId: number, code: ErrorCodeName): void {
    this.passOver(streamId);
    this.outbox.control(resetFrame(streamId, errorCode[code]));
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    this.remove(stream);
    stream.reset(errorCode[code]);
  }

  /** What still comes for this stream was under way when it ended. */
  passOver(streamId: number): void {
    this.#recentResets.add(streamId);
    if (this.#recentResets.size <= RECENT_RESETS_MAX) return;
    const [oldest] = this.#recentResets;
    this.#recentResets.delete(oldest!);
  }

  /** The stream is over. */
  remove(stream: GrpcStream): void {
    if (stream.over) return;
    this.streams.delete(stream.id);
    this.outbox.forget(stream);
    stream.forget();
    this.#busyMs = -1;
    if (this.leaving && this.streams.size === 0) this.#hangUp();
  }

  /** Answers left. */
  answered(): void {
    this.#idleFrames.restore();
  }

  // ---- The end ---------------------------------------------------------------------------------------------------

  /** Tells the peer to go, serves what is under way, and closes. */
  drain(): void {
    if (this.#drainingMs !== null || this.#ended) return;
    this.#drainingMs = this.#heardMs;
    // First a warning, so that calls which are under way towards us are served too; then the word that holds.
    this.outbox.control(goAwayFrame(STREAM_ID_MAX, errorCode.NO_ERROR, ''));
    this.outbox.control(pingFrame(DRAIN_PING, false));
  }

  #leave(): void {
    if (this.#drained || this.#ended) return;
    this.#drained = true;
    this.leaving = true;
    this.outbox.control(goAwayFrame(this.lastStreamId, errorCode.NO_ERROR, ''));
    if (this.streams.size === 0) this.#hangUp();
  }

  /** Ends the connection because of what the peer did: all calls fail. */
  protected abort(error: ConnectionError): void {
    if (this.#ended) return;
    if (error.code === 'ENHANCE_YOUR_CALM') this.probe.floods++;
    else this.probe.protocolErrors++;
    this.outbox.control(goAwayFrame(this.lastStreamId, errorCode[error.code], error.message));
    this.#hangUp();
    this.#lost(error.message);
    this.host.violated(this, error);
  }

  crashed(error: unknown): void {
    if (this.#ended) return;
    this.outbox.control(goAwayFrame(this.lastStreamId, errorCode.INTERNAL_ERROR, ''));
    this.#hangUp();
    this.#lost('the connection was given up');
    this.host.crashed(this, error);
  }

  /** Closes the connection at once. */
  destroy(): void {
    this.#ended = true;
    this.#socket.destroy();
  }

  #hangUp(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#hangUpMs = -1;
    this.outbox.end();
  }

  #lost(reason: string): void {
    this.#ended = true;
    this.#hangUpMs ??= -1;
    if (this.streams.size === 0) return;
    for (const stream of [...this.streams.values()]) {
      this.remove(stream);
      stream.lost(reason);
    }
  }

  /**
   * Time has passed.
   * @param nowMs monotonic
   * @param elapsedMs since the last tick
   */
  tick(nowMs: number, elapsedMs: number): void {
    const { limits } = this;
    if (this.#ended) {
      if (this.#hangUpMs === null || this.#hangUpMs < 0) this.#hangUpMs = nowMs;
      // The last answers may still be on their way to a slow reader.
      const patienceMs = this.#socket.writableLength > 0 ? limits.keepaliveTimeoutMs : LINGER_MS;
      if (nowMs - this.#hangUpMs > patienceMs) this.destroy();
      return;
    }
    this.resets.recover(elapsedMs);
    this.#idleFrames.recover(elapsedMs);
    if (!this.#settingsReceived && nowMs - this.#openedMs > limits.openingMs) {
      this.destroy();
      return;
    }
    if (this.#drainingMs !== null && nowMs - this.#drainingMs > DRAIN_PING_MS) this.#leave();
    this.#keepAlive(nowMs);
    if (this.streams.size > 0 || this.#busyMs < 0) this.#busyMs = nowMs;
    else if (nowMs - this.#busyMs > limits.idleMs && this.#drainingMs === null) {
      this.probe.idleClosed++;
      this.drain();
    }
    this.ticked(nowMs);
  }

  #keepAlive(nowMs: number): void {
    if (this.#heard) {
      this.#heard = false;
      this.#heardMs = nowMs;
      this.#pingedMs = null;
    } else if (this.#pingedMs !== null) {
      if (nowMs - this.#pingedMs <= this.limits.keepaliveTimeoutMs) return;
      this.probe.keepaliveTimeouts++;
      this.destroy();
    } else if (nowMs - this.#heardMs > this.limits.keepaliveMs) {
      this.#pingedMs = nowMs;
      this.outbox.control(pingFrame(KEEPALIVE_PING, false));
    }
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
