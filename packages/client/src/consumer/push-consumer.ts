import { errorText, type Logger, MqError } from '@raftmq/base';
import { clientType } from '@raftmq/protocol';
import { ClientCore } from '../client-core.js';
import { type ClientOptions } from '../options.js';
import { backoffMs, defaultConsumerSettings, type Subscription } from '../settings.js';
import { callFailure } from '../status-error.js';
import { AckBatcher, SETTLE_RETRY_MS } from './ack-batcher.js';
import { AssignedFeed, type Feed } from './assigned-feed.js';
import { BroadcastFeed } from './broadcast-feed.js';
import { liteParent, LiteSubscriptions } from './lite-subscriptions.js';
import { MessageCache } from './message-cache.js';
import { type MessageView } from './message-view.js';
import { type OffsetPlace } from './offset-calls.js';
import { FileProgress, MemoryProgress } from './progress-store.js';
import { Receipts } from './receipts.js';
import { compileSubscription, type SubscriptionsInput } from './subscription.js';
import { type WorkOutcome, WorkPool } from './work-pool.js';

/**
 * Works on a message. Returning means done; a throw means that it has to be delivered again, and a throw of
 * {@link RejectedMessage} that it must not be.
 */
export type MessageListener = (message: MessageView) => Promise<void> | void;

/** Works on several messages at once, which succeed or fail together. */
export type MessageBatchListener = (messages: readonly MessageView[]) => Promise<void> | void;

/** Thrown by a listener: trying again is of no use, the message goes to the dead-letter queue now. */
export class RejectedMessage extends Error {
  override readonly name = 'RejectedMessage';

  /** @param reason for those who read the dead letter; at most 512 characters are kept */
  constructor(reason: string) {
    super(reason);
  }
}

export interface PushConsumerOptions extends ClientOptions {
  readonly group: string;
  readonly subscriptions: SubscriptionsInput;
  /** This, or `batchListener`. */
  readonly listener?: MessageListener;
  readonly batchListener?: MessageBatchListener;
  /** Messages that a batch listener gets at once, at most: what one poll brought is not waited for. Default 32. */
  readonly batchSizeMax?: number;
  /**
   * `clustering`, the default: each message goes to one member of the group. `broadcasting`: every member gets all
   * messages; how far it is, is its own affair, and a message that fails is logged and not tried again.
   */
  readonly messageModel?: 'clustering' | 'broadcasting';
  /** Broadcasting: the file that keeps how far this member is. Left out: it begins anew with each start. */
  readonly progressFile?: string;
  /** Broadcasting: where to begin in a topic without saved progress. Default `last`. */
  readonly consumeFrom?: OffsetPlace;
  /** Takes from lite topics of the one topic in `subscriptions`; see {@link PushConsumer.lite}. */
  readonly liteTopics?: boolean;
  /** Messages, or batches, worked on at the same time. Default 20. */
  readonly concurrency?: number;
  /** Messages held, worked on and waiting. Default 1024. */
  readonly cacheMessagesMax?: number;
  /** Body bytes held. Default 64 MiB. */
  readonly cacheBytesMax?: number;
}

/** Messages that are worked on together: one, unless there is a batch listener. */
interface Held {
  readonly messages: readonly MessageView[];
  /** Broadcasting: told of each message that was worked on. */
  readonly finished: ((message: MessageView) => void) | null;
}

/** Messages given back at a time when the consumer closes. */
const GIVE_BACK_PARALLEL = 64;

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
  readonly #listener: MessageBatchListener;
  readonly #batchSizeMax: number;
  readonly #subscriptions: readonly Subscription[];
  readonly #cache: MessageCache;
  readonly #pool: WorkPool<Held>;
  readonly #receipts: Receipts;
  readonly #acks: AckBatcher;
  readonly #feed: Feed;
  readonly #logger: Logger;
  readonly #lite: LiteSubscriptions | null;
  #unordered = 0;
  #state: 'new' | 'running' | 'draining' | 'closed' = 'new';

  /** @throws MqError CONFIG_INVALID for options that do not go together, ILLEGAL_CONSUMER_GROUP without a group */
  constructor(options: PushConsumerOptions) {
    if (options.group === '') throw new MqError('ILLEGAL_CONSUMER_GROUP', 'the group is empty');
    this.#listener = listenerOf(options);
    this.#batchSizeMax = options.batchListener === undefined ? 1 : (options.batchSizeMax ?? 32);
    this.#subscriptions = Object.entries(options.subscriptions).map(([topic, filter]) =>
      compileSubscription(topic, filter),
    );
    const lite = options.liteTopics === true ? liteParent(options.subscriptions) : null;
    const broadcasting = options.messageModel === 'broadcasting';
    if (broadcasting && lite !== null)
      throw new MqError('CONFIG_INVALID', 'lite topics cannot be consumed by broadcasting');
    this.#core = new ClientCore(
      options,
      {
        clientType: clientTypeOf(broadcasting, lite !== null),
        group: options.group,
        topics: () => [],
        subscriptions: () => this.#subscriptions,
        longPollingMs: defaultConsumerSettings.longPollingMs,
      },
      defaultConsumerSettings,
    );
    this.#logger = this.#core.options.logger.child({ group: options.group });
    const cacheMessagesMax = options.cacheMessagesMax ?? 1024;
    this.#cache = new MessageCache(cacheMessagesMax, options.cacheBytesMax ?? 64 * 1024 * 1024);
    this.#pool = new WorkPool(options.concurrency ?? 20, (held) => this.#work(held));
    this.#receipts = new Receipts(this.#core, options.group);
    this.#lite = lite === null ? null : new LiteSubscriptions(this.#core, options.group, lite);
    this.#acks = new AckBatcher(this.#receipts, (message, failure) => {
      this.#logger.warn(
        { messageId: message.messageId, error: failure.message },
        'acknowledged too late, the message may come again',
      );
    });
    this.#feed = broadcasting
      ? this.#broadcastFeed(options, cacheMessagesMax)
      : new AssignedFeed(
          this.#core,
          options.group,
          this.#subscriptions,
          this.#cache,
          cacheMessagesMax,
          this.#logger,
          (...delivery) => this.#deliver(...delivery),
        );
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

  /** @throws MqError TOPIC_NOT_FOUND, or what else a route query may end with; CONFIG_INVALID for a wrong progress file */
  async start(): Promise<void> {
    await this.#core.start(this.#subscriptions.map(({ topic }) => topic));
    try {
      await this.#lite?.start();
      this.#state = 'running';
      await this.#feed.start();
    } catch (error) {
      await this.close(0);
      throw error;
    }
  }

  /**
   * Receives nothing more, lets listeners finish what they work on (at most `drainMs`) and acknowledges it, gives back at
   * once what they have not begun, says goodbye and closes the connections. What listeners do not finish in time is
   * delivered again, to somebody else.
   */
  async close(drainMs = 30_000): Promise<void> {
    if (this.#state === 'closed' || this.#state === 'draining') return;
    this.#state = 'draining';
    this.#lite?.stop();
    const endsAt = performance.now() + drainMs;
    await this.#feed.stop();
    const left = this.#pool.stop();
    await before(this.#giveBack(left.flatMap(({ messages }) => messages)), endsAt);
    while (this.#cache.messages > 0 && performance.now() < endsAt) {
      await before(this.#cache.changed(), endsAt);
    }
    this.#state = 'closed';
    await this.#feed.close();
    this.#acks.stop();
    await this.#core.stop();
  }

  #broadcastFeed(options: PushConsumerOptions, cacheMessagesMax: number): BroadcastFeed {
    const { group, progressFile } = options;
    return new BroadcastFeed({
      core: this.#core,
      group,
      subscriptions: this.#subscriptions,
      cache: this.#cache,
      cacheMessagesMax,
      progress:
        progressFile === undefined ? new MemoryProgress() : new FileProgress(progressFile, group),
      consumeFrom: options.consumeFrom ?? 'last',
      logger: this.#logger,
      deliver: (...delivery) => this.#deliver(...delivery),
    });
  }

  #deliver(
    queueKey: string,
    messages: readonly MessageView[],
    finished: ((message: MessageView) => void) | null,
  ): void {
    if (this.#state !== 'running') {
      void this.#giveBack(messages);
      return;
    }
    const { fifo } = this.#core.settings;
    const max = this.#batchSizeMax;
    if (!fifo) {
      for (let at = 0; at < messages.length; at += max) {
        const held = { messages: messages.slice(at, at + max), finished };
        this.#pool.push(`${this.#unordered++}`, held);
      }
      return;
    }
    const lanes = new Map<string, MessageView[]>();
    for (const message of messages) {
      const lane = `${queueKey}\n${message.queueId}\n${message.messageGroup ?? ''}`;
      let batch = lanes.get(lane);
      if (batch === undefined) lanes.set(lane, (batch = []));
      batch.push(message);
      if (batch.length < max) continue;
      this.#pool.push(lane, { messages: batch, finished });
      lanes.delete(lane);
    }
    for (const [lane, batch] of lanes) this.#pool.push(lane, { messages: batch, finished });
  }

  /** One attempt at some messages. Never rejects. */
  async #work(held: Held): Promise<WorkOutcome> {
    const { settings } = this.#core;
    const sound = held.messages.filter((message) => !message.corrupted);
    const outcome = sound.length === 0 ? 'failed' : await this.#listen(sound);
    if (held.finished !== null) {
      for (const message of held.messages) {
        held.finished(message);
        this.#cache.remove(message.body.length);
      }
      return 'done';
    }
    if (!settings.fifo) {
      for (const message of held.messages) {
        void this.#settle(message, outcome).then(() => this.#cache.remove(message.body.length));
      }
      return 'done';
    }
    const attempt = Math.max(...held.messages.map(({ deliveryAttempt }) => deliveryAttempt));
    if (outcome === 'failed' && sound.length > 0 && attempt < settings.maxAttempts) {
      if (this.#state !== 'running') {
        await this.#giveBack(held.messages);
        return 'done';
      }
      for (const message of held.messages) message.deliveryAttempt++;
      return { againInMs: backoffMs(settings, attempt) };
    }
    for (const message of held.messages) {
      await this.#settleInOrder(message, outcome);
      this.#cache.remove(message.body.length);
    }
    return 'done';
  }

  /** Tells the server of a plain group what became of a message. */
  #settle(message: MessageView, outcome: WorkResult): Promise<void> {
    if (outcome === 'done' && !message.corrupted) return this.#acks.ack(message);
    if (typeof outcome === 'object' && !message.corrupted)
      return this.#untilSettled(message, () =>
        this.#receipts.deadLetter(message, 0, outcome.reason),
      );
    const pauseMs = backoffMs(this.#core.settings, message.deliveryAttempt);
    return this.#untilSettled(message, () => this.#receipts.changeInvisible(message, pauseMs));
  }

  /** Tells the server of a group in order mode what became of a message for good. */
  #settleInOrder(message: MessageView, outcome: WorkResult): Promise<void> {
    if (outcome === 'done' && !message.corrupted) return this.#acks.ack(message);
    const reason = typeof outcome === 'object' ? outcome.reason : '';
    const { maxAttempts } = this.#core.settings;
    return this.#untilSettled(message, () =>
      this.#receipts.deadLetter(message, reason === '' ? maxAttempts : 0, reason),
    );
  }

  async #listen(messages: readonly MessageView[]): Promise<WorkResult> {
    try {
      await this.#listener(messages);
      return 'done';
    } catch (error) {
      const [{ messageId, deliveryAttempt: attempt }] = messages as [MessageView];
      this.#logger.warn(
        { messageId, count: messages.length, attempt, error: errorText(error) },
        'listener failed',
      );
      const rejected = (error as { readonly name?: unknown } | null)?.name === 'RejectedMessage';
      return rejected ? { reason: errorText(error) } : 'failed';
    }
  }

  /** Somebody else gets these now, and the delivery to this consumer does not count as an attempt. */
  async #giveBack(messages: readonly MessageView[]): Promise<void> {
    for (let at = 0; at < messages.length; at += GIVE_BACK_PARALLEL) {
      await Promise.all(
        messages.slice(at, at + GIVE_BACK_PARALLEL).map(async (message) => {
          try {
            // A message that was pulled is nobody's.
            if (message.receiptHandle !== '')
              await this.#receipts.changeInvisible(message, 0, true);
          } catch (error) {
            this.#logger.warn(
              { messageId: message.messageId, error: errorText(error) },
              'not given back; it becomes visible soon after the goodbye',
            );
          }
          this.#cache.remove(message.body.length);
        }),
      );
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

/** How the listener ended; an object = it rejected the messages. */
type WorkResult = 'done' | 'failed' | { readonly reason: string };

function listenerOf({ listener, batchListener }: PushConsumerOptions): MessageBatchListener {
  if (batchListener !== undefined && listener === undefined) return batchListener;
  if (listener !== undefined && batchListener === undefined)
    return (messages) => listener(messages[0]!);
  throw new MqError('CONFIG_INVALID', 'give a listener or a batchListener, and not both');
}

function clientTypeOf(broadcasting: boolean, lite: boolean): number {
  if (broadcasting) return clientType.PULL_CONSUMER;
  return lite ? clientType.LITE_PUSH_CONSUMER : clientType.PUSH_CONSUMER;
}

/** Waits for the promise until a time on the monotonic clock. */
async function before(promise: Promise<void>, endsAtMs: number): Promise<void> {
  const leftMs = endsAtMs - performance.now();
  if (leftMs <= 0) return;
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    promise,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, leftMs);
    }),
  ]);
  clearTimeout(timer);
}
