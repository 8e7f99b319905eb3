import { RECEIPT_SECRET_SIZE_BYTES } from '@raftmq/protocol';
import { type Tables } from '../state/tables.js';
import { type Leadership } from './leadership.js';
import { type RecordsProposer } from './proposals.js';

export interface ReceiptSecretOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly leadership: Leadership;
  readonly randomBytes: (sizeBytes: number) => Buffer;
}

/** The secret that receipt and recall handles are made with: the first leader puts it into the log. */
export class ReceiptSecret {
  readonly #options: ReceiptSecretOptions;
  #proposed: Promise<unknown> | null = null;

  constructor(options: ReceiptSecretOptions) {
    this.#options = options;
  }

  /** Whether the log has one. */
  get ready(): boolean {
    return this.#options.tables.shared.secret !== null;
  }

  /** Leadership begins: what an earlier one proposed is applied, or never will be. */
  start(): void {
    this.#proposed = null;
    queueMicrotask(() => {
      if (this.#options.leadership.refusal() === null) this.ensure().catch(() => undefined);
    });
  }

  /** In front of every delivery. @throws MqError of the proposal */
  ensure(): Promise<unknown> {
    if (this.ready) return Promise.resolve();
    if (this.#proposed !== null) return this.#proposed;
    const secret = this.#options.randomBytes(RECEIPT_SECRET_SIZE_BYTES);
    const proposed = this.#options.proposer.command({ kind: 'set-cluster-secret', secret });
    this.#proposed = proposed;
    // The next receive tries again, and tells its caller what is wrong.
    proposed.catch(() => (this.#proposed = null));
    return proposed;
  }
}
