import { RingQueue } from '@raftmq/base';
import { type StreamListener } from './call.js';
import { type ClientCall } from './http2/client-call.js';
import { RpcError } from './status.js';

/** Bytes that wait for the reader; with more of them the server is stopped. */
const WAITING_BYTES_MAX = 1024 * 1024;
/** What a message costs beyond its bytes, about. */
const MESSAGE_OVERHEAD_BYTES = 128;

interface Reader {
  readonly resolve: (result: IteratorResult<Buffer, void>) => void;
  readonly reject: (error: Error) => void;
}

/** The answers of a call, one after another; for one reader. A loop that is left early gives the call up. */
export class AnswerStream implements StreamListener<Buffer>, AsyncIterableIterator<Buffer, void> {
  #call: ClientCall | null = null;
  readonly #waiting = new RingQueue<Buffer>();
  #waitingBytes = 0;
  #paused = false;
  #over = false;
  #failure: Error | null = null;
  #reader: Reader | null = null;

  /** Once, before anything is read. */
  attach(call: ClientCall): void {
    this.#call = call;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  message(message: Buffer): void {
    const reader = this.#reader;
    if (reader !== null) {
      this.#reader = null;
      reader.resolve({ value: message, done: false });
      return;
    }
    this.#waiting.push(message);
    this.#waitingBytes += message.length + MESSAGE_OVERHEAD_BYTES;
    if (this.#paused || this.#waitingBytes < WAITING_BYTES_MAX) return;
    this.#paused = true;
    this.#call?.pause();
  }

  closed(failure: Error | null): void {
    this.#over = true;
    this.#failure = failure;
    const reader = this.#reader;
    if (reader === null) return;
    this.#reader = null;
    this.#finish(reader);
  }

  next(): Promise<IteratorResult<Buffer, void>> {
    const message = this.#waiting.shift();
    if (message !== undefined) {
      this.#waitingBytes -= message.length + MESSAGE_OVERHEAD_BYTES;
      if (this.#paused && 2 * this.#waitingBytes < WAITING_BYTES_MAX) {
        this.#paused = false;
        this.#call?.resume();
      }
      return Promise.resolve({ value: message, done: false });
    }
    return new Promise((resolve, reject) => {
      const reader = { resolve, reject };
      if (this.#over) this.#finish(reader);
      else this.#reader = reader;
    });
  }

  return(): Promise<IteratorResult<Buffer, void>> {
    this.#call?.fail(new RpcError('CANCELLED', 'the answers are not read any more'));
    while (this.#waiting.shift() !== undefined);
    this.#failure = null;
    return Promise.resolve({ value: undefined, done: true });
  }

  #finish({ resolve, reject }: Reader): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure === null) resolve({ value: undefined, done: true });
    else reject(failure);
  }
}
