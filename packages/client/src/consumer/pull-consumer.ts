import { errorText, isMqError, type Logger, MqError } from '@raftmq/base';
import { clientType } from '@raftmq/protocol';
import { ClientCore } from '../client-core.js';
import { type ClientOptions } from '../options.js';
import { defaultConsumerSettings, type Subscription } from '../settings.js';
import { type MessageView } from './message-view.js';
import {
  OffsetCalls,
  type OffsetPlace,
  type PulledMessages,
  type PullQueue,
  queueKey,
} from './offset-calls.js';
import { compileSubscription, type FilterInput } from './subscription.js';

export interface PullConsumerOptions extends ClientOptions {
  readonly group: string;
  /** Where to begin in a queue in which the group has no offset. Default: its first message. */
  readonly consumeFrom?: OffsetPlace;
  /** Commits what `poll` returned when the next `poll` is called, and on `close`. Default false. */
  readonly autoCommit?: boolean;
  /** Messages of one pull. Default 32, at most 1024. */
  readonly batchSize?: number;
  /** Body bytes fetched ahead of `poll`. Default 64 MiB. */
  readonly prefetchBytesMax?: number;
}

/** An assigned queue: what was fetched for it, and how far the user is. */
interface Assigned {
  readonly queue: PullQueue;
  readonly subscription: Subscription;
  /** Offset of the next message that `poll` returns; -1 until it is known. */
  position: number;
  /** Where the next pull goes on. */
  fetchFrom: number;
  /** Fetched and not returned yet. */
  buffer: MessageView[];
  committed: number;
  /** The pull under way. */
  fetching: AbortController | null;
  failure: MqError | null;
  /** No pull before this time, on the monotonic clock. */
  pauseUntilMs: number;
}

const LONG_POLL_MS = 20_000;
const ERROR_PAUSE_MS = 1_000;
const BUSY_PAUSE_MS = 50;

/**
 * Reads queues that its user assigns, from offsets that its user decides on, and commits when its user says so. Nothing is
 * leased and nothing is balanced: two consumers with the same queue both get its messages. `start` once, `close` once;
 * one `poll` at a time.
 */
export class PullConsumer {
  readonly #core: ClientCore;
  readonly #calls: OffsetCalls;
  readonly #logger: Logger;
  readonly #consumeFrom: OffsetPlace;
  readonly #autoCommit: boolean;
  readonly #batchSize: number;
  readonly #prefetchBytesMax: number;
  readonly #assigned = new Map<string, Assigned>();
  #bufferedBytes = 0;
  #turn = 0;
  #wake: () => void = () => undefined;

  /** @throws MqError CONFIG_INVALID for endpoints that cannot be read, ILLEGAL_CONSUMER_GROUP without a group */
  constructor(options: PullConsumerOptions) {
    if (options.group === '') throw new MqError('ILLEGAL_CONSUMER_GROUP', 'the group is empty');
    this.#consumeFrom = options.consumeFrom ?? 'first';
    this.#autoCommit = options.autoCommit ?? false;
    this.#batchSize = options.batchSize ?? 32;
    this.#prefetchBytesMax = options.prefetchBytesMax ?? 64 * 1024 * 1024;
    this.#core = new ClientCore(
      options,
      {
        clientType: clientType.PULL_CONSUMER,
        group: options.group,
        topics: () => [],
        subscriptions: () => this.#subscriptions(),
        longPollingMs: LONG_POLL_MS,
      },
      defaultConsumerSettings,
    );
    this.#calls = new OffsetCalls(this.#core, options.group);
    this.#logger = this.#core.options.logger.child({ group: options.group });
  }

  /** @throws MqError PRECONDITION_FAILED when it was started before */
  start(): Promise<void> {
    return this.#core.start([]);
  }

  /** All queues of a topic, in a stable order. @throws MqError TOPIC_NOT_FOUND */
  queues(topic: string): Promise<readonly PullQueue[]> {
    this.#core.checkRunning();
    return this.#calls.queues(topic);
  }

  /**
   * Reads exactly these queues from now on; those that were assigned before keep their positions. It begins where the
   * group has committed, else where `consumeFrom` says.
   * @param filter which messages of them; queues whose filter changes begin anew at their position
   */
  assign(queues: readonly PullQueue[], filter: FilterInput = '*'): void {
    this.#core.checkRunning();
    const wanted = new Map(queues.map((queue) => [queueKey(queue), queue]));
    for (const [key, assigned] of this.#assigned) {
      if (wanted.has(key)) continue;
      this.#forgetFetched(assigned);
      this.#assigned.delete(key);
    }
    for (const [key, queue] of wanted) {
      const subscription = compileSubscription(queue.topic, filter);
      const known = this.#assigned.get(key);
      const same = known?.subscription;
      if (
        same?.filterType === subscription.filterType &&
        same.expression === subscription.expression
      ) {
        continue;
      }
      if (known !== undefined) this.#forgetFetched(known);
      this.#assigned.set(key, newAssigned(queue, subscription, known));
    }
    this.#core.syncSettings();
    this.#wake();
  }

  /** The queues that are read. */
  get assignment(): readonly PullQueue[] {
    return [...this.#assigned.values()].map(({ queue }) => queue);
  }

  /** The next `poll` returns messages from this offset on. @throws MqError PRECONDITION_FAILED for a queue not assigned */
  seek(queue: PullQueue, offset: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0)
      throw new MqError('ILLEGAL_OFFSET', `${offset} is no offset; offsets count from 0`);
    const assigned = this.#known(queue);
    this.#forgetFetched(assigned);
    assigned.position = offset;
    assigned.fetchFrom = offset;
    this.#wake();
  }

  /** Seeks to the first message kept, behind the last one, or to the first one stored at or after a time. */
  async seekTo(queue: PullQueue, place: OffsetPlace): Promise<void> {
    this.#known(queue);
    this.seek(queue, await this.#calls.query(queue, place));
  }

  /** Offset of the next message that `poll` returns of this queue. */
  async position(queue: PullQueue): Promise<number> {
    const assigned = this.#known(queue);
    if (assigned.position < 0) await this.#locate(assigned);
    return assigned.position;
  }

  /**
   * The next messages of the assigned queues, in order within each.
   * @param messagesMax at most so many
   * @returns [] when there is none in time, or nothing is assigned
   * @throws MqError of a queue that could not be read; the others go on, and so does this one with the next call
   */
  async poll(timeoutMs: number, messagesMax = 1_024): Promise<readonly MessageView[]> {
    this.#core.checkRunning();
    if (this.#autoCommit) await this.commit();
    const endsAtMs = performance.now() + timeoutMs;
    for (;;) {
      const failed = [...this.#assigned.values()].find(({ failure }) => failure !== null);
      const messages = this.#take(messagesMax);
      if (messages.length > 0) {
        this.#fetchAll();
        return messages;
      }
      if (failed !== undefined) {
        const { failure } = failed;
        failed.failure = null;
        throw failure!;
      }
      const leftMs = endsAtMs - performance.now();
      if (leftMs <= 0 || !this.#core.running) return [];
      const changed = new Promise<void>((resolve) => (this.#wake = resolve));
      const pausedMs = this.#fetchAll();
      await before(changed, Math.min(leftMs, pausedMs));
    }
  }

  /**
   * Commits how far `poll` has come, of these queues or all: what it returned counts as consumed by the group.
   * @throws MqError of the first queue that could not be committed, after all were tried
   */
  async commit(queues: readonly PullQueue[] = this.assignment): Promise<void> {
    this.#core.checkRunning();
    const outcomes = await Promise.allSettled(
      queues.map(async (queue) => {
        const assigned = this.#known(queue);
        const { position } = assigned;
        if (position < 0 || position === assigned.committed) return;
        await this.#calls.update(queue, position);
        assigned.committed = position;
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** The group's committed offset; null when it has none. */
  committed(queue: PullQueue): Promise<number | null> {
    this.#core.checkRunning();
    return this.#calls.committed(queue);
  }

  /** The offset of the first message of each queue stored at or after its time; the queue's end when there is none. */
  async offsetsForTimes(
    times: ReadonlyMap<PullQueue, number>,
  ): Promise<ReadonlyMap<PullQueue, number>> {
    this.#core.checkRunning();
    const found = await Promise.all(
      [...times].map(
        async ([queue, timestampMs]) =>
          [queue, await this.#calls.query(queue, { timestampMs })] as const,
      ),
    );
    return new Map(found);
  }

  /** The first offset kept, or the one that the next message gets. */
  offsetOf(queue: PullQueue, place: OffsetPlace): Promise<number> {
    this.#core.checkRunning();
    return this.#calls.query(queue, place);
  }

  /** Ends pulls that wait, commits when that is automatic, says goodbye and closes the connections. */
  async close(): Promise<void> {
    for (const assigned of this.#assigned.values()) this.#forgetFetched(assigned);
    if (this.#autoCommit && this.#core.running) {
      await this.commit().catch((error: unknown) => {
        this.#logger.warn({ error: errorText(error) }, 'the last offsets were not committed');
      });
    }
    await this.#core.stop();
    this.#wake();
  }

  #subscriptions(): readonly Subscription[] {
    return [
      ...new Map(
        [...this.#assigned.values()].map(({ subscription }) => [subscription.topic, subscription]),
      ).values(),
    ];
  }

  #known(queue: PullQueue): Assigned {
    this.#core.checkRunning();
    const assigned = this.#assigned.get(queueKey(queue));
    if (assigned !== undefined) return assigned;
    throw new MqError('PRECONDITION_FAILED', `queue ${queueKey(queue)} is not assigned`);
  }

  /** Takes from each queue in turn; the next call begins with another one. */
  #take(messagesMax: number): MessageView[] {
    const all = [...this.#assigned.values()];
    const taken: MessageView[] = [];
    const first = this.#turn++;
    for (let i = 0; i < all.length && taken.length < messagesMax; i++) {
      const assigned = all[(first + i) % all.length]!;
      const part = assigned.buffer.splice(0, messagesMax - taken.length);
      for (const message of part) {
        this.#bufferedBytes -= message.body.length;
        taken.push(message);
      }
      // Messages that the filter passed over count once all before them are returned.
      if (part.length > 0)
        assigned.position =
          assigned.buffer.length > 0 ? assigned.buffer[0]!.queueOffset : assigned.fetchFrom;
    }
    return taken;
  }

  /** Starts a pull for each queue that has nothing. @returns how long the first paused one has to wait */
  #fetchAll(): number {
    let pausedMs = Infinity;
    const nowMs = performance.now();
    for (const assigned of this.#assigned.values()) {
      if (assigned.fetching !== null || assigned.buffer.length > 0) continue;
      if (this.#bufferedBytes >= this.#prefetchBytesMax) break;
      if (assigned.pauseUntilMs > nowMs)
        pausedMs = Math.min(pausedMs, assigned.pauseUntilMs - nowMs);
      else void this.#fetch(assigned);
    }
    return pausedMs;
  }

  async #fetch(assigned: Assigned): Promise<void> {
    const controller = new AbortController();
    assigned.fetching = controller;
    try {
      if (assigned.position < 0) await this.#locate(assigned);
      if (controller.signal.aborted) return;
      const pulled = await this.#calls.pull(
        assigned.queue,
        assigned.subscription,
        assigned.fetchFrom,
        this.#batchSize,
        LONG_POLL_MS,
        controller.signal,
      );
      if (!controller.signal.aborted) this.#fetched(assigned, pulled);
    } catch (error) {
      if (controller.signal.aborted) return;
      assigned.failure = isMqError(error)
        ? error
        : new MqError('INTERNAL_ERROR', errorText(error), { cause: error });
      const busy = isMqError(error) && error.code === 'TOO_MANY_REQUESTS';
      assigned.pauseUntilMs = performance.now() + (busy ? BUSY_PAUSE_MS : ERROR_PAUSE_MS);
    } finally {
      if (assigned.fetching === controller) assigned.fetching = null;
      this.#wake();
    }
  }

  #fetched(assigned: Assigned, { messages, nextOffset, misplaced }: PulledMessages): void {
    if (misplaced !== null) {
      this.#logger.warn(
        { queue: queueKey(assigned.queue), offset: assigned.fetchFrom, nextOffset, misplaced },
        'the offset is not in the queue; going on at the nearest one',
      );
    }
    assigned.fetchFrom = nextOffset;
    assigned.buffer.push(...messages);
    for (const message of messages) this.#bufferedBytes += message.body.length;
    if (assigned.buffer.length === 0) assigned.position = nextOffset;
  }

  async #locate(assigned: Assigned): Promise<void> {
    const committed = await this.#calls.committed(assigned.queue);
    const position = committed ?? (await this.#calls.query(assigned.queue, this.#consumeFrom));
    if (assigned.position >= 0) return;
    assigned.position = position;
    assigned.fetchFrom = position;
    assigned.committed = committed ?? -1;
  }

  #forgetFetched(assigned: Assigned): void {
    assigned.fetching?.abort();
    assigned.fetching = null;
    for (const message of assigned.buffer) this.#bufferedBytes -= message.body.length;
    assigned.buffer = [];
    assigned.fetchFrom = assigned.position;
    assigned.failure = null;
    assigned.pauseUntilMs = 0;
  }
}

function newAssigned(
  queue: PullQueue,
  subscription: Subscription,
  before: Assigned | undefined,
): Assigned {
  const position = before?.position ?? -1;
  return {
    queue,
    subscription,
    position,
    fetchFrom: position,
    buffer: [],
    committed: before?.committed ?? -1,
    fetching: null,
    failure: null,
    pauseUntilMs: 0,
  };
}

/** Waits for the promise, so long at most. */
async function before(promise: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    promise,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    }),
  ]);
  clearTimeout(timer);
}
