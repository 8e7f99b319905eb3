import { assert, MqError } from '@raftmq/base';
import { prepareStoredMessage, type PreparedMessage, type StoredHost } from '@raftmq/protocol';
import {
  type PublishMessage,
  type SendResult,
  type TimedPublishMessage,
  type TimedSendResult,
} from '../messaging.js';
import { type Tables, type TopicRow } from '../state/tables.js';
import { type TimerService } from '../timers/timer-service.js';
import { type Leadership } from './leadership.js';
import { type OnceOnly } from './once-only.js';
import { type MessagingProbe } from './probe.js';
import { type QueueChoice } from './queue-choice.js';
import { type ReceiptSecret } from './receipt-secret.js';
import { sendSizeBytes } from './send-size.js';

export interface SendsOptions {
  readonly tables: Tables;
  readonly leadership: Leadership;
  readonly queueChoice: QueueChoice;
  readonly onceOnly: OnceOnly;
  readonly timers: TimerService;
  readonly secret: ReceiptSecret;
  readonly storeHost: StoredHost;
  readonly probe: MessagingProbe;
}

const WRITABLE = 2;

/** Send calls: those of messages that are there at once, and those of messages that wait for their time. */
export class Sends {
  readonly #options: SendsOptions;

  constructor(options: SendsOptions) {
    this.#options = options;
  }

  /** See `Messaging.send`. */
  async send(topicName: string, messages: readonly PublishMessage[]): Promise<SendResult> {
    assert(messages.length > 0, 'a send call has messages');
    const { onceOnly, probe } = this.#options;
    const topic = this.#writable(topicName);
    const prepared = this.#prepare(topicName, messages);
    const queueId = this.#options.queueChoice.forCall(topic.config, messages);
    const call = { topic, queueId, messages, prepared };
    const result = await onceOnly.send(call).catch((error: unknown) => {
      probe.sendsFailed++;
      throw error;
    });
    const isNew = result.repeats?.isNew;
    probe.messagesSent +=
      isNew === undefined ? messages.length : isNew.filter((fresh) => fresh).length;
    return result;
  }

  /** See `Messaging.sendTimed`. */
  async sendTimed(
    topicName: string,
    messages: readonly TimedPublishMessage[],
  ): Promise<readonly TimedSendResult[]> {
    assert(messages.length > 0, 'a send call has messages');
    const { leadership, secret, queueChoice, timers, probe } = this.#options;
    leadership.need();
    // The recall handles need it.
    if (!secret.ready) await secret.ensure();
    const topic = this.#writable(topicName);
    const queueId = queueChoice.forCall(topic.config, messages);
    try {
      const results = await timers.send(topic, messages, queueId);
      const stored = results.filter(({ isNew }) => isNew).length;
      probe.messagesSent += stored;
      probe.messagesRepeated += results.length - stored;
      return results;
    } catch (error) {
      probe.sendsFailed++;
      throw error;
    }
  }

  /** The topic as it is now. @throws MqError HA_NOT_AVAILABLE, TOPIC_NOT_FOUND, FORBIDDEN */
  #writable(name: string): TopicRow {
    this.#options.leadership.need();
    const topic = this.#options.tables.topics.get(name);
    if (topic === undefined) throw new MqError('TOPIC_NOT_FOUND', `topic ${name} does not exist`);
    if ((topic.config.permission & WRITABLE) === 0) {
      throw new MqError('FORBIDDEN', `topic ${name} is not writable`);
    }
    return topic;
  }

  #prepare(topic: string, messages: readonly PublishMessage[]): readonly PreparedMessage[] {
    const { storeHost, probe } = this.#options;
    const options = { storeHost };
    const prepared: PreparedMessage[] = new Array<PreparedMessage>(messages.length);
    for (let i = 0; i < messages.length; i++)
      prepared[i] = prepareStoredMessage(messages[i]!, topic, options);
    probe.messageBytesSent += sendSizeBytes(prepared);
    return prepared;
  }
}
