import { MqError } from '@raftmq/base';
import {
  type MessagingService,
  type PublishMessage,
  type TopicConfig,
} from '@raftmq/broker/internal';
import { WALL_START_MS } from '../clock.js';
import { type CallOutcome } from './client-network.js';
import { SimClient } from './clients.js';

/** Sends, and sends again what was not answered, under the same ids. Message groups of one producer are its own. */
export class Producer extends SimClient {
  #sequence = 0;

  protected override async run(): Promise<void> {
    const { scenario } = this.tools;
    while (!this.stopping) {
      await this.pause(scenario.cluster.thinkMs);
      const { name, type } = this.random.pick(scenario.topics);
      if (type === 'DELAY') await this.#sendTimed(name);
      else await this.#send(name, type === 'FIFO');
    }
  }

  async #send(topic: string, fifo: boolean): Promise<void> {
    const { watch } = this.tools;
    const messages = this.#messages(fifo ? `${this.name}-${this.random.integer(0, 3)}` : null);
    const ids = messages.map((message) => message.messageId);
    await this.#insistOnSend(topic, ids, (before) =>
      this.call({
        label: `send ${ids[0]}`,
        run: async (messaging) => {
          const result = await messaging.send(topicOf(messaging, topic), messages);
          watch.sent(topic, ids, result, before);
        },
      }),
    );
  }

  /** Messages with a delivery time, some of which are taken back while they wait. */
  async #sendTimed(topic: string): Promise<void> {
    const { watch, scenario, world } = this.tools;
    const nowMs = Math.floor(WALL_START_MS + world.nowMs);
    const messages = this.#messages(null).map((message) => ({
      ...message,
      deliveryTimestampMs: nowMs + Math.floor(this.random.next() * scenario.delayMaxMs),
    }));
    const ids = messages.map((message) => message.messageId);
    const results = await this.#insistOnSend(topic, ids, () =>
      this.call({
        label: `send timed ${ids[0]}`,
        run: async (messaging) => {
          const sent = await messaging.sendTimed(topicOf(messaging, topic), messages);
          watch.sentTimed(topic, ids);
          return sent;
        },
      }),
    );
    for (const { recallHandle } of results ?? []) {
      if (recallHandle === '' || !this.random.chance(scenario.recallChance)) continue;
      await this.pause(scenario.delayMaxMs * 0.3);
      await this.call({
        label: `recall ${ids[0]}`,
        run: async (messaging) => watch.recalled(await messaging.recall(topic, recallHandle)),
      });
    }
  }

  /** Sends under the same ids until there is an answer, or patience ends. */
  async #insistOnSend<T>(
    topic: string,
    ids: readonly string[],
    send: (before: ReadonlyMap<string, number>) => Promise<CallOutcome<T>>,
  ): Promise<T | null> {
    const { scenario, watch } = this.tools;
    for (let attempt = 0; attempt <= scenario.resendMax; attempt++) {
      const outcome = await send(watch.sends.attempt(topic, ids));
      if (outcome.kind === 'ok') return outcome.value;
      if (outcome.kind === 'refused') watch.sends.refused(ids);
      if (this.random.chance(0.2)) return null;
      await this.pause(scenario.unitMs * 0.3);
    }
    return null;
  }

  #messages(messageGroup: string | null): PublishMessage[] {
    const count = this.random.integer(1, this.tools.scenario.messagesPerSendMax);
    return Array.from({ length: count }, () => this.#message(messageGroup));
  }

  #message(messageGroup: string | null): PublishMessage {
    const { scenario, world } = this.tools;
    const number = this.#sequence++;
    return {
      messageId: `${this.name}.${number}`,
      body: Buffer.alloc(this.random.integer(1, scenario.bodyBytesMax), number & 0xff),
      tag: this.random.chance(0.2) ? null : this.random.pick(scenario.tagNames),
      keys: [],
      userProperties: [],
      messageGroup,
      traceContext: null,
      bornTimestampMs: Math.floor(world.nowMs),
      bornHost: '127.0.0.1:1',
      gzip: false,
    };
  }
}

function topicOf(messaging: MessagingService, name: string): TopicConfig {
  const topic = messaging.topic(name);
  if (topic === null) throw new MqError('TOPIC_NOT_FOUND', 'the topic does not exist yet');
  return topic;
}
