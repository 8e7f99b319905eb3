import { errorText, type Logger } from '@raftmq/base';
import { type ClientCore } from '../client-core.js';
import { type Subscription } from '../settings.js';
import { type Deliver, type Feed } from './assigned-feed.js';
import { type MessageCache } from './message-cache.js';
import { type MessageView } from './message-view.js';
import { OffsetCalls, type OffsetPlace, type PullQueue, queueKey } from './offset-calls.js';
import { type ProgressStore } from './progress-store.js';

export interface BroadcastOptions {
  readonly core: ClientCore;
  readonly group: string;
  readonly subscriptions: readonly Subscription[];
  readonly cache: MessageCache;
  readonly cacheMessagesMax: number;
  readonly progress: ProgressStore;
  /** Where to begin in a topic without saved progress. */
  readonly consumeFrom: OffsetPlace;
  readonly logger: Logger;
  readonly deliver: Deliver;
}

const SCAN_MS = 5_000;
const SAVE_MS = 5_000;
const ERROR_PAUSE_MS = 1_000;

/**
 * Pulls all queues of the subscribed topics: every member of the group gets every message. How far it is, is kept here
 * and not on the server.
 */
export class BroadcastFeed implements Feed {
  readonly #options: BroadcastOptions;
  readonly #calls: OffsetCalls;
  readonly #queues = new Map<string, QueueFeed>();
  readonly #pulling = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #saved: ReadonlyMap<string, number> = new Map();
  /** Topics whose queues were seen before: a queue that is new now is read from its first message. */
  readonly #topicsSeen = new Set<string>();
  #timers: NodeJS.Timeout[] = [];

  constructor(options: BroadcastOptions) {
    this.#options = options;
    this.#calls = new OffsetCalls(options.core, options.group);
  }

  /** @throws MqError CONFIG_INVALID for progress that cannot be read */
  async start(): Promise<void> {
    this.#saved = await this.#options.progress.load();
    for (const { topic } of this.#options.subscriptions) {
      if ([...this.#saved.keys()].some((key) => key.startsWith(`${topic}/`)))
        this.#topicsSeen.add(topic);
    }
    await this.#scan();
    if (this.#stop.signal.aborted) return;
    this.#timers = [
      setInterval(() => void this.#scan(), SCAN_MS).unref(),
      setInterval(() => void this.#save(), SAVE_MS).unref(),
    ];
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.#options.cache.wakeAll();
    await Promise.all(this.#pulling);
  }

  close(): Promise<void> {
    return this.#save();
  }

  async #scan(): Promise<void> {
    await Promise.all(
      this.#options.subscriptions.map(async (subscription) => {
        const { topic } = subscription;
        try {
          const queues = await this.#calls.queues(topic);
          const place = this.#topicsSeen.has(topic) ? 'first' : this.#options.consumeFrom;
          await Promise.all(queues.map((queue) => this.#begin(queue, subscription, place)));
          this.#topicsSeen.add(topic);
        } catch (error) {
          this.#options.logger.warn({ topic, error: errorText(error) }, 'queues not refreshed');
        }
      }),
    );
  }

  /** Starts to pull a queue that is not pulled yet. */
  async #begin(queue: PullQueue, subscription: Subscription, place: OffsetPlace): Promise<void> {
    const key = queueKey(queue);
    if (this.#queues.has(key)) return;
    const offset = this.#saved.get(key) ?? (await this.#calls.query(queue, place));
    if (this.#queues.has(key) || this.#stop.signal.aborted) return;
    const feed = new QueueFeed(
      queue,
      subscription,
      offset,
      this.#options,
      this.#calls,
      this.#stop.signal,
      () => Math.max(1, Math.floor(this.#options.cacheMessagesMax / this.#queues.size)),
    );
    this.#queues.set(key, feed);
    const pulling = feed.run().finally(() => this.#pulling.delete(pulling));
    this.#pulling.add(pulling);
  }

  async #save(): Promise<void> {
    const offsets = new Map(this.#saved);
    let changed = false;
    for (const [key, { consumedOffset }] of this.#queues) {
      changed ||= offsets.get(key) !== consumedOffset;
      offsets.set(key, consumedOffset);
    }
    if (!changed) return;
    try {
      await this.#options.progress.save(offsets);
      this.#saved = offsets;
    } catch (error) {
      this.#options.logger.error({ error: errorText(error) }, 'progress not saved');
    }
  }
}

/** One queue of a broadcasting consumer. */
class QueueFeed {
  readonly #key: string;
  readonly #queue: PullQueue;
  readonly #subscription: Subscription;
  readonly #options: BroadcastOptions;
  readonly #calls: OffsetCalls;
  readonly #signal: AbortSignal;
  readonly #share: () => number;
  /** Delivered and not finished; ascending, as messages come in order. */
  readonly #open = new Set<number>();
  #nextOffset: number;

  constructor(
    queue: PullQueue,
    subscription: Subscription,
    offset: number,
    options: BroadcastOptions,
    calls: OffsetCalls,
    signal: AbortSignal,
    share: () => number,
  ) {
    this.#key = queueKey(queue);
    this.#queue = queue;
    this.#subscription = subscription;
    this.#nextOffset = offset;
    this.#options = options;
    this.#calls = calls;
    this.#signal = signal;
    this.#share = share;
  }

  /** Everything below is consumed. */
  get consumedOffset(): number {
    for (const offset of this.#open) return offset;
    return this.#nextOffset;
  }

  async run(): Promise<void> {
    const { core, cache, logger } = this.#options;
    while (!this.#signal.aborted) {
      const batch = Math.min(cache.room, core.settings.receiveBatchSize, this.#share());
      if (batch === 0) {
        await cache.changed();
        continue;
      }
      cache.reserve(batch);
      let messages: readonly MessageView[] = [];
      let failed = false;
      try {
        messages = await this.#pull(batch);
      } catch (error) {
        failed = true;
        if (!this.#signal.aborted)
          logger.warn({ queue: this.#key, error: errorText(error) }, 'pull failed');
      }
      let bytes = 0;
      for (const message of messages) bytes += message.body.length;
      cache.settle(batch, messages.length, bytes);
      if (messages.length > 0)
        this.#options.deliver(this.#key, messages, ({ queueOffset }) => {
          this.#open.delete(queueOffset);
        });
      if (failed) await pause(ERROR_PAUSE_MS, this.#signal);
    }
  }

  async #pull(batch: number): Promise<readonly MessageView[]> {
    const { core, logger } = this.#options;
    const { messages, nextOffset, misplaced } = await this.#calls.pull(
      this.#queue,
      this.#subscription,
      this.#nextOffset,
      batch,
      core.settings.longPollingMs,
      this.#signal,
    );
    if (misplaced !== null) {
      logger.warn(
        { queue: this.#key, offset: this.#nextOffset, nextOffset, misplaced },
        'the offset is not in the queue; going on at the nearest one',
      );
    }
    this.#nextOffset = nextOffset;
    for (const { queueOffset } of messages) this.#open.add(queueOffset);
    return messages;
  }
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
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
