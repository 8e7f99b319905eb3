import { assert, MqError } from '@raftmq/base';
import { ReceiptHandles, type ReceiptHandle } from '@raftmq/protocol';
import { type DeliveryOutcome } from '../pop/delivery.js';
import { type Tables } from '../state/tables.js';

/** Makes and reads receipt handles with the group's secret, once the log has one. */
export class Receipts {
  readonly #tables: Tables;
  readonly #brokerGroup: string;
  #handles: ReceiptHandles | null = null;

  constructor(tables: Tables, brokerGroup: string) {
    this.#tables = tables;
    this.#brokerGroup = brokerGroup;
  }

  /** Whether handles can be made. */
  get ready(): boolean {
    return this.#tables.shared.secret !== null;
  }

  get handles(): ReceiptHandles {
    const { secret } = this.#tables.shared;
    assert(
      secret !== null,
      'the secret of receipt handles is in the log before the first delivery',
    );
    return (this.#handles ??= new ReceiptHandles(secret, this.#brokerGroup));
  }

  /** null for anything that was not made here for this group and topic. */
  parse(text: string, group: string, topic: string): ReceiptHandle | null {
    return this.ready ? this.handles.parse(text, group, topic) : null;
  }
}

/** The error of a handle that is no handle. */
export function forgedReceipt(): MqError {
  return new MqError(
    'INVALID_RECEIPT_HANDLE',
    'the receipt handle was not made by this broker group for this consumer group and topic',
  );
}

/** What a client is told of an outcome: null = success. */
export function receiptError(outcome: DeliveryOutcome): MqError | null {
  if (outcome !== 'stale') return null;
  return new MqError(
    'INVALID_RECEIPT_HANDLE',
    'the receipt handle is expired: the message was handed out again since; use its newer handle',
  );
}
