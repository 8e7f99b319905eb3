import { MqError } from '@raftmq/base';
import { fifoQueueIndex } from '@raftmq/protocol';
import { type PublishMessage, type TopicConfig } from '../messaging.js';
import { type Tables } from '../state/tables.js';

export interface QueueChoiceOptions {
  readonly tables: Tables;
  readonly settings: { readonly liteTopicsMax: number };
}

/** Which queue of its topic a message goes to. */
export class QueueChoice {
  readonly #options: QueueChoiceOptions;
  /** Next queue of the round robin, by topic. */
  readonly #rotation = new Map<string, number>();

  constructor(options: QueueChoiceOptions) {
    this.#options = options;
  }

  forgetTopic(topic: string): void {
    this.#rotation.delete(topic);
  }

  /**
   * The queue for all messages of one call.
   * @throws MqError BAD_REQUEST for different message groups, LITE_TOPIC_QUOTA_EXCEEDED for one lite topic too many
   */
  forCall(topic: TopicConfig, messages: readonly PublishMessage[]): number {
    const first = messages[0]!;
    const { messageGroup } = first;
    for (const message of messages) {
      if (message.messageGroup !== messageGroup) {
        throw new MqError(
          'BAD_REQUEST',
          'messages of one call must have the same message group, or none',
        );
      }
    }
    if (topic.type === 'LITE') return this.#liteQueue(topic, first.liteTopic ?? '');
    if (topic.type === 'PRIORITY') {
      return Math.min(Math.max(first.priority ?? 0, 0), topic.queues - 1);
    }
    return this.next(topic, messageGroup);
  }

  /** By message group, else round robin. */
  next(topic: TopicConfig, messageGroup: string | null): number {
    if (messageGroup !== null) return fifoQueueIndex(messageGroup, topic.queues);
    const turn = this.#rotation.get(topic.name) ?? 0;
    this.#rotation.set(topic.name, turn + 1);
    return turn % topic.queues;
  }

  #liteQueue(topic: TopicConfig, name: string): number {
    const { lite } = this.#options.tables;
    const known = lite.byName(topic.name, name);
    if (known !== undefined) return known.queueId;
    const limit = this.#options.settings.liteTopicsMax;
    if (lite.count(topic.name) < limit) return fifoQueueIndex(name, topic.queues);
    throw new MqError(
      'LITE_TOPIC_QUOTA_EXCEEDED',
      `topic ${topic.name} has ${limit} lite topics, which is the limit (setting liteTopicsMax); use those there are`,
    );
  }
}
