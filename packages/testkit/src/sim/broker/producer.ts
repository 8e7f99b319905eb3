import { crc32, MqError } from '@raftmq/base';
import {
  type MessagingService,
  type PublishMessage,
  type TopicConfig,
} from '@raftmq/broker/internal';
import { transactionSource, type TopicType } from '@raftmq/protocol';
import { WALL_START_MS } from '../clock.js';
import { type CallOutcome } from './client-network.js';
import { SimClient } from './clients.js';

type MessagePlace = Partial<Pick<PublishMessage, 'messageGroup' | 'priority' | 'liteTopic'>>;

/** Sends, and sends again what was not answered, under the same ids. Message groups of one producer are its own. */
export class Producer extends SimClient {
  #sequence = 0;
  #diligent = false;

  protected override async run(): Promise<void> {
    const { scenario } = this.tools;
    while (!this.stopping) {
      await this.pause(scenario.cluster.thinkMs);
      const { name, type } = this.random.pick(scenario.topics);
      if (type === 'DELAY') await this.#sendTimed(name);
      else if (type === 'TRANSACTION') await this.#transact(name);
      else await this.#send(name, this.#place(type));
    }
  }

  /** What sends a message to a queue, by the type of its topic. */
  #place(type: TopicType): MessagePlace {
    if (type === 'FIFO') return { messageGroup: `${this.name}-${this.random.integer(0, 3)}` };
    if (type === 'PRIORITY') return { priority: this.random.integer(0, 4) };
    if (type === 'LITE') return { liteTopic: this.random.pick(this.tools.scenario.liteNames) };
    return {};
  }

  async #send(topic: string, place: MessagePlace): Promise<void> {
    const { watch } = this.tools;
    const messages = this.#messages(place);
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
    const messages = this.#messages({}).map((message) => ({
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

  /** Half messages, and what this producer decides about them: at once, or when it is asked. */
  async #transact(topic: string): Promise<void> {
    const { watch, scenario } = this.tools;
    const messages = this.#messages({}).map((message) => ({
      ...message,
      transactionRecoveryMs: null,
    }));
    const ids = messages.map((message) => message.messageId);
    const sent = await this.#insistOnSend(topic, ids, () =>
      this.call({
        label: `send half ${ids[0]}`,
        run: async (messaging) => {
          const numbers = await messaging.transactions.send(
            topicOf(messaging, topic),
            messages,
            this.name,
          );
          watch.sentHalves(topic, ids);
          return numbers;
        },
      }),
    );
    if (sent === null) return;
    for (const id of ids) {
      if (this.random.chance(scenario.orphanChance)) continue;
      await this.pause(scenario.unitMs * 0.1);
      const decision = this.#decide(topic, id, verdictOf(id), transactionSource.CLIENT);
      if (this.random.chance(scenario.contraryChance))
        await this.#decide(topic, id, !verdictOf(id), transactionSource.CLIENT);
      await decision;
    }
  }

  /** The broker asks about a half message. */
  async check(topic: string, id: string): Promise<void> {
    const { scenario } = this.tools;
    if (!this.#diligent && this.random.chance(0.2)) return;
    await this.pause(scenario.unitMs * 0.05);
    await this.#decide(topic, id, verdictOf(id), transactionSource.SERVER_CHECK);
  }

  /** From now on it answers whenever it is asked. */
  finish(): void {
    this.#diligent = true;
    this.stop();
  }

  async #decide(topic: string, id: string, commit: boolean, source: number): Promise<void> {
    const { watch, scenario } = this.tools;
    for (let left = this.random.integer(1, 2); left > 0; left--) {
      const outcome = await this.call({
        label: `${commit ? 'commit' : 'roll back'} ${id}`,
        run: async (messaging) => {
          await messaging.transactions.end(topic, id, commit, source);
          watch.decided(topic, id, commit);
        },
      });
      if (outcome.kind === 'ok') return;
      await this.pause(scenario.unitMs * 0.2);
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

  #messages(place: MessagePlace): PublishMessage[] {
    const count = this.random.integer(1, this.tools.scenario.messagesPerSendMax);
    return Array.from({ length: count }, () => this.#message(place));
  }

  #message(place: MessagePlace): PublishMessage {
    const { scenario, world } = this.tools;
    const number = this.#sequence++;
    return {
      messageId: `${this.name}.${number}`,
      body: Buffer.alloc(this.random.integer(1, scenario.bodyBytesMax), number & 0xff),
      tag: this.random.chance(0.2) ? null : this.random.pick(scenario.tagNames),
      keys: [],
      userProperties: [],
      messageGroup: null,
      traceContext: null,
      bornTimestampMs: Math.floor(world.nowMs),
      bornHost: '127.0.0.1:1',
      gzip: false,
      ...place,
    };
  }
}

/** What became of the local transaction: a third is rolled back. */
function verdictOf(id: string): boolean {
  return crc32(Buffer.from(id)) % 3 !== 0;
}

function topicOf(messaging: MessagingService, name: string): TopicConfig {
  const topic = messaging.topic(name);
  if (topic === null) throw new MqError('TOPIC_NOT_FOUND', 'the topic does not exist yet');
  return topic;
}
