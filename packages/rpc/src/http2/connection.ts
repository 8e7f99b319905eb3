import { type Socket } from 'node:net';
import { errorText } from '@raftmq/base';
import { type Ticking } from './connection-clock.js';
import { FrameDecoder } from './frame-decoder.js';
import { type FlushTurn } from './flush-turn.js';
import { type GrpcStream } from './grpc-stream.js';
import { Heartbeat } from './heartbeat.js';
import { type HeaderField } from './header-field.js';
import { type FrameOwner, IncomingFrames } from './incoming-frames.js';
import {
  type ConnectionLimits,
  type ConnectionProbe,
  CONTROL_BYTES_MAX,
  FRAME_BYTES_MAX,
  HEADER_BLOCK_BYTES_MAX,
  HEADER_LIST_BYTES_MAX,
  LINGER_MS,
  RESETS_MAX,
  RESETS_PER_SECOND,
} from './limits.js';
import { ByteBudget, type MessageMemory } from './message-memory.js';
import { type MessageSender } from './message-sender.js';
import { Outbox, type OutboxOwner } from './outbox.js';
import { Patience } from './patience.js';
import { ReceiveWindow } from './receive-window.js';
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
  isConnectionError,
  setting,
  WINDOW_BYTES_MAX,
} from './protocol.js';

/** What the connections of one server or channel share. */
export interface ConnectionHost {
  readonly turn: FlushTurn;
  readonly probe: ConnectionProbe;
  /** Memory for messages that have not come in whole, over all connections. */
  readonly partialMemory: ByteBudget;
  /** A call with this deadline, monotonic, has begun. */
  due(atMs: number): void;
  /** The connection ends because the peer broke a rule. */
  violated(connection: Connection, error: ConnectionError): void;
  /** The connection ends because this code is broken. */
  crashed(connection: Connection, error: unknown): void;
  /** The connection is closed; its streams are over. */
  left(connection: Connection): void;
}

const KEEPALIVE_PING = Buffer.from('raftmq-k', 'latin1');

/**
 * One HTTP/2 connection (RFC 9113) on a plain or TLS socket: framing, settings, flow control, keepalive, the end. What a
 * header block means is up to the end that the connection is on.
 */
export abstract class Connection implements FrameOwner, MessageMemory, OutboxOwner, Ticking {
  readonly probe: ConnectionProbe;
  /** `host:port` of the other side. */
  readonly peer: string;
  /** No open call has an earlier deadline; monotonic. */
  nextDeadlineMs = Infinity;
  readonly streamWindowBytes: number;
  readonly messageBytesMax: number;
  readonly wholeBytesMax: number;
  /** Bytes of DATA that the peer may send. */
  readonly receiveWindow: ReceiveWindow;
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
  /** One side said which stream is the last one. */
  protected leaving = false;
  /** Nothing is read any more, and nothing begun. */
  protected ended = false;
  /** What the socket said about its end. */
  protected socketError: Error | null = null;
  protected readonly outbox: Outbox;
  protected readonly resets = new Patience('calls taken back', RESETS_MAX, RESETS_PER_SECOND);
  readonly #socket: Socket;
  readonly #decoder: FrameDecoder;
  readonly #frames: IncomingFrames;
  readonly #partialMemory: ByteBudget;
  readonly #windowBytes: number;
  readonly #heartbeat: Heartbeat;
  #hangUpMs: number | null = null;
  readonly #openedMs: number;

  constructor(
    socket: Socket,
    peer: string,
    host: ConnectionHost,
    limits: ConnectionLimits,
    nowMs: number,
  ) {
    this.#socket = socket;
    this.host = host;
    this.limits = limits;
    this.probe = host.probe;
    this.peer = peer;
    this.messageBytesMax = limits.messageBytesMax;
    this.streamWindowBytes = limits.streamWindowBytes;
    this.wholeBytesMax = limits.streamWindowBytes;
    this.outbox = new Outbox(socket, host.turn, this);
    this.#partialMemory = new ByteBudget(limits.partialBytesMax, host.partialMemory);
    this.#windowBytes = Math.max(limits.connectionWindowBytes, DEFAULT_WINDOW_BYTES);
    this.receiveWindow = new ReceiveWindow(this.#windowBytes);
    this.#heartbeat = new Heartbeat(limits.keepaliveMs, limits.keepaliveTimeoutMs, nowMs);
    this.#openedMs = nowMs;
    this.#frames = new IncomingFrames(this);
    this.#decoder = new FrameDecoder(this.#frames, {
      frameBytesMax: FRAME_BYTES_MAX,
      controlBytesMax: HEADER_BLOCK_BYTES_MAX,
    });
    socket.on('end', () => this.lost(this.lossReason(true)));
    socket.on('close', () => {
      this.lost(this.lossReason(false));
      this.host.left(this);
    });
    socket.on('error', (error) => (this.socketError ??= error));
  }

  // ---- Of the end that it is on ----------------------------------------------------------------------------------

  /** A whole header block; null = larger than we take. */
  abstract headersReceived(streamId: number, ends: boolean, fields: HeaderField[] | null): void;
  abstract isIdle(streamId: number): boolean;
  /** Whether what comes for this stream, which is over, may have been under way when we reset it. */
  abstract wasReset(streamId: number): boolean;
  /** What still comes for this stream was under way when it ended. */
  protected abstract passOver(streamId: number): void;
  abstract goAwayReceived(lastStreamId: number, code: number): void;
  /** SETTINGS of the peer were read. */
  protected abstract settingsRead(): void;
  /** What its calls are told when the connection is gone. @param orderly the peer ended it */
  protected abstract lossReason(orderly: boolean): string;
  /** The same when the peer broke a rule. */
  protected abstract violationReason(error: ConnectionError): string;
  /** Whether all that the stream has to say has come: it lives on without its peer until that is delivered. */
  protected abstract isComplete(stream: GrpcStream): boolean;
  /** Whether the peer may be asked for a sign of life now. */
  protected abstract readonly mayAsk: boolean;

  /** Says what has to be said first. */
  protected open(preface: Buffer, own: readonly (readonly [id: number, value: number])[]): void {
    const { limits } = this;
    if (preface.length > 0) this.outbox.control(preface);
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
    this.#heartbeat.heard();
    if (this.ended) return;
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

  // ---- For incoming frames ---------------------------------------------------------------------------------------

  stream(streamId: number): GrpcStream | null {
    return this.streams.get(streamId) ?? null;
  }

  /** END_STREAM came, with DATA or with trailers. */
  remoteEnd(stream: GrpcStream): void {
    if (stream.contentFits) stream.remoteEnd();
    else this.streamError(stream.id, 'PROTOCOL_ERROR');
  }

  /** Trailers came. */
  protected trailersReceived(stream: GrpcStream, ends: boolean): void {
    if (stream.remoteEnded) this.streamError(stream.id, 'STREAM_CLOSED');
    else if (!ends) this.streamError(stream.id, 'PROTOCOL_ERROR');
    else this.remoteEnd(stream);
  }

  resetReceived(stream: GrpcStream, code: number): void {
    this.probe.resetsReceived++;
    if (this.isComplete(stream)) {
      stream.stopSending();
      return;
    }
    this.remove(stream);
    stream.reset(code);
  }

  settingsReceived(bytes: Buffer, from: number, end: number): void {
    const before = this.peerSettings.streamWindowBytes;
    this.peerSettings.read(bytes, from, end);
    const growth = this.peerSettings.streamWindowBytes - before;
    if (growth !== 0) {
      for (const stream of this.streams.values()) this.#widen(stream, growth);
    }
    this.outbox.control(SETTINGS_ACK);
    this.settingsRead();
  }

  #widen(stream: GrpcStream, growth: number): void {
    stream.sendWindow += growth;
    if (stream.sendWindow > WINDOW_BYTES_MAX) throw windowTooLarge();
    if (growth > 0) this.ready(stream);
  }

  pingReceived(answers: boolean, opaque: Buffer): void {
    if (!answers) this.outbox.control(pingFrame(opaque, true));
  }

  windowGrown(growth: number): void {
    this.sendWindow += growth;
    if (this.sendWindow > WINDOW_BYTES_MAX) throw windowTooLarge();
    this.outbox.windowOpened();
  }

  streamWindowGrown(stream: GrpcStream, growth: number): void {
    if (growth === 0) {
      this.streamError(stream.id, 'PROTOCOL_ERROR');
    } else if (stream.sendWindow + growth > WINDOW_BYTES_MAX) {
      this.streamError(stream.id, 'FLOW_CONTROL_ERROR');
    } else {
      stream.sendWindow += growth;
      this.outbox.ready(stream);
    }
  }

  // ---- For streams -----------------------------------------------------------------------------------------------

  /** What a new stream may send. */
  get peerStreamWindowBytes(): number {
    return this.peerSettings.streamWindowBytes;
  }

  /** What a new stream may receive. Before our SETTINGS are known there, the peer goes by the default. */
  newReceiveWindow(): ReceiveWindow {
    const { streamWindowBytes } = this;
    const firstBytes = this.#frames.settingsAcknowledged
      ? streamWindowBytes
      : Math.max(streamWindowBytes, DEFAULT_WINDOW_BYTES);
    return new ReceiveWindow(streamWindowBytes, firstBytes);
  }

  /** A stream begins. */
  protected add(stream: GrpcStream): void {
    this.streams.set(stream.id, stream);
    const { deadlineAtMs } = stream;
    if (deadlineAtMs >= this.nextDeadlineMs) return;
    this.nextDeadlineMs = deadlineAtMs;
    this.host.due(deadlineAtMs);
  }

  get peerFrameBytesMax(): number {
    return this.peerSettings.frameBytesMax;
  }

  ready(stream: MessageSender): void {
    this.outbox.ready(stream);
  }

  starve(stream: MessageSender): void {
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
    const returnedBytes = this.receiveWindow.consumed(sizeBytes);
    if (returnedBytes > 0) this.windowUpdate(0, returnedBytes);
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
    stream.violated(code);
  }

  /** The stream is over. */
  remove(stream: GrpcStream): void {
    if (stream.over) return;
    this.streams.delete(stream.id);
    this.outbox.forget(stream);
    stream.forget();
    if (this.leaving && this.streams.size === 0) this.hangUp();
  }

  /** Answers left. */
  answered(): void {
    this.#frames.idleFrames.restore();
  }

  // ---- The end ---------------------------------------------------------------------------------------------------

  /** Says that no more streams are served; ends with the last one. */
  protected sayGoodbye(): void {
    if (this.ended) return;
    this.leaving = true;
    this.outbox.control(goAwayFrame(this.lastStreamId, errorCode.NO_ERROR, ''));
    if (this.streams.size === 0) this.hangUp();
  }

  /** Ends the connection because of what the peer did: all calls fail. */
  protected abort(error: ConnectionError): void {
    if (this.ended) return;
    if (error.code === 'ENHANCE_YOUR_CALM') this.probe.floods++;
    else this.probe.protocolErrors++;
    this.outbox.control(goAwayFrame(this.lastStreamId, errorCode[error.code], error.message));
    this.hangUp();
    this.lost(this.violationReason(error));
    this.host.violated(this, error);
  }

  crashed(error: unknown): void {
    if (this.ended) return;
    this.outbox.control(goAwayFrame(this.lastStreamId, errorCode.INTERNAL_ERROR, ''));
    this.hangUp();
    this.lost(`the connection was given up: ${errorText(error)}`);
    this.host.crashed(this, error);
  }

  /** Whether an open socket keeps the process alive. */
  protected keepsProcess(yes: boolean): void {
    if (yes) this.#socket.ref();
    else this.#socket.unref();
  }

  /** Closes the connection at once. */
  destroy(): void {
    this.ended = true;
    this.#socket.destroy();
  }

  /** Ends the connection when all is written. */
  protected hangUp(): void {
    if (this.ended) return;
    this.ended = true;
    this.#hangUpMs = -1;
    this.outbox.end();
  }

  /** All calls fail. */
  protected lost(reason: string): void {
    this.ended = true;
    this.#hangUpMs ??= -1;
    if (this.streams.size === 0) return;
    for (const stream of [...this.streams.values()]) {
      if (this.isComplete(stream)) continue;
      this.remove(stream);
      stream.lost(reason);
    }
  }

  tick(nowMs: number, elapsedMs: number): void {
    const { limits } = this;
    this.#expire(nowMs);
    if (this.ended) {
      if (this.#hangUpMs === null || this.#hangUpMs < 0) this.#hangUpMs = nowMs;
      // The last answers may still be on their way to a slow reader.
      const patienceMs = this.#socket.writableLength > 0 ? limits.keepaliveTimeoutMs : LINGER_MS;
      if (nowMs - this.#hangUpMs > patienceMs) this.destroy();
      return;
    }
    this.resets.recover(elapsedMs);
    this.#frames.idleFrames.recover(elapsedMs);
    if (!this.#frames.settingsReceived && nowMs - this.#openedMs > limits.openingMs) {
      this.destroy();
      return;
    }
    switch (this.#heartbeat.look(nowMs, this.mayAsk)) {
      case 'dead':
        this.probe.keepaliveTimeouts++;
        this.destroy();
        return;
      case 'ask':
        this.outbox.control(pingFrame(KEEPALIVE_PING, false));
        break;
      case 'well':
        break;
    }
  }

  #expire(nowMs: number): void {
    if (nowMs < this.nextDeadlineMs) return;
    // Calls that begin while others end are counted too.
    this.nextDeadlineMs = Infinity;
    for (const stream of [...this.streams.values()]) {
      if (stream.over) continue;
      if (stream.deadlineAtMs <= nowMs) {
        this.probe.deadlinesPassed++;
        stream.expire();
      } else {
        this.nextDeadlineMs = Math.min(this.nextDeadlineMs, stream.deadlineAtMs);
      }
    }
  }
}

function windowTooLarge(): ConnectionError {
  return new ConnectionError('FLOW_CONTROL_ERROR', 'a window of more than 2 GiB');
}
