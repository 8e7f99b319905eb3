import { randomUUID } from 'node:crypto';
import { errorText, type Logger, isMqError } from '@raftmq/base';
import { encodeReceiveMessageRequest, statusCode } from '@raftmq/protocol';
import { type ClientCore } from '../client-core.js';
import { type BrokerTarget } from '../route-cache.js';
import { type Subscription } from '../settings.js';
import { isOk, statusToError } from '../status-error.js';
import { type MessageCache } from './message-cache.js';
import { MessageView } from './message-view.js';

/** One queue that the server assigned to this consumer. */
export interface AssignedQueue {
  readonly key: string;
  readonly broker: BrokerTarget;
  readonly queueId: number;
  readonly subscription: Subscription;
}

const BUSY_PAUSE_MS = 50;
const ERROR_PAUSE_MS = 1_000;

/** Polls one assigned queue for as long as it is assigned, and hands over what comes. */
export class QueuePoller {
  readonly queue: AssignedQueue;
  readonly #core: ClientCore;
  readonly #group: string;
  readonly #cache: MessageCache;
  readonly #logger: Logger;
  readonly #share: () => number;
  readonly #deliver: (queue: AssignedQueue, messages: readonly MessageView[]) => void;
  readonly #stop = new AbortController();
  /** Kept until a poll brings messages: a server repeats the batch of an answer that got lost. */
  #attemptId: string = randomUUID();

  /** @param share how many messages one poll may ask for, so that polls that wait leave room for the others */
  constructor(
    queue: AssignedQueue,
    core: ClientCore,
    group: string,
    cache: MessageCache,
    logger: Logger,
    share: () => number,
    deliver: (queue: AssignedQueue, messages: readonly MessageView[]) => void,
  ) {
    this.queue = queue;
    this.#core = core;
    this.#group = group;
    this.#cache = cache;
    this.#logger = logger;
    this.#share = share;
    this.#deliver = deliver;
  }

  /** Polls until `stop`. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const { receiveBatchSize } = this.#core.settings;
      const batch = Math.min(this.#cache.room, receiveBatchSize, this.#share());
      if (batch === 0) {
        await this.#cache.changed();
        continue;
      }
      this.#cache.reserve(batch);
      let messages: readonly MessageView[] = [];
      let pauseMs = 0;
      try {
        messages = await this.#poll(batch);
      } catch (error) {
        pauseMs =
          isMqError(error) && error.code === 'TOO_MANY_REQUESTS' ? BUSY_PAUSE_MS : ERROR_PAUSE_MS;
        if (!this.#stop.signal.aborted) {
          this.#logger.warn({ queue: this.queue.key, error: errorText(error) }, 'poll failed');
          this.#core.routes.refresh(this.queue.subscription.topic);
        }
      }
      let bytes = 0;
      for (const message of messages) bytes += message.body.length;
      this.#cache.settle(batch, messages.length, bytes);
      if (messages.length > 0) {
        this.#attemptId = randomUUID();
        this.#deliver(this.queue, messages);
      }
      if (pauseMs > 0) await this.#pause(pauseMs);
    }
  }

  /** Ends the poll that waits; messages on their way here become visible again. */
  stop(): void {
    this.#stop.abort();
    this.#cache.wakeAll();
  }

  async #poll(batch: number): Promise<readonly MessageView[]> {
    const { broker, queueId, subscription } = this.queue;
    const pollMs = this.#core.settings.longPollingMs;
    const request = encodeReceiveMessageRequest({
      group: this.#core.resource(this.#group),
      topic: this.#core.resource(subscription.topic),
      brokerName: broker.name,
      queueId,
      filterType: subscription.filterType,
      filterExpression: subscription.expression,
      batchSize: batch,
      invisibleMs: null,
      autoRenew: true,
      longPollingMs: pollMs,
      attemptId: this.#attemptId,
    });
    const { addresses } = broker;
    const answer = await this.#core.rpc.receive(addresses, request, pollMs, this.#stop.signal);
    if (answer.status.code === statusCode.MESSAGE_NOT_FOUND) return [];
    if (!isOk(answer.status)) throw statusToError(answer.status);
    return answer.messages.map((message) => new MessageView(message, broker));
  }

  #pause(delayMs: number): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, delayMs);
      signal.addEventListener('abort', end, { once: true });
    });
  }
}
