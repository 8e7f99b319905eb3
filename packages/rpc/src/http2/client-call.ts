import { type StreamListener } from '../call.js';
import { isImpossible, RpcError, rpcStatus, rpcStatusName, type RpcStatus } from '../status.js';
import { answerHead, readAnswerHead, statusOfHttp } from './answer-head.js';
import { type ClientConnection } from './client-connection.js';
import { type FrameBatch } from './frame-batch.js';
import { GrpcStream } from './grpc-stream.js';
import { type HeaderField } from './header-field.js';
import { errorCode, errorCodeName, type ErrorCodeName, frameFlag, frameType } from './protocol.js';
import { type RequestHeaders } from './request-encoder.js';

/**
 * A call as its client has it. The listener hears messages, and last of all how the call ended: null when with OK, else
 * an RpcError, or what `fail` was given.
 */
export class ClientCall extends GrpcStream {
  declare readonly connection: ClientConnection;
  readonly #path: string;
  readonly #headers: RequestHeaders;
  /** What is left for it when it leaves. */
  #timeoutMs = Infinity;
  #headSeen = false;
  /** What the server said about the outcome; -1 = nothing yet. */
  #status = -1;
  #details = '';
  #settled = false;
  #failure: Error | null = null;
  #told = false;
  #signal: AbortSignal | null = null;
  readonly #abort = (): void => this.fail(new RpcError('CANCELLED', 'the call was given up'));

  /** @param listener null = it comes later by `listen`, and messages wait for it */
  constructor(
    connection: ClientConnection,
    id: number,
    path: string,
    headers: RequestHeaders,
    deadlineAtMs: number,
    listener: StreamListener<Buffer> | null,
  ) {
    super(connection, id, deadlineAtMs);
    this.#path = path;
    this.#headers = headers;
    if (listener === null) this.holdForListener();
    else this.listener = listener;
  }

  /** Gives the call up when the signal says so. */
  follow(signal: AbortSignal): void {
    if (this.#settled) return;
    this.#signal = signal;
    signal.addEventListener('abort', this.#abort, { once: true });
    if (signal.aborted) this.#abort();
  }

  // ---- Outgoing --------------------------------------------------------------------------------------------------

  get closed(): boolean {
    return this.#settled || this.ending;
  }

  end(): void {
    if (!this.closed) this.finish();
  }

  override writeTo(batch: FrameBatch): void {
    if (!this.started && !this.over) {
      const { deadlineAtMs } = this;
      this.#timeoutMs = deadlineAtMs === Infinity ? Infinity : deadlineAtMs - performance.now();
      // The server would hear of a call that nobody waits for.
      if (this.#timeoutMs <= 0) this.expire();
    }
    super.writeTo(batch);
  }

  protected writeStart(batch: FrameBatch): void {
    const { connection } = this;
    const block = connection.encoder.encode(this.#path, this.#timeoutMs, this.#headers);
    batch.headers(this.id, 0, block);
    connection.started(this);
  }

  protected get endsWithData(): boolean {
    return true;
  }

  protected writeEnd(batch: FrameBatch): void {
    batch.frameHeader(0, frameType.DATA, frameFlag.END_STREAM, this.id);
  }

  // ---- Incoming --------------------------------------------------------------------------------------------------

  /** Headers or trailers came. @returns whether the call goes on */
  headReceived(fields: HeaderField[] | null, ends: boolean): boolean {
    if (fields === null) {
      this.refuse('RESOURCE_EXHAUSTED', 'the header fields of the answer are too large');
      return false;
    }
    if (!readAnswerHead(fields, this.#headSeen)) {
      this.refuse('INTERNAL', 'the header fields of the answer break the rules of HTTP/2');
      return false;
    }
    const { httpStatus, isGrpc, encoding, status, details, contentLength } = answerHead;
    if (!this.#headSeen) {
      if (httpStatus < 200 && httpStatus > 0 && !ends) return true;
      this.#headSeen = true;
      if (status < 0 && (httpStatus !== 200 || !isGrpc)) {
        const what = httpStatus === 200 ? 'an answer that is not gRPC' : `HTTP ${httpStatus}`;
        this.#refuseCode(statusOfHttp(httpStatus), `${this.connection.peer} answered with ${what}`);
        return false;
      }
      if (encoding === undefined) {
        this.refuse('INTERNAL', 'the answer is packed in a way that is not known here');
        return false;
      }
      this.encoding = encoding;
      if (contentLength >= 0) this.expectContent(contentLength);
    } else if (!ends) {
      this.refuse('INTERNAL', 'the answer has headers in the middle');
      return false;
    }
    if (ends) {
      this.#status = status;
      this.#details = details;
    }
    return true;
  }

  override piece(chunk: Buffer, from: number, end: number): void {
    if (this.#headSeen) super.piece(chunk, from, end);
    else this.connection.streamError(this.id, 'PROTOCOL_ERROR');
  }

  protected messageReceived(message: Buffer): void {
    try {
      this.listener!.message(message);
    } catch (error) {
      if (isImpossible(error)) throw error;
      this.fail(error as Error);
    }
  }

  protected endReceived(): void {
    if (this.#status === rpcStatus.OK) this.#conclude(null);
    else if (this.#status > 0) this.#conclude(this.#statusError());
    else this.refuse('INTERNAL', 'the answer ended without a status');
  }

  #statusError(): RpcError {
    return new RpcError(rpcStatusName(this.#status), this.#details);
  }

  // ---- The end ---------------------------------------------------------------------------------------------------

  fail(error: Error): void {
    this.#conclude(error);
  }

  expire(): void {
    const details = `${this.connection.peer} did not answer in time`;
    this.#conclude(new RpcError('DEADLINE_EXCEEDED', details, { neverBegun: !this.started }));
  }

  protected refuse(status: RpcStatus, details: string): void {
    this.#refuseCode(rpcStatus[status], details);
  }

  #refuseCode(code: number, details: string): void {
    // What the server said about its own failure tells more.
    if (this.#status > 0) this.#conclude(this.#statusError());
    else this.#conclude(new RpcError(rpcStatusName(code), details));
  }

  reset(code: number): void {
    const neverBegun = code === errorCode.REFUSED_STREAM;
    const how = neverBegun ? 'refused the call' : `reset the call (${errorCodeName(code)})`;
    const details = `${this.connection.peer} ${how}`;
    this.#settle(new RpcError(statusOfReset(code), details, { neverBegun }));
  }

  violated(code: ErrorCodeName): void {
    const details = `${this.connection.peer} broke a rule of HTTP/2 in the call (${code})`;
    this.#settle(new RpcError('INTERNAL', details));
  }

  lost(reason: string): void {
    this.#settle(new RpcError('UNAVAILABLE', reason, { neverBegun: !this.started }));
  }

  /** The server goes, and said that it did not begin this call. */
  passedOver(): void {
    const details = `${this.connection.peer} goes away, and did not begin the call`;
    this.#settle(new RpcError('UNAVAILABLE', details, { neverBegun: true }));
  }

  /** The outcome is known here: the stream ends, with a reset where a side has not ended it. */
  #conclude(failure: Error | null): void {
    if (this.#settled) return;
    if (this.started && !this.over && !(this.remoteEnded && this.localEnded)) {
      this.connection.abandon(this);
    } else {
      this.connection.remove(this);
    }
    this.#settle(failure);
  }

  #settle(failure: Error | null): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#failure = failure;
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#tell();
  }

  override listen(listener: StreamListener<Buffer>): void {
    super.listen(listener);
    // As everything else, never within the call of the listener's owner.
    if (this.#settled) queueMicrotask(() => this.#tell());
  }

  #tell(): void {
    if (this.#told || this.listener === null) return;
    this.#told = true;
    try {
      this.listener.closed(this.#failure);
    } catch (error) {
      // Other calls of the connection have nothing to do with it.
      this.connection.listenerFailed(error);
    }
  }
}

/** gRPC's table of what a reset by the server means. */
function statusOfReset(code: number): RpcStatus {
  switch (code) {
    case errorCode.REFUSED_STREAM:
      return 'UNAVAILABLE';
    case errorCode.CANCEL:
      return 'CANCELLED';
    case errorCode.ENHANCE_YOUR_CALM:
      return 'RESOURCE_EXHAUSTED';
    case errorCode.INADEQUATE_SECURITY:
      return 'PERMISSION_DENIED';
    default:
      return 'INTERNAL';
  }
}
