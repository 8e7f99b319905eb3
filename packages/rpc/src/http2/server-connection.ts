import { type Socket } from 'node:net';
import { type RawMethod } from '../call.js';
import { rpcStatus } from '../status.js';
import { failedAnswer, NOT_GRPC, NOT_POST, unknownEncodingAnswer } from './answer-blocks.js';
import { Connection, type ConnectionHost } from './connection.js';
import { goAwayFrame, headersFrame, pingFrame, resetFrame } from './control-frames.js';
import { type GrpcStream } from './grpc-stream.js';
import { type HeaderField } from './header-field.js';
import { type ConnectionLimits, DRAIN_PING_MS, RECENT_RESETS_MAX } from './limits.js';
import { readRequestHead, requestHead } from './request-head.js';
import { ConnectionError, errorCode, PREFACE, setting, STREAM_ID_MAX } from './protocol.js';
import { ServerCall } from './server-call.js';

const NO_PREFACE = Buffer.alloc(0);
const DRAIN_PING = Buffer.from('raftmq-d', 'latin1');

export type ServerMethod = RawMethod;

/** The status that a failure becomes. */
export interface StatusAnswer {
  readonly code: number;
  readonly details: string;
}

/** Who runs the methods. */
export interface ServerHandlers {
  readonly methods: ReadonlyMap<string, ServerMethod>;
  runUnary(
    method: Extract<ServerMethod, { kind: 'unary' }>,
    request: Buffer,
    call: ServerCall,
  ): void;
  runServerStream(
    method: Extract<ServerMethod, { kind: 'server-stream' }>,
    request: Buffer,
    call: ServerCall,
  ): void;
  runBidi(method: Extract<ServerMethod, { kind: 'bidi' }>, call: ServerCall): void;
  /** Counts the failure too, and logs it when nobody planned for it. */
  statusOf(path: string, error: unknown): StatusAnswer;
}

/** A connection as its server has it: header blocks begin calls. */
export class ServerConnection extends Connection {
  readonly handlers: ServerHandlers;
  #prefaceBytes = 0;
  /** The last stream that the client began, served or not. */
  #seenStreamId = 0;
  /** Streams that ended with a reset of ours lately. */
  readonly #recentResets = new Set<number>();
  /** When there was a call last; -1 = since the last tick. */
  #busyMs: number;
  #drainingMs: number | null = null;
  #drained = false;

  constructor(
    socket: Socket,
    host: ConnectionHost & { readonly handlers: ServerHandlers },
    limits: ConnectionLimits,
    nowMs: number,
  ) {
    const peer = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`;
    super(socket, peer, host, limits, nowMs);
    this.handlers = host.handlers;
    this.#busyMs = nowMs;
    this.open(NO_PREFACE, [[setting.MAX_CONCURRENT_STREAMS, limits.streamsMax]]);
  }

  override received(chunk: Buffer): void {
    if (this.#prefaceBytes === PREFACE.length) {
      super.received(chunk);
      return;
    }
    const size = Math.min(PREFACE.length - this.#prefaceBytes, chunk.length);
    const expected = PREFACE.subarray(this.#prefaceBytes, this.#prefaceBytes + size);
    if (!chunk.subarray(0, size).equals(expected)) {
      this.abort(new ConnectionError('PROTOCOL_ERROR', 'this is not the preface of HTTP/2'));
      return;
    }
    this.#prefaceBytes += size;
    if (size < chunk.length) super.received(chunk.subarray(size));
  }

  isIdle(streamId: number): boolean {
    return streamId > this.#seenStreamId || streamId % 2 === 0;
  }

  goAwayReceived(): void {
    // The client opens no more calls; those that are open go on.
  }

  protected settingsRead(): void {
    // Answers use no table, and streams are the client's to begin.
  }

  protected lossReason(orderly: boolean): string {
    return orderly ? 'the caller is gone' : 'the connection broke';
  }

  protected violationReason(error: ConnectionError): string {
    return error.message;
  }

  protected isComplete(): boolean {
    return false;
  }

  protected get mayAsk(): boolean {
    return true;
  }

  wasReset(streamId: number): boolean {
    return this.#recentResets.has(streamId);
  }

  passOver(streamId: number): void {
    this.#recentResets.add(streamId);
    if (this.#recentResets.size <= RECENT_RESETS_MAX) return;
    const [oldest] = this.#recentResets;
    this.#recentResets.delete(oldest!);
  }

  override remove(stream: GrpcStream): void {
    super.remove(stream);
    this.#busyMs = -1;
  }

  override resetReceived(stream: GrpcStream, code: number): void {
    this.resets.spend();
    super.resetReceived(stream, code);
  }

  headersReceived(streamId: number, ends: boolean, fields: HeaderField[] | null): void {
    const open = this.streams.get(streamId);
    if (open !== undefined) {
      this.trailersReceived(open, ends);
      return;
    }
    if (streamId % 2 === 0) throw new ConnectionError('PROTOCOL_ERROR', 'a stream of even number');
    if (streamId <= this.#seenStreamId) {
      if (this.wasReset(streamId)) return;
      throw new ConnectionError('STREAM_CLOSED', `HEADERS on stream ${streamId}, which is closed`);
    }
    this.#seenStreamId = streamId;
    if (this.leaving) {
      // It has our word that this stream is not served, and may try again elsewhere.
      this.passOver(streamId);
      this.outbox.control(resetFrame(streamId, errorCode.REFUSED_STREAM));
      return;
    }
    this.lastStreamId = streamId;
    if (this.streams.size >= this.limits.streamsMax) {
      this.probe.refusedCalls++;
      this.resets.spend();
      this.resetStream(streamId, 'REFUSED_STREAM');
      return;
    }
    this.#begin(streamId, ends, fields);
  }

  #begin(streamId: number, ends: boolean, fields: HeaderField[] | null): void {
    if (fields === null) {
      const details = 'the header fields of the call are too large';
      this.#answer(streamId, ends, failedAnswer(rpcStatus.RESOURCE_EXHAUSTED, details));
      return;
    }
    const verdict = readRequestHead(fields);
    const { path, timeoutMs, encoding, contentLength } = requestHead;
    const method = this.handlers.methods.get(path);
    if (verdict !== 'grpc') {
      this.#refuse(streamId, ends, verdict);
    } else if (method === undefined) {
      const details = `this server has no method ${path}`;
      this.#answer(streamId, ends, failedAnswer(rpcStatus.UNIMPLEMENTED, details));
    } else if (this.pendingBytes > this.limits.pendingBytesMax) {
      this.probe.refusedSlowReader++;
      const details = 'too many answers wait on this connection; read them first';
      this.#answer(streamId, ends, failedAnswer(rpcStatus.RESOURCE_EXHAUSTED, details));
    } else {
      const call = new ServerCall(this, streamId, method, fields, timeoutMs, encoding);
      this.add(call);
      if (contentLength >= 0) call.expectContent(contentLength);
      call.begin();
      if (ends) this.trailersReceived(call, true);
    }
  }

  #refuse(streamId: number, ends: boolean, verdict: string): void {
    switch (verdict) {
      case 'method':
        this.#answer(streamId, ends, NOT_POST);
        break;
      case 'content-type':
        this.#answer(streamId, ends, NOT_GRPC);
        break;
      case 'timeout': {
        const details = 'grpc-timeout is no number with a unit';
        this.#answer(streamId, ends, failedAnswer(rpcStatus.INTERNAL, details));
        break;
      }
      case 'encoding': {
        const details = 'the grpc-encoding of the request is not known here';
        this.#answer(streamId, ends, unknownEncodingAnswer(rpcStatus.UNIMPLEMENTED, details));
        break;
      }
      default:
        this.streamError(streamId, 'PROTOCOL_ERROR');
        break;
    }
  }

  /** Answers with header fields alone. */
  #answer(streamId: number, ends: boolean, block: Buffer): void {
    this.outbox.control(headersFrame(streamId, true, block));
    if (ends) return;
    this.passOver(streamId);
    this.outbox.control(resetFrame(streamId, errorCode.NO_ERROR));
  }

  // ---- The end ---------------------------------------------------------------------------------------------------

  /** Tells the client to go, serves what is under way, and closes. */
  drain(): void {
    if (this.#drainingMs !== null || this.ended) return;
    this.#drainingMs = performance.now();
    // First a warning, so that calls which are under way towards us are served too; then the word that holds.
    this.outbox.control(goAwayFrame(STREAM_ID_MAX, errorCode.NO_ERROR, ''));
    this.outbox.control(pingFrame(DRAIN_PING, false));
  }

  override pingReceived(answers: boolean, opaque: Buffer): void {
    super.pingReceived(answers, opaque);
    if (answers && this.#drainingMs !== null && opaque.equals(DRAIN_PING)) this.#drain();
  }

  #drain(): void {
    if (this.#drained) return;
    this.#drained = true;
    this.sayGoodbye();
  }

  override tick(nowMs: number, elapsedMs: number): void {
    super.tick(nowMs, elapsedMs);
    if (this.ended) return;
    if (this.#drainingMs !== null) {
      if (nowMs - this.#drainingMs > DRAIN_PING_MS) this.#drain();
    } else if (this.streams.size > 0 || this.#busyMs < 0) {
      this.#busyMs = nowMs;
    } else if (nowMs - this.#busyMs > this.limits.idleMs) {
      this.probe.idleClosed++;
      this.drain();
    }
  }
}
