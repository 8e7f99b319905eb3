import { errorText, type Logger } from '@raftmq/base';
import {
  decodeQueryAssignmentResponse,
  encodeQueryAssignmentRequest,
  queuePermission,
} from '@raftmq/protocol';
import { type ClientCore } from '../client-core.js';
import { messagingPath } from '../messaging-rpc.js';
import { compileRoute } from '../route-cache.js';
import { type Subscription } from '../settings.js';
import { isOk, statusToError } from '../status-error.js';
import { type MessageCache } from './message-cache.js';
import { type MessageView } from './message-view.js';
import { type AssignedQueue, QueuePoller } from './queue-poller.js';

/** Where a push consumer's messages come from. */
export interface Feed {
  start(): Promise<void>;
  /** Brings nothing more once this resolves. */
  stop(): Promise<void>;
  /** The last call: everything that was worked on is settled. */
  close(): Promise<void>;
}

/** Takes what came of one queue, in its order. `finished` is told of each message that was worked on; null = nobody is. */
export type Deliver = (
  queueKey: string,
  messages: readonly MessageView[],
  finished: ((message: MessageView) => void) | null,
) => void;

const ASSIGNMENT_SCAN_MS = 5_000;

/** Polls the queues that the server assigns: each message goes to one member of the group. */
export class AssignedFeed implements Feed {
  readonly #core: ClientCore;
  readonly #group: string;
  readonly #subscriptions: readonly Subscription[];
  readonly #cache: MessageCache;
  readonly #cacheMessagesMax: number;
  readonly #logger: Logger;
  readonly #deliver: Deliver;
  readonly #pollers = new Map<string, QueuePoller>();
  readonly #polling = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | null = null;
  #running = false;

  constructor(
    core: ClientCore,
    group: string,
    subscriptions: readonly Subscription[],
    cache: MessageCache,
    cacheMessagesMax: number,
    logger: Logger,
    deliver: Deliver,
  ) {
    this.#core = core;
    this.#group = group;
    this.#subscriptions = subscriptions;
    this.#cache = cache;
    this.#cacheMessagesMax = cacheMessagesMax;
    this.#logger = logger;
    this.#deliver = deliver;
  }

  async start(): Promise<void> {
    this.#running = true;
    await this.#scan();
    if (this.#running)
      this.#timer = setInterval(() => void this.#scan(), ASSIGNMENT_SCAN_MS).unref();
  }

  async stop(): Promise<void> {
    this.#running = false;
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const poller of this.#pollers.values()) poller.stop();
    await Promise.all(this.#polling);
  }

  close(): Promise<void> {
    return Promise.resolve();
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
    if (!this.#running) return;
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
        (from, messages) => this.#deliver(from.key, messages, null),
      );
      this.#pollers.set(key, poller);
      const polling = poller.run().finally(() => this.#polling.delete(polling));
      this.#polling.add(polling);
    }
  }
}
