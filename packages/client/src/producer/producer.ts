import { hostname } from 'node:os';
import { isMqError, MqError } from '@raftmq/base';
import { clientType, messageType, type OutgoingMessage } from '@raftmq/protocol';
import { ClientCore } from '../client-core.js';
import { MessageIdGenerator } from '../ids.js';
import { type ClientOptions } from '../options.js';
import { defaultProducerSettings } from '../settings.js';
import { delayLevels, type DelayLevels } from './delivery-time.js';
import { SendDispatcher, type SendOutcome } from './dispatcher.js';
import { type BatchLimits, Lane, type SendUnit } from './lane.js';
import { type MessageInput, type SendReceipt, toOutgoing } from './message.js';
import { recallMessage } from './recall.js';
import {
  type Transaction,
  type TransactionChecker,
  TransactionEnder,
  type TransactionOptions,
} from './transaction.js';

export interface ProducerOptions extends ClientOptions {
  /** Topics whose routes are fetched at the start; others are fetched at their first send. */
  readonly topics?: readonly string[];
  /** Attempts for one message, the first one counted. Default 5. */
  readonly attemptsMax?: number;
  /** How long a message waits for company, milliseconds. Default 0: until the end of this turn of the event loop. */
  readonly lingerMs?: number;
  /** Messages in one request. Default 32; 1 turns automatic batching off. */
  readonly batchMessagesMax?: number;
  /** Body bytes in one request. Default 1 MiB; a larger message travels alone. */
  readonly batchBytesMax?: number;
  /** Requests under way per topic. Default 16. Messages of one message group: always one. */
  readonly inFlightMax?: number;
  /**
   * Gather messages of one message group, too. Default false: right only with servers that put a request of several
   * messages where its message group belongs. RaftMQ does; RocketMQ's proxy spreads them over queues.
   */
  readonly batchFifo?: boolean;
  /** Messages waiting or under way; more are refused with TOO_MANY_REQUESTS. Default 50,000. */
  readonly pendingMessagesMax?: number;
  /** Body bytes waiting or under way. Default 64 MiB. */
  readonly pendingBytesMax?: number;
  /** Needed for transactions: says what became of those that nobody ended. */
  readonly checker?: TransactionChecker;
  /** Questions of brokers about transactions that are answered at the same time. Default 64. */
  readonly checksMax?: number;
  /** What the delay levels mean; as the brokers' setting of this name. Default: RocketMQ's 18 levels. */
  readonly messageDelayLevel?: string;
}

const MIB = 1024 * 1024;
/** Rough size of a message beside its body: keeps tiny messages from filling a request without end. */
const MESSAGE_OVERHEAD_BYTES = 200;

/**
 * Sends messages. Many sends at once share requests; nothing is reordered within a message group.
 *
 * Every send ends in one of three ways: a receipt, an error that says the message was not stored, or REQUEST_TIMEOUT,
 * which leaves it open. All limits answer TOO_MANY_REQUESTS. Start it once, close it once.
 */
export class Producer {
  readonly #core: ClientCore;
  readonly #dispatcher: SendDispatcher;
  readonly #transactions: TransactionEnder;
  readonly #ids = new MessageIdGenerator();
  readonly #bornHost = hostname();
  readonly #topics: Set<string>;
  readonly #plainLimits: BatchLimits;
  readonly #fifoLimits: BatchLimits;
  readonly #pendingMessagesMax: number;
  readonly #pendingBytesMax: number;
  readonly #levels: DelayLevels;
  readonly #lanes = new Map<string, Lane>();
  #dirty: Lane[] = [];
  #lookScheduled = false;
  #pendingMessages = 0;
  #pendingBytes = 0;
  #drained: (() => void)[] = [];
  #closing = false;

  /** @throws MqError CONFIG_INVALID for endpoints or delay levels that cannot be read */
  constructor(options: ProducerOptions) {
    this.#levels = delayLevels(options.messageDelayLevel);
    this.#topics = new Set(options.topics ?? []);
    this.#core = new ClientCore(
      options,
      {
        clientType: clientType.PRODUCER,
        group: '',
        topics: () => [...this.#topics],
        subscriptions: () => [],
        longPollingMs: 0,
        orphaned: (orphan, broker) => this.#transactions.asked(orphan, broker),
      },
      defaultProducerSettings,
    );
    const attemptsMax = options.attemptsMax ?? 5;
    this.#dispatcher = new SendDispatcher(this.#core, attemptsMax);
    const { checker = null, checksMax = 64 } = options;
    this.#transactions = new TransactionEnder(this.#core, attemptsMax, checker, checksMax);
    this.#plainLimits = {
      messagesMax: options.batchMessagesMax ?? 32,
      bytesMax: options.batchBytesMax ?? MIB,
      inFlightMax: options.inFlightMax ?? 16,
      lingerMs: options.lingerMs ?? 0,
    };
    this.#fifoLimits = {
      ...this.#plainLimits,
      messagesMax: options.batchFifo === true ? this.#plainLimits.messagesMax : 1,
      inFlightMax: 1,
    };
    this.#pendingMessagesMax = options.pendingMessagesMax ?? 50_000;
    this.#pendingBytesMax = options.pendingBytesMax ?? 64 * MIB;
  }

  /** @throws MqError TOPIC_NOT_FOUND, or what else a route query may end with, for the declared topics */
  start(): Promise<void> {
    return this.#core.start([...this.#topics]);
  }

  /**
   * Sends one message.
   * @param transaction from `beginTransaction`: consumers get the message once that is committed
   * @throws MqError TOO_MANY_REQUESTS at a limit of this producer or of the server; REQUEST_TIMEOUT when the outcome is
   *   unknown; the code of a refusal otherwise
   */
  async send(input: MessageInput, transaction?: Transaction): Promise<SendReceipt> {
    transaction?.take();
    const receipts = await this.#enqueue([input], transaction === undefined, transaction);
    const receipt = receipts[0]!;
    transaction?.stored(receipt);
    return receipt;
  }

  /**
   * Begins a transaction, for one message of a topic of type TRANSACTION.
   * @throws MqError PRECONDITION_FAILED when the producer has no checker, or does not run
   */
  beginTransaction(options: TransactionOptions = {}): Transaction {
    return this.#transactions.begin(options);
  }

  /**
   * Sends messages of one topic in one request, in their order.
   * @throws MqError as `send`, for the first message that failed; others of the request may have been stored
   */
  sendBatch(inputs: readonly MessageInput[]): Promise<readonly SendReceipt[]> {
    if (inputs.length === 0) return Promise.resolve([]);
    const [first] = inputs;
    const mixed = inputs.some(
      (input) => input.topic !== first!.topic || input.messageGroup !== first!.messageGroup,
    );
    if (mixed) {
      return Promise.reject(
        new MqError('BAD_REQUEST', 'a batch has one topic and one message group; split it'),
      );
    }
    return this.#enqueue(inputs, false);
  }

  /**
   * Takes back a message that waits for its delivery time. Doing so again has no further effect.
   * @param recallHandle of the message's receipt
   * @returns the message's id
   * @throws MqError RECALL_FAILED when the handle is not of this topic, or the message was delivered; else why the call failed
   */
  async recall(topic: string, recallHandle: string): Promise<string> {
    this.#core.checkRunning();
    return recallMessage(this.#core, topic, recallHandle);
  }

  /** Sends what waits (at most `deadlineMs`), then closes the connections. Further sends are refused. */
  async close(deadlineMs = 10_000): Promise<void> {
    this.#closing = true;
    if (this.#pendingMessages > 0) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        new Promise<void>((resolve) => this.#drained.push(resolve)),
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, deadlineMs);
        }),
      ]);
      clearTimeout(timer);
    }
    const refusal = new MqError('PRECONDITION_FAILED', 'the producer was closed before the send');
    for (const lane of this.#lanes.values()) {
      if (lane.lingerTimer !== null) clearTimeout(lane.lingerTimer);
      for (const unit of lane.drain()) this.#finish(unit, null, refusal);
    }
    await this.#core.stop();
  }

  #enqueue(
    inputs: readonly MessageInput[],
    alone: boolean,
    transaction?: Transaction,
  ): Promise<readonly SendReceipt[]> {
    return new Promise((resolve, reject: (error: MqError) => void) => {
      try {
        this.#core.checkRunning();
        if (this.#closing) throw new MqError('PRECONDITION_FAILED', 'the producer is closing');
        const messages = inputs.map((input) => this.#outgoing(input, transaction));
        const sizeBytes = sizeOf(messages);
        this.#checkRoom(messages.length, sizeBytes);
        this.#pendingMessages += messages.length;
        this.#pendingBytes += sizeBytes;
        const first = messages[0]!;
        const joinable = alone && first.deliveryTimestampMs === null;
        this.#declare(inputs[0]!.topic);
        const lane = this.#laneOf(inputs[0]!.topic, first.messageGroup);
        lane.push({ messages, sizeBytes, joinable, resolve, reject }, performance.now());
        this.#look(lane);
      } catch (error) {
        reject(
          isMqError(error)
            ? error
            : new MqError('BAD_REQUEST', 'the message cannot be encoded', { cause: error }),
        );
      }
    });
  }

  #outgoing(input: MessageInput, transaction: Transaction | undefined): OutgoingMessage {
    const { bodySizeBytesMax } = this.#core.settings;
    const message = toOutgoing(
      input,
      this.#ids.next(),
      this.#bornHost,
      bodySizeBytesMax,
      this.#levels,
    );
    if (transaction === undefined) return message;
    const { recoveryMs } = transaction;
    return { ...message, messageType: messageType.TRANSACTION, transactionRecoveryMs: recoveryMs };
  }

  #checkRoom(messages: number, sizeBytes: number): void {
    if (this.#pendingMessages + messages > this.#pendingMessagesMax) {
      throw new MqError(
        'TOO_MANY_REQUESTS',
        `${this.#pendingMessages} messages wait to be sent, the limit is ${this.#pendingMessagesMax}; await some sends first`,
      );
    }
    if (this.#pendingMessages > 0 && this.#pendingBytes + sizeBytes > this.#pendingBytesMax) {
      throw new MqError(
        'TOO_MANY_REQUESTS',
        `${this.#pendingBytes} bytes wait to be sent, the limit is ${this.#pendingBytesMax}; await some sends first`,
      );
    }
  }

  /** A topic that is new to the brokers' picture of this client. */
  #declare(topic: string): void {
    if (this.#topics.has(topic)) return;
    this.#topics.add(topic);
    this.#core.syncSettings();
  }

  #laneOf(topic: string, messageGroup: string | null): Lane {
    const key = messageGroup === null ? topic : `${topic}\n${messageGroup}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = new Lane(key, topic, messageGroup === null ? this.#plainLimits : this.#fifoLimits);
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  /** Looks at `lane` at the end of this turn: sends of the same turn then share a request. */
  #look(lane: Lane): void {
    if (lane.scheduled) return;
    lane.scheduled = true;
    this.#dirty.push(lane);
    if (this.#lookScheduled) return;
    this.#lookScheduled = true;
    setImmediate(() => {
      this.#lookScheduled = false;
      const lanes = this.#dirty;
      this.#dirty = [];
      for (const one of lanes) {
        one.scheduled = false;
        this.#pump(one);
      }
    });
  }

  #pump(lane: Lane): void {
    for (;;) {
      const nowMs = performance.now();
      const dueMs = lane.dueInMs(nowMs);
      if (dueMs === null) {
        if (lane.idle) this.#forget(lane);
        return;
      }
      if (dueMs > 0) {
        lane.lingerTimer ??= setTimeout(() => {
          lane.lingerTimer = null;
          this.#pump(lane);
        }, dueMs);
        return;
      }
      void this.#dispatch(lane, lane.take(nowMs));
    }
  }

  #forget(lane: Lane): void {
    if (lane.lingerTimer !== null) clearTimeout(lane.lingerTimer);
    lane.lingerTimer = null;
    if (this.#lanes.get(lane.key) === lane) this.#lanes.delete(lane.key);
  }

  async #dispatch(lane: Lane, units: readonly SendUnit[]): Promise<void> {
    const messages =
      units.length === 1 ? units[0]!.messages : units.flatMap((unit) => unit.messages);
    const outcomes = await this.#dispatcher.send(lane.topic, messages);
    let at = 0;
    for (const unit of units) {
      this.#finish(unit, outcomes.slice(at, at + unit.messages.length), null);
      at += unit.messages.length;
    }
    lane.settled();
    this.#pump(lane);
  }

  #finish(unit: SendUnit, outcomes: readonly SendOutcome[] | null, refusal: MqError | null): void {
    this.#pendingMessages -= unit.messages.length;
    this.#pendingBytes -= unit.sizeBytes;
    const failure = refusal ?? outcomes?.find((outcome): outcome is MqError => 'code' in outcome);
    if (failure !== undefined) unit.reject(failure);
    else unit.resolve(outcomes as readonly SendReceipt[]);
    if (this.#pendingMessages > 0) return;
    for (const wake of this.#drained) wake();
    this.#drained = [];
  }
}

function sizeOf(messages: readonly OutgoingMessage[]): number {
  let size = 0;
  for (const message of messages) size += message.body.length + MESSAGE_OVERHEAD_BYTES;
  return size;
}
