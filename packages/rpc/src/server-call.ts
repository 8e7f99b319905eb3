import { type EventEmitter } from 'node:events';
import {
  Metadata,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import {
  type CallContext,
  type RpcStream,
  type StreamListener,
  type StreamWriter,
} from './call.js';
import { PendingBytes } from './pending-bytes.js';
import { isImpossible, RpcError } from './status.js';

type SurfaceCall =
  | ServerUnaryCall<Buffer, Buffer>
  | ServerWritableStream<Buffer, Buffer>
  | ServerDuplexStream<Buffer, Buffer>;

/** The call as grpc-js sees it, seen through our interface; nothing is computed before it is asked for. */
export class GrpcCallContext implements CallContext {
  readonly path: string;
  readonly #call: SurfaceCall;
  #abort: AbortController | null = null;

  constructor(path: string, call: SurfaceCall) {
    this.path = path;
    this.#call = call;
  }

  header(name: string): string | null {
    const value = this.#call.metadata.get(name)[0];
    return typeof value === 'string' ? value : null;
  }

  headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(this.#call.metadata.getMap())) {
      const ofGrpc = name === 'user-agent' || name.startsWith('grpc-');
      if (typeof value === 'string' && !ofGrpc) headers[name] = value;
    }
    return headers;
  }

  get deadlineMs(): number | null {
    const deadline = Number(this.#call.getDeadline());
    return Number.isFinite(deadline) ? deadline : null;
  }

  get peer(): string {
    return this.#call.getPeer();
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      const abort = new AbortController();
      this.#abort = abort;
      if (this.#call.cancelled) abort.abort();
      else (this.#call as EventEmitter).once('cancelled', () => abort.abort());
    }
    return this.#abort.signal;
  }

  sendInitialMetadata(): void {
    this.#call.sendMetadata(new Metadata());
  }
}

/** Writes to a grpc-js call with back-pressure. grpc-js counts messages: 16 may wait before `write` returns false. */
export class ServerWriter implements StreamWriter<Buffer> {
  readonly #call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;
  readonly #pendingBytes = new PendingBytes();
  #waiting: (() => void)[] = [];

  constructor(call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>) {
    this.#call = call;
    call.on('drain', () => this.#wake());
    call.once('cancelled', () => this.#wake());
    call.once('close', () => this.#wake());
  }

  get closed(): boolean {
    return this.#call.cancelled || this.#call.destroyed || this.#call.writableEnded;
  }

  get pending(): number {
    return this.#call.writableLength;
  }

  get pendingBytes(): number {
    return this.#pendingBytes.bytes;
  }

  write(message: Buffer): boolean {
    if (this.closed) return false;
    this.#pendingBytes.add(message.length);
    return this.#call.write(message, this.#pendingBytes.taken);
  }

  drained(): Promise<void> {
    if (this.closed || !this.#call.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** The server's end of a bidirectional call. */
export class ServerStream extends ServerWriter implements RpcStream<Buffer, Buffer> {
  readonly #duplex: ServerDuplexStream<Buffer, Buffer>;
  readonly #refuse: (error: Error) => void;
  #listener: StreamListener<Buffer> | null = null;
  #failure: Error | null = new RpcError('CANCELLED', 'the caller is gone');
  #over = false;

  /** @param refuse ends the call with the status that belongs to an error */
  constructor(call: ServerDuplexStream<Buffer, Buffer>, refuse: (error: Error) => void) {
    super(call);
    this.#duplex = call;
    this.#refuse = refuse;
    call.once('cancelled', () => this.#close());
    call.once('close', () => this.#close());
  }

  listen(listener: StreamListener<Buffer>): void {
    this.#listener = listener;
    if (this.#over) {
      listener.closed(this.#failure);
      return;
    }
    this.#duplex.on('data', (message: Buffer) => {
      // What comes after we ended or refused the call is nobody's business any more.
      if (this.#over || this.closed) return;
      try {
        listener.message(message);
      } catch (error) {
        if (isImpossible(error)) throw error;
        this.fail(error as Error);
      }
    });
    this.#duplex.on('end', () => {
      if (!this.#over) listener.ended?.();
    });
  }

  pause(): void {
    this.#duplex.pause();
  }

  resume(): void {
    this.#duplex.resume();
  }

  end(): void {
    if (this.closed) return;
    this.#failure = null;
    this.#duplex.end();
  }

  fail(error: Error): void {
    if (this.closed) return;
    this.#failure = error;
    this.#refuse(error);
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener?.closed(this.#failure);
  }
}
