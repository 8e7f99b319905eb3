import { RingQueue } from '@raftmq/base';

/** Counts the bytes of messages on their way into a connection; they are taken in the order they were added. */
export class PendingBytes {
  readonly #sizes = new RingQueue<number>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(sizeBytes: number): void {
    this.#sizes.push(sizeBytes);
    this.#bytes += sizeBytes;
  }

  /** The oldest message was taken, or failed. One function for all messages: no closure per write. */
  readonly taken = (): void => {
    this.#bytes -= this.#sizes.shift() ?? 0;
  };
}
