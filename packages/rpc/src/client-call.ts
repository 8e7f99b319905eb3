import { type ClientDuplexStream, type StatusObject } from '@grpc/grpc-js';
import { type RpcStream, type StreamListener } from './call.js';
import { PendingBytes } from './pending-bytes.js';
import { isImpossible, RpcError, rpcStatus, rpcStatusName } from './status.js';

/** The client's end of a bidirectional call. */
export class ClientStream implements RpcStream<Buffer, Buffer> {
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  #listener: StreamListener<Buffer> | null = null;
  #over = false;
  #settled = false;
  #ended = false;
  #failure: Error | null = null;
  #cause: Error | null = null;
  readonly #pendingBytes = new PendingBytes();
  #waiting: (() => void)[] = [];

  constructor(call: ClientDuplexStream<Buffer, Buffer>) {
    this.#call = call;
    // grpc-js says the same twice: as an error and as a status. The status comes in all cases.
    call.on('error', () => undefined);
    call.on('status', (status: StatusObject) => this.#settle(status));
    // With OK, messages may still wait in front of the end.
    call.on('end', () => {
      this.#ended = true;
      if (this.#settled) this.#close();
    });
    call.on('drain', () => this.#wake());
  }

  get closed(): boolean {
    return this.#settled || this.#call.writableEnded;
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

  listen(listener: StreamListener<Buffer>): void {
    this.#listener = listener;
    this.#call.on('data', (message: Buffer) => {
      if (this.#over) return;
      try {
        listener.message(message);
      } catch (error) {
        if (isImpossible(error)) throw error;
        this.fail(error as Error);
      }
    });
    if (this.#over) listener.closed(this.#failure);
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  end(): void {
    if (!this.closed) this.#call.end();
  }

  fail(error: Error): void {
    if (this.#settled) return;
    this.#cause = error;
    this.#call.cancel();
  }

  #settle(status: StatusObject): void {
    if (this.#settled) return;
    this.#settled = true;
    if (this.#cause !== null) this.#failure = this.#cause;
    else if ((status.code as number) !== rpcStatus.OK) {
      this.#failure = new RpcError(rpcStatusName(status.code), status.details);
    }
    this.#wake();
    if (this.#ended || this.#failure !== null) this.#close();
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener?.closed(this.#failure);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
