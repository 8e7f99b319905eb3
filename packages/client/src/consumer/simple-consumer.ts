import { MqError } from '@raftmq/base';
import { clientType, encodeReceiveMessageRequest, statusCode } from '@raftmq/protocol';
import { ClientCore } from '../client-core.js';
import { type ClientOptions } from '../options.js';
import { type BrokerTarget } from '../route-cache.js';
import { defaultConsumerSettings, type Subscription } from '../settings.js';
import { isOk, statusToError } from '../status-error.js';
import { liteParent, LiteSubscriptions } from './lite-subscriptions.js';
import { MessageView } from './message-view.js';
import { Receipts } from './receipts.js';
import { compileSubscription, type FilterInput, type SubscriptionsInput } from './subscription.js';

export interface SimpleConsumerOptions extends ClientOptions {
  readonly group: string;
  readonly subscriptions: SubscriptionsInput;
  /** How long `receive` waits for a message when there is none. Default 20 s. */
  readonly awaitMs?: number;
  /** Takes from lite topics of the one topic in `subscriptions`; see {@link SimpleConsumer.lite}. */
  readonly liteTopics?: boolean;
}

/**
 * Receives when asked. The caller acknowledges each message within the invisible time that it chose, or the message is
 * delivered again. Start it once, close it once.
 */
export class SimpleConsumer {
  readonly #core: ClientCore;
  readonly #group: string;
  readonly #awaitMs: number;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #receipts: Receipts;
  readonly #closing = new AbortController();
  readonly #lite: LiteSubscriptions | null;
  #turn = 0;

  /** @throws MqError CONFIG_INVALID for endpoints that cannot be read, ILLEGAL_CONSUMER_GROUP without a group */
  constructor(options: SimpleConsumerOptions) {
    if (options.group === '') throw new MqError('ILLEGAL_CONSUMER_GROUP', 'the group is empty');
    this.#group = options.group;
    this.#awaitMs = options.awaitMs ?? 20_000;
    for (const [topic, filter] of Object.entries(options.subscriptions)) {
      this.#subscriptions.set(topic, compileSubscription(topic, filter));
    }
    const lite = options.liteTopics === true ? liteParent(options.subscriptions) : null;
    this.#core = new ClientCore(
      options,
      {
        clientType: lite === null ? clientType.SIMPLE_CONSUMER : clientType.LITE_SIMPLE_CONSUMER,
        group: options.group,
        topics: () => [],
        subscriptions: () => [...this.#subscriptions.values()],
        longPollingMs: this.#awaitMs,
      },
      defaultConsumerSettings,
    );
    this.#receipts = new Receipts(this.#core, options.group);
    this.#lite = lite === null ? null : new LiteSubscriptions(this.#core, options.group, lite);
  }

  /** @throws MqError TOPIC_NOT_FOUND, or what else a route query may end with */
  async start(): Promise<void> {
    await this.#core.start([...this.#subscriptions.keys()]);
    await this.#lite?.start();
  }

  /** The lite topics it takes from. @throws MqError PRECONDITION_FAILED without the option `liteTopics` */
  get lite(): LiteSubscriptions {
    if (this.#lite !== null) return this.#lite;
    throw new MqError(
      'PRECONDITION_FAILED',
      'this consumer takes from whole topics; make it with the option liteTopics',
    );
  }

  /** Adds or changes a subscription. @throws MqError TOPIC_NOT_FOUND and others: the subscription is not taken then */
  async subscribe(topic: string, filter: FilterInput = '*'): Promise<void> {
    this.#core.checkRunning();
    const subscription = compileSubscription(topic, filter);
    await this.#core.routes.get(topic);
    this.#subscriptions.set(topic, subscription);
    this.#core.syncSettings();
  }

  unsubscribe(topic: string): void {
    this.#subscriptions.delete(topic);
    this.#core.syncSettings();
  }

  /**
   * Asks one broker of one subscribed topic, the next one at each call.
   * @param messagesMax at most 32 come, whatever is asked for
   * @param invisibleMs how long the messages are this consumer's; 10 s to 12 h
   * @param awaitMs how long the server may wait for messages; default as in the options
   * @returns [] when none came in time
   * @throws MqError by the server's code; HA_NOT_AVAILABLE when nobody could be reached
   */
  async receive(
    messagesMax: number,
    invisibleMs: number,
    awaitMs = this.#awaitMs,
  ): Promise<readonly MessageView[]> {
    this.#core.checkRunning();
    const turn = this.#turn++;
    const subscription = this.#pickSubscription(turn);
    const route = await this.#core.routes.get(subscription.topic);
    const { readable } = route;
    if (readable.length === 0) {
      this.#core.routes.refresh(route.topic);
      throw new MqError('FORBIDDEN', `the topic ${route.topic} has no queue that may be read`);
    }
    const broker = readable[Math.floor(turn / this.#subscriptions.size) % readable.length]!;
    return this.#receiveFrom(broker, subscription, messagesMax, invisibleMs, awaitMs);
  }

  async #receiveFrom(
    broker: BrokerTarget,
    subscription: Subscription,
    messagesMax: number,
    invisibleMs: number,
    awaitMs: number,
  ): Promise<readonly MessageView[]> {
    const request = encodeReceiveMessageRequest({
      group: this.#core.resource(this.#group),
      topic: this.#core.resource(subscription.topic),
      brokerName: broker.name,
      queueId: broker.queueId,
      filterType: subscription.filterType,
      filterExpression: subscription.expression,
      batchSize: messagesMax,
      invisibleMs,
      autoRenew: false,
      longPollingMs: awaitMs,
      attemptId: null,
    });
    const { status, messages } = await this.#core.rpc
      .receive(broker.addresses, request, awaitMs, this.#closing.signal)
      .catch((error: unknown) => {
        this.#core.routes.refresh(subscription.topic);
        throw error;
      });
    if (status.code === statusCode.MESSAGE_NOT_FOUND) return [];
    if (!isOk(status)) throw statusToError(status);
    return messages.map((message) => new MessageView(message, broker));
  }

  #pickSubscription(turn: number): Subscription {
    const all = [...this.#subscriptions.values()];
    if (all.length === 0) {
      throw new MqError('PRECONDITION_FAILED', 'nothing is subscribed; call subscribe first');
    }
    return all[turn % all.length]!;
  }

  /**
   * The message is done and not delivered again.
   * @throws MqError INVALID_RECEIPT_HANDLE when this delivery is over: it may have been delivered again
   */
  async ack(message: MessageView): Promise<void> {
    const [failure] = await this.ackAll([message]);
    if (failure !== null && failure !== undefined) throw failure;
  }

  /** As `ack`, many in few calls. @returns one outcome per message, in order: null = acknowledged */
  ackAll(messages: readonly MessageView[]): Promise<readonly (MqError | null)[]> {
    this.#core.checkRunning();
    return this.#receipts.ack(messages);
  }

  /**
   * The message is delivered again `invisibleMs` from now, unless it is acknowledged before.
   * @throws MqError INVALID_RECEIPT_HANDLE when this delivery is over
   */
  async changeInvisible(message: MessageView, invisibleMs: number): Promise<void> {
    this.#core.checkRunning();
    await this.#receipts.changeInvisible(message, invisibleMs);
  }

  /** Ends polls that wait, says goodbye and closes the connections. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#lite?.stop();
    await this.#core.stop();
  }
}
