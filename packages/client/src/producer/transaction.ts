import { errorText, type Logger, MqError } from '@raftmq/base';
import {
  decodeStatusResponse,
  encodeEndTransactionRequest,
  type OrphanedTransaction,
  type Resource,
  transactionResolution,
  transactionSource,
} from '@raftmq/protocol';
import { type ClientCore } from '../client-core.js';
import { MessageView } from '../consumer/message-view.js';
import { messagingPath } from '../messaging-rpc.js';
import { type BrokerTarget } from '../route-cache.js';
import { backoffMs } from '../settings.js';
import { isOk, statusToError } from '../status-error.js';
import { type SendReceipt } from './message.js';

/** What became of a local transaction; `unknown` lets the broker ask again later. */
export type TransactionResolution = 'commit' | 'rollback' | 'unknown';

/**
 * Says what became of a transaction that nobody ended: its producer died, or its decision was lost. Brokers ask any
 * producer of the topic, so the answer has to come from where all of them look, such as the database of the local
 * transaction.
 */
export interface TransactionChecker {
  check(message: MessageView): Promise<TransactionResolution> | TransactionResolution;
}

/** What only transactional messages have. */
export interface TransactionOptions {
  /** Time until brokers ask about the message for the first time; at most an hour. Default: the broker's own. */
  readonly recoveryMs?: number;
}

/** Failures that the same decision may survive a moment later; a decision that is made twice counts once. */
const RETRYABLE: ReadonlySet<string> = new Set([
  'TOO_MANY_REQUESTS',
  'HA_NOT_AVAILABLE',
  'INTERNAL_ERROR',
  'REQUEST_TIMEOUT',
]);

/**
 * One message whose delivery waits for a decision: send it with `Producer.send(message, transaction)`, do the local
 * work, then `commit` or `rollback`. Without either, brokers ask the checker of some producer of the topic.
 */
export class Transaction {
  /** null = the broker's own. */
  readonly recoveryMs: number | null;
  readonly #ender: TransactionEnder;
  #taken = false;
  #receipt: SendReceipt | null = null;

  /** Made by `Producer.beginTransaction`. */
  constructor(ender: TransactionEnder, options: TransactionOptions) {
    this.#ender = ender;
    this.recoveryMs = options.recoveryMs ?? null;
  }

  /**
   * Consumers get the message.
   * @throws MqError INVALID_TRANSACTION_ID when the transaction was rolled back before, by a checker for instance;
   *   REQUEST_TIMEOUT when the outcome is unknown: committing again is fine
   */
  commit(): Promise<void> {
    return this.#end(transactionResolution.COMMIT);
  }

  /** Nobody gets the message. @throws MqError as `commit`, when it was committed before */
  rollback(): Promise<void> {
    return this.#end(transactionResolution.ROLLBACK);
  }

  /** From the producer: a message is on its way. @throws MqError PRECONDITION_FAILED for a second one */
  take(): void {
    if (this.#taken) {
      throw new MqError(
        'PRECONDITION_FAILED',
        'a transaction has one message; begin another one for the next',
      );
    }
    this.#taken = true;
  }

  /** From the producer: the message was stored. */
  stored(receipt: SendReceipt): void {
    this.#receipt = receipt;
  }

  async #end(resolution: number): Promise<void> {
    const receipt = this.#receipt;
    if (receipt === null) {
      throw new MqError(
        'PRECONDITION_FAILED',
        'the message of the transaction was not sent, or not stored: there is nothing to end',
      );
    }
    await this.#ender.end(receipt, resolution);
  }
}

/** Tells brokers how transactions end: at the wish of the application, and in answer to their questions. */
export class TransactionEnder {
  readonly #core: ClientCore;
  readonly #attemptsMax: number;
  readonly #checker: TransactionChecker | null;
  readonly #checksMax: number;
  readonly #logger: Logger;
  #checking = 0;

  /** @param checksMax questions that are answered at the same time */
  constructor(
    core: ClientCore,
    attemptsMax: number,
    checker: TransactionChecker | null,
    checksMax: number,
  ) {
    this.#core = core;
    this.#attemptsMax = attemptsMax;
    this.#checker = checker;
    this.#checksMax = checksMax;
    this.#logger = core.options.logger;
  }

  /** @throws MqError PRECONDITION_FAILED without a checker */
  begin(options: TransactionOptions): Transaction {
    this.#core.checkRunning();
    if (this.#checker === null) {
      throw new MqError(
        'PRECONDITION_FAILED',
        'transactions need a checker that can say what became of them: give one to the producer',
      );
    }
    return new Transaction(this, options);
  }

  async end(receipt: SendReceipt, resolution: number): Promise<void> {
    this.#core.checkRunning();
    const { topic, messageId, transactionId, brokerName } = receipt;
    const { writable, readable } = await this.#core.routes.get(topic);
    const brokers = [...writable, ...readable];
    // Any broker brings it to the one that has the message; that one itself is the shortest way.
    const own = brokers.find((broker) => broker.name === brokerName);
    const addresses = new Set([own, ...brokers].flatMap((broker) => broker?.addresses ?? []));
    await this.#tell(
      [...addresses],
      this.#core.resource(topic),
      messageId,
      transactionId,
      resolution,
      transactionSource.CLIENT,
    );
  }

  /** A broker asks. Beyond the limit it is left without an answer, and asks again later. */
  asked(orphan: OrphanedTransaction, broker: BrokerTarget): void {
    const { transactionId } = orphan;
    if (this.#checker === null || this.#checking >= this.#checksMax) {
      const why = this.#checker === null ? 'no checker' : 'too many questions at once';
      this.#logger.warn({ transactionId, why }, 'question about a transaction not answered');
      return;
    }
    this.#checking++;
    this.#answer(this.#checker, orphan, broker)
      .catch((error: unknown) => {
        this.#logger.warn(
          { transactionId, error: errorText(error) },
          'question about a transaction not answered; the broker asks again',
        );
      })
      .finally(() => this.#checking--);
  }

  async #answer(
    checker: TransactionChecker,
    { message, transactionId }: OrphanedTransaction,
    broker: BrokerTarget,
  ): Promise<void> {
    const resolution = await checker.check(new MessageView(message, broker));
    if (resolution === 'unknown') return;
    await this.#tell(
      broker.addresses,
      message.topic,
      message.messageId,
      transactionId,
      resolution === 'commit' ? transactionResolution.COMMIT : transactionResolution.ROLLBACK,
      transactionSource.SERVER_CHECK,
    );
  }

  async #tell(
    addresses: readonly string[],
    topic: Resource,
    messageId: string,
    transactionId: string,
    resolution: number,
    source: number,
  ): Promise<void> {
    const { rpc } = this.#core;
    const request = encodeEndTransactionRequest({
      topic,
      messageId,
      transactionId,
      resolution,
      source,
      traceContext: '',
    });
    for (let attempt = 1; ; attempt++) {
      const failure = await rpc.unary(addresses, messagingPath.endTransaction, request).then(
        (answer) => {
          const status = decodeStatusResponse(answer);
          return isOk(status) ? null : statusToError(status);
        },
        (error: unknown) => error as MqError,
      );
      if (failure === null) return;
      const again = RETRYABLE.has(failure.code) && attempt < this.#attemptsMax;
      if (!again || !this.#core.running) throw failure;
      const pauseMs = backoffMs(this.#core.settings, attempt);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
