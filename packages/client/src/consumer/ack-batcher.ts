import { type MqError } from '@raftmq/base';
import { type MessageView } from './message-view.js';
import { type Receipts } from './receipts.js';

/** Pause before a failed acknowledgement is repeated. */
export const SETTLE_RETRY_MS = 1_000;

interface PendingAck {
  readonly message: MessageView;
  readonly settled: () => void;
}

/**
 * Acknowledges in the background: what becomes done while a call is under way shares the next one. A failure is
 * repeated every second until it succeeds or the receipt is no longer valid. Its size is bounded by the message cache.
 */
export class AckBatcher {
  readonly #receipts: Receipts;
  readonly #onRefused: (message: MessageView, failure: MqError) => void;
  #pending: PendingAck[] = [];
  #busy = false;
  #stopped = false;

  /** @param onRefused told of acknowledgements that can never succeed: the message may come again */
  constructor(receipts: Receipts, onRefused: (message: MessageView, failure: MqError) => void) {
    this.#receipts = receipts;
    this.#onRefused = onRefused;
  }

  /** Resolves when the message is acknowledged or can never be. */
  ack(message: MessageView): Promise<void> {
    return new Promise((resolve) => {
      this.#pending.push({ message, settled: resolve });
      if (this.#busy || this.#stopped) return;
      this.#busy = true;
      setImmediate(() => void this.#flush());
    });
  }

  /** Repeats nothing more; what waits stays unsettled. */
  stop(): void {
    this.#stopped = true;
  }

  async #flush(): Promise<void> {
    while (this.#pending.length > 0 && !this.#stopped) {
      const batch = this.#pending;
      this.#pending = [];
      const outcomes = await this.#receipts.ack(batch.map(({ message }) => message));
      const again: PendingAck[] = [];
      for (let i = 0; i < batch.length; i++) {
        const failure = outcomes[i] ?? null;
        if (failure !== null && failure.code !== 'INVALID_RECEIPT_HANDLE') {
          again.push(batch[i]!);
          continue;
        }
        if (failure !== null) this.#onRefused(batch[i]!.message, failure);
        batch[i]!.settled();
      }
      if (again.length === 0) continue;
      setTimeout(() => {
        this.#pending.push(...again);
        if (!this.#busy && !this.#stopped) {
          this.#busy = true;
          void this.#flush();
        }
      }, SETTLE_RETRY_MS);
    }
    this.#busy = false;
  }
}
