import { type CallContext } from '../call.js';
import { isImpossible, RpcError, rpcStatus, type RpcStatus } from '../status.js';
import { ANSWER_OK, ANSWER_START, failedAnswer, failedTrailers } from './answer-blocks.js';
import { type FrameBatch } from './frame-batch.js';
import { GrpcStream } from './grpc-stream.js';
import { fieldKind, type HeaderField } from './header-field.js';
import { type MessageEncoding } from './message-encoding.js';
import { frameFlag } from './protocol.js';
import { type ServerConnection, type ServerMethod } from './server-connection.js';

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/** A call as its server has it: what handlers know about it, and both halves of its stream, in one object. */
export class ServerCall extends GrpcStream implements CallContext {
  declare readonly connection: ServerConnection;
  readonly #method: ServerMethod;
  readonly #fields: readonly HeaderField[];
  readonly #deadlineMs: number | null;
  #abort: AbortController | null = null;
  #request: Buffer | null = null;
  /** The caller, its deadline or its connection ended the call. */
  #cancelled = false;
  /** The outcome, when it is known; the code goes out behind what was written. */
  #status = -1;
  #details = '';
  #failure: Error | null = null;
  #told = false;
  #startWritten = false;

  /** @param timeoutMs Infinity = none */
  constructor(
    connection: ServerConnection,
    id: number,
    method: ServerMethod,
    fields: readonly HeaderField[],
    timeoutMs: number,
    encoding: MessageEncoding | null,
  ) {
    super(connection, id, timeoutMs === Infinity ? Infinity : performance.now() + timeoutMs);
    this.#method = method;
    this.#fields = fields;
    this.encoding = encoding;
    this.#deadlineMs = timeoutMs === Infinity ? null : Date.now() + timeoutMs;
  }

  /** The method's handler may run. */
  begin(): void {
    if (this.#method.kind !== 'bidi') return;
    this.holdForListener();
    this.connection.handlers.runBidi(this.#method, this);
  }

  // ---- CallContext -----------------------------------------------------------------------------------------------

  get path(): string {
    return this.#method.path;
  }

  get peer(): string {
    return this.connection.peer;
  }

  get deadlineMs(): number | null {
    return this.#deadlineMs;
  }

  header(name: string): string | null {
    const fields = this.#fields;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      if (field.name === name && field.kind !== fieldKind.BINARY) return field.value;
    }
    return null;
  }

  headers(): Readonly<Record<string, string>> {
    let headers: Record<string, string> | null = null;
    for (const { kind, name, value } of this.#fields) {
      if (kind !== fieldKind.TEXT) continue;
      headers ??= {};
      headers[name] ??= value;
    }
    return headers ?? NO_HEADERS;
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.#cancelled) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  sendInitialMetadata(): void {
    if (!this.started && !this.closed) this.connection.ready(this);
  }

  // ---- Incoming --------------------------------------------------------------------------------------------------

  protected messageReceived(message: Buffer): void {
    if (this.#method.kind !== 'bidi') {
      if (this.#request === null) this.#request = message;
      else this.refuse('UNIMPLEMENTED', `${this.path} takes one message, and there were more`);
      return;
    }
    try {
      this.listener!.message(message);
    } catch (error) {
      this.#listenerFailed(error);
    }
  }

  protected endReceived(): void {
    const method = this.#method;
    if (method.kind === 'bidi') {
      try {
        this.listener!.ended?.();
      } catch (error) {
        this.#listenerFailed(error);
      }
      return;
    }
    const request = this.#request;
    this.#request = null;
    if (request === null) {
      this.refuse('UNIMPLEMENTED', `${this.path} takes one message, and there was none`);
    } else if (method.kind === 'unary') {
      this.connection.handlers.runUnary(method, request, this);
    } else {
      this.connection.handlers.runServerStream(method, request, this);
    }
  }

  #listenerFailed(error: unknown): void {
    if (isImpossible(error)) throw error;
    this.fail(error as Error);
  }

  override listen(listener: Parameters<GrpcStream['listen']>[0]): void {
    super.listen(listener);
    if (!this.#told) return;
    // It came when the call was over.
    this.#told = false;
    this.#tell();
  }

  // ---- Outgoing --------------------------------------------------------------------------------------------------

  get closed(): boolean {
    return this.#cancelled || this.#status >= 0;
  }

  /** The answer of a unary call. */
  answer(message: Buffer): void {
    if (this.closed) return;
    this.enqueue(message);
    this.end();
  }

  end(): void {
    if (this.closed) return;
    this.#settle(rpcStatus.OK, '');
  }

  fail(error: Error): void {
    if (this.closed) return;
    this.#failure = error;
    const { code, details } = this.connection.handlers.statusOf(this.path, error);
    this.#settle(code, details);
  }

  protected refuse(status: RpcStatus, details: string): void {
    if (this.closed) return;
    this.#failure = new RpcError(status, details);
    this.#settle(rpcStatus[status], details);
  }

  #settle(code: number, details: string): void {
    this.#status = code;
    this.#details = details;
    this.discardIncoming();
    this.finish();
  }

  protected get endsWithData(): boolean {
    return false;
  }

  protected writeStart(batch: FrameBatch): void {
    if (this.#status > 0 && !this.unsent) return;
    batch.headers(this.id, 0, ANSWER_START);
    this.#startWritten = true;
  }

  protected writeEnd(batch: FrameBatch): void {
    const ok = this.#status === rpcStatus.OK;
    const block = ok
      ? ANSWER_OK
      : this.#startWritten
        ? failedTrailers(this.#status, this.#details)
        : failedAnswer(this.#status, this.#details);
    batch.headers(this.id, frameFlag.END_STREAM, block);
    if (!this.remoteEnded) {
      // The whole answer is there: the caller need not send the rest (RFC 9113, 8.1).
      batch.resetStream(this.id, 0);
      this.connection.passOver(this.id);
    }
    this.connection.remove(this);
    this.#tell();
  }

  // ---- The end ---------------------------------------------------------------------------------------------------

  reset(): void {
    this.#cancel(new RpcError('CANCELLED', 'the caller is gone'));
  }

  violated(): void {
    this.reset();
  }

  lost(reason: string): void {
    this.#cancel(new RpcError('CANCELLED', reason));
  }

  expire(): void {
    if (this.over) return;
    const late = new RpcError('DEADLINE_EXCEEDED', 'the deadline of the call has passed');
    if (this.midMessage) {
      this.connection.resetStream(this.id, 'CANCEL');
      return;
    }
    this.dropUnsent();
    this.#cancel(late);
    this.#settle(rpcStatus.DEADLINE_EXCEEDED, late.message);
  }

  #cancel(failure: RpcError): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    if (this.#failure === null) this.#failure = failure;
    this.#abort?.abort();
    this.#tell();
  }

  /** The last word to the listener. */
  #tell(): void {
    if (this.#told) return;
    this.#told = true;
    try {
      this.listener?.closed(this.#failure);
    } catch (error) {
      this.connection.handlers.statusOf(this.path, error);
    }
  }
}
