import { errorText, type Logger, MqError } from '@raftmq/base';
import {
  clientType,
  decodeQueryAssignmentResponse,
  encodeQueryAssignmentRequest,
  queuePermission,
} from '@raftmq/protocol';
import { ClientCore } from '../client-core.js';
import { messagingPath } from '../messaging-rpc.js';
import { type ClientOptions } from '../options.js';
import { compileRoute } from '../route-cache.js';
import { backoffMs, defaultConsumerSettings, type Subscription } from '../settings.js';
import { callFailure, isOk, statusToError } from '../status-error.js';
import { AckBatcher, SETTLE_RETRY_MS } from './ack-batcher.js';
import { liteParent, LiteSubscriptions } from './lite-subscriptions.js';
import { MessageCache } from './message-cache.js';
import { type MessageView } from './message-view.js';
import { type AssignedQueue, QueuePoller } from './queue-poller.js';
import { Receipts } from './receipts.js';
import { compileSubscription, type SubscriptionsInput } from './subscription.js';
import { type WorkOutcome, WorkPool } from './work-pool.js';

/** Works on a message. Returning means done; a throw means that it has to be delivered again. */
export type MessageListener = (message: MessageView) => Promise<void> | void;

export interface PushConsumerOptions extends ClientOptions {
  readonly group: string;
  readonly subscriptions: SubscriptionsInput;
  readonly listener: MessageListener;
  /** Takes from lite topics of the one topic in `subscriptions`; see {@link PushConsumer.lite}. */
  readonly liteTopics?: boolean;
  /** Messages worked on at the same time. Default 20. */
  readonly concurrency?: number;
  /** Messages held, worked on and waiting. Default 1024. */
  readonly cacheMessagesMax?: number;
  /** Body bytes held. Default 64 MiB. */
  readonly cacheBytesMax?: number;
}

interface Held {
  readonly queue: AssignedQueue;
  readonly message: MessageView;
}

const ASSIGNMENT_SCAN_MS = 5_000;

/**
 * Brings messages to a listener as they come, and settles them with the server.
 *
 * A plain group is worked on concurrently; a failed message comes again after the pause that the server's policy says,
 * until the server moves it to the dead-letter queue. A group in order mode is worked on one message at a time per
 * queue and message group; a failed one is repeated here, before its successors, and moved to the dead-letter queue
 * when its attempts are used up. Start it once, close it once.
 */
export class PushConsumer {
  readonly #core: ClientCore;
  readonly #group: string;
  readonly #listener: MessageListener;
  readonly #subscriptions: readonly Subscription[];
  readonly #cacheMessagesMax: number;
  readonly #cache: MessageCache;
  readonly #pool: WorkPool<Held>;
  readonly #receipts: Receipts;
  readonly #acks: AckBatcher;
  readonly #logger: Logger;
  readonly #lite: LiteSubscriptions | null;
  readonly #pollers = new Map<string, QueuePoller>();
  readonly #polling = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | null = null;
  #unordered = 0;
  #state: 'new' | 'running' | 'draining' | 'closed' = 'new';

  /** @throws MqError CONFIG_INVALID for endpoints that cannot be read, ILLEGAL_CONSUMER_GROUP without a group */
  constructor(options: PushConsumerOptions) {
    if (options.group === '') throw new MqError('ILLEGAL_CONSUMER_GROUP', 'the group is empty');
    this.#group = options.group;
    this.#listener = options.listener;
    this.#subscriptions = Object.entries(options.subscriptions).map(([topic, filter]) =>
      compileSubscription(topic, filter),
    );
    const lite = options.liteTopics === true ? liteParent(options.subscriptions) : null;
    this.#core = new ClientCore(
      options,
      {
        clientType: lite === null ? clientType.PUSH_CONSUMER : clientType.LITE_PUSH_CONSUMER,
        group: options.group,
        topics: () => [],
        subscriptions: () => this.#subscriptions,
        longPollingMs: defaultConsumerSettings.longPollingMs,
      },
      defaultConsumerSettings,
    );
    this.#logger = this.#core.options.logger.child({ group: options.group });
    this.#cacheMessagesMax = options.cacheMessagesMax ?? 1024;
    this.#cache = new MessageCache(
      this.#cacheMessagesMax,
      options.cacheBytesMax ?? 64 * 1024 * 1024,
    );
    this.#pool = new WorkPool(options.concurrency ?? 20, (held) => this.#work(held));
    this.#receipts = new Receipts(this.#core, options.group);
    this.#lite = lite === null ? null : new LiteSubscriptions(this.#core, options.group, lite);
    this.#acks = new AckBatcher(this.#receipts, (message, failure) => {
      this.#logger.warn(
        { messageId: message.messageId, error: failure.message },
        'acknowledged too late, the message may come again',
      );
    });
  }

  /** Messages held now, worked on and waiting, together with the room that polls under way have taken. */
  get held(): number {
    return this.#cache.messages;
  }

  /** The lite topics it takes from. @throws MqError PRECONDITION_FAILED without the option `liteTopics` */
  get lite(): LiteSubscriptions {
    if (this.#lite !== null) return this.#lite;
    throw new MqError(
      'PRECONDITION_FAILED',
      'this consumer takes from whole topics; make it with the option liteTopics',
    );
  }

  /** @throws MqError TOPIC_NOT_FOUND, or what else a route query may end with */
  async start(): Promise<void> {
    await this.#core.start(this.#subscriptions.map(({ topic }) => topic));
    await this.#lite?.start();
    this.#state = 'running';
    await this.#scan();
    this.#timer = setInterval(() => void this.#scan(), ASSIGNMENT_SCAN_MS).unref();
  }

  /**
   * Receives nothing more, finishes what it holds (at most `drainMs`), says goodbye and closes the connections. What is
   * not finished is delivered again, to somebody else.
   */
  async close(drainMs = 30_000): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'draining';
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#lite?.stop();
    for (const poller of this.#pollers.values()) poller.stop();
    await Promise.all(this.#polling);
    const endsAt = performance.now() + drainMs;
    while (this.#cache.messages > 0 && performance.now() < endsAt) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        this.#cache.changed(),
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, endsAt - performance.now());
        }),
      ]);
      clearTimeout(timer);
    }
    this.#state = 'closed';
    this.#pool.stop();
    this.#acks.stop();
    await this.#core.stop();
  }

  async #scan(): Promise<void> {
    await Promise.all(
      this.#subscriptions.map(async (subscription) => {
        try {
          this.#assign(subscription, await this.#queryAssignment(subscription));
        } catch (error) {
          this.#logger.warn(
            { topic: subscription.topic, error: errorText(error) },
            'assignment not refreshed',
          );
        }
      }),
    );
  }

  async #queryAssignment(subscription: Subscription): Promise<readonly AssignedQueue[]> {
    const route = await this.#core.routes.get(subscription.topic);
    const addresses = route.readable[0]?.addresses ?? this.#core.accessAddresses;
    const request = encodeQueryAssignmentRequest({
      topic: this.#core.resource(subscription.topic),
      group: this.#core.resource(this.#group),
      endpoints: this.#core.endpoints,
    });
    const bytes = await this.#core.rpc.unary(addresses, messagingPath.queryAssignment, request);
    const { status, queues } = decodeQueryAssignmentResponse(bytes);
    if (!isOk(status)) throw statusToError(status);
    return queues
      .filter((queue) => queue.permission !== queuePermission.NONE)
      .flatMap((queue) => {
        const [broker] = compileRoute(subscription.topic, [queue]).readable;
        if (broker === undefined) return [];
        const key = `${subscription.topic} ${queue.brokerName} ${queue.queueId}`;
        return [{ key, broker, queueId: queue.queueId, subscription }];
      });
  }

  /** Starts polls of queues that are new, and of those whose broker moved; ends those that went away. */
  #assign(subscription: Subscription, queues: readonly AssignedQueue[]): void {
    if (this.#state !== 'running') return;
    const wanted = new Map(queues.map((queue) => [queue.key, queue]));
    for (const [key, poller] of this.#pollers) {
      if (poller.queue.subscription !== subscription) continue;
      const queue = wanted.get(key);
      const same =
        queue !== undefined &&
        queue.broker.addresses.join() === poller.queue.broker.addresses.join();
      if (same) {
        wanted.delete(key);
        continue;
      }
      poller.stop();
      this.#pollers.delete(key);
    }
    for (const [key, queue] of wanted) {
      const poller = new QueuePoller(
        queue,
        this.#core,
        this.#group,
        this.#cache,
        this.#logger,
        () => Math.max(1, Math.floor(this.#cacheMessagesMax / this.#pollers.size)),
        (from, messages) => this.#deliver(from, messages),
      );
      this.#pollers.set(key, poller);
      const polling = poller.run().finally(() => this.#polling.delete(polling));
      this.#polling.add(polling);
    }
  }

  #deliver(queue: AssignedQueue, messages: readonly MessageView[]): void {
    const { fifo } = this.#core.settings;
    for (const message of messages) {
      const lane = fifo
        ? `${queue.key}\n${message.queueId}\n${message.messageGroup ?? ''}`
        : `${this.#unordered++}`;
      this.#pool.push(lane, { queue, message });
    }
  }

  /** One attempt at one message. Never rejects. */
  async #work({ message }: Held): Promise<WorkOutcome> {
    const { settings } = this.#core;
    const done = message.corrupted ? false : await this.#listen(message);
    const sizeBytes = message.body.length;
    if (!settings.fifo) {
      const settling = done
        ? this.#acks.ack(message)
        : this.#untilSettled(message, () =>
            this.#receipts.changeInvisible(message, backoffMs(settings, message.deliveryAttempt)),
          );
      void settling.then(() => this.#cache.remove(sizeBytes));
      return 'done';
    }
    if (!done && !message.corrupted && message.deliveryAttempt < settings.maxAttempts) {
      const againInMs = backoffMs(settings, message.deliveryAttempt);
      message.deliveryAttempt++;
      return { againInMs };
    }
    if (done) await this.#acks.ack(message);
    else {
      await this.#untilSettled(message, () =>
        this.#receipts.deadLetter(message, settings.maxAttempts),
      );
    }
    this.#cache.remove(sizeBytes);
    return 'done';
  }

  async #listen(message: MessageView): Promise<boolean> {
    try {
      await this.#listener(message);
      return true;
    } catch (error) {
      this.#logger.warn(
        {
          messageId: message.messageId,
          attempt: message.deliveryAttempt,
          error: errorText(error),
        },
        'listener failed',
      );
      return false;
    }
  }

  /** Repeats `settle` every second until it succeeds, or the receipt is no longer valid, or the consumer is closed. */
  async #untilSettled(message: MessageView, settle: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await settle();
        return;
      } catch (error) {
        const failure = callFailure(error);
        this.#logger.warn({ messageId: message.messageId, error: failure.message }, 'not settled');
        if (failure.code === 'INVALID_RECEIPT_HANDLE' || this.#state === 'closed') return;
      }
      await new Promise((resolve) => setTimeout(resolve, SETTLE_RETRY_MS));
    }
  }
}
