import { assert, MqError, type Clock } from '@raftmq/base';
import { type LiteService, type LiteSubscriptionChange } from '../lite/lite-service.js';
import {
  type DeliveredMessage,
  type GroupQueue,
  type OffsetQuery,
  type PullRequest,
  type PullResult,
  type ReceiveRequest,
  type ResetQueue,
  type ResetTarget,
  type TopicConfig,
} from '../messaging.js';
import { type Attempts } from './attempts.js';
import { type DeadLetters } from './dead-letters.js';
import { type GroupOffsets } from './group-offsets.js';
import { type Leadership } from './leadership.js';
import { type Puller } from './puller.js';
import { type ReceiptSecret } from './receipt-secret.js';
import { type Receiver } from './receiver.js';
import { type TopicsAndGroups } from './topics-and-groups.js';

export interface ConsumerCallsOptions {
  readonly clock: Clock;
  readonly names: TopicsAndGroups;
  readonly leadership: Leadership;
  readonly secret: ReceiptSecret;
  readonly attempts: Attempts;
  readonly receiver: Receiver;
  readonly puller: Puller;
  readonly groupOffsets: GroupOffsets;
  readonly deadLetters: DeadLetters;
  readonly lite: LiteService;
  readonly clientSeen: (clientId: string) => void;
  /** See `MessagingServiceOptions.confirmLeading`. */
  readonly confirmLeading: () => Promise<unknown>;
}

const READABLE = 4;

/** Calls that read a topic for a group, and those that move the group in it; a group is made when it is first used. */
export class ConsumerCalls {
  readonly #options: ConsumerCallsOptions;

  constructor(options: ConsumerCallsOptions) {
    this.#options = options;
  }

  /** See `Messaging.receive`. */
  async receive(request: ReceiveRequest): Promise<readonly DeliveredMessage[]> {
    const { names, leadership, secret, attempts, receiver, clock } = this.#options;
    leadership.need();
    const sinceMs = clock.monotonicMs();
    const topic = names.topic(request.topic);
    if (topic === null)
      throw new MqError('TOPIC_NOT_FOUND', `topic ${request.topic} does not exist`);
    needReadable(topic);
    if (request.queueId !== null && request.queueId >= topic.queues) {
      throw new MqError('FORBIDDEN', `topic ${request.topic} has no queue ${request.queueId}`);
    }
    assert(request.batchSize > 0, 'a receive call asks for messages');
    this.#options.clientSeen(request.clientId);
    if (!secret.ready) await secret.ensure();
    const group = names.group(request.group);
    if (group === null || group.consumeFrom !== undefined) {
      await this.#begin(request.group, request.topic);
    }
    // A call whose caller has gone must not end the one that came after it.
    while (!request.signal.aborted) {
      const before = attempts.repeated(request);
      if (before === null) break;
      await before;
      leadership.need();
    }
    return receiver.receive(request, sinceMs);
  }

  /** See `Messaging.syncLiteSubscription`. */
  async syncLiteSubscription(change: LiteSubscriptionChange): Promise<void> {
    const { names, leadership, lite } = this.#options;
    leadership.need();
    if (names.topic(change.topic)?.type !== 'LITE') {
      throw new MqError(
        'TOPIC_NOT_FOUND',
        `topic ${change.topic} of type LITE does not exist; create it with raftmq topic create`,
      );
    }
    if (names.group(change.group) === null) await names.createGroup(change.group);
    await lite.sync(change);
  }

  /** See `Messaging.pull`. */
  async pull(request: PullRequest): Promise<PullResult> {
    const { names, leadership, groupOffsets, puller } = this.#options;
    leadership.need();
    needReadable(groupOffsets.queueRow(request.topic, request.queueId).config);
    assert(request.batchSize > 0, 'a pull call asks for messages');
    if (names.group(request.group) === null) await names.createGroup(request.group);
    leadership.need();
    return puller.pull(request);
  }

  /** See `Messaging.updateOffset`. */
  async updateOffset(queue: GroupQueue, offset: number): Promise<number> {
    const { names, leadership, groupOffsets } = this.#options;
    leadership.need();
    groupOffsets.queueRow(queue.topic, queue.queueId);
    if (names.group(queue.group) === null) await names.createGroup(queue.group);
    return groupOffsets.update(queue, offset);
  }

  /** See `Messaging.committedOffset`. */
  async committedOffset(queue: GroupQueue): Promise<number | null> {
    const { leadership, groupOffsets, confirmLeading } = this.#options;
    leadership.need();
    await confirmLeading();
    groupOffsets.queueRow(queue.topic, queue.queueId);
    return groupOffsets.committed(queue);
  }

  /** See `Messaging.queryOffset`. */
  async queryOffset(topic: string, queueId: number, query: OffsetQuery): Promise<number> {
    const { leadership, groupOffsets, confirmLeading } = this.#options;
    leadership.need();
    await confirmLeading();
    return groupOffsets.query(topic, queueId, query);
  }

  /** See `Messaging.resetOffset`. */
  async resetOffset(
    group: string,
    topic: string,
    queueId: number | null,
    target: ResetTarget,
    dryRun: boolean,
  ): Promise<readonly ResetQueue[]> {
    const { leadership, groupOffsets, deadLetters } = this.#options;
    leadership.need();
    const queues = await groupOffsets.reset(group, topic, queueId, target, dryRun);
    if (dryRun) return queues;
    for (const queue of queues) deadLetters.moved({ group, topic, queueId: queue.queueId });
    return queues;
  }

  /** Makes sure that the group is there, and knows where it begins in the topic. */
  async #begin(name: string, topic: string): Promise<void> {
    const { names, leadership, groupOffsets } = this.#options;
    if (names.group(name) === null) await names.createGroup(name);
    const group = names.group(name);
    if (group?.consumeFrom !== undefined) await groupOffsets.open(group, topic);
    leadership.need();
  }
}

function needReadable(topic: TopicConfig): void {
  if ((topic.permission & READABLE) !== 0) return;
  throw new MqError('FORBIDDEN', `topic ${topic.name} is not readable`);
}
