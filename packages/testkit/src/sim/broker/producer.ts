import { MqError } from '@raftmq/base';
import { type PublishMessage } from '@raftmq/broker/internal';
import { SimClient } from './clients.js';

/** Sends, and sends again what was not answered, under the same ids. Message groups of one producer are its own. */
export class Producer extends SimClient {
  #sequence = 0;

  protected override async run(): Promise<void> {
    const { scenario } = this.tools;
    while (!this.stopping) {
      await this.pause(scenario.cluster.thinkMs);
      const topic = this.random.pick(scenario.topics);
      await this.#send(topic.name, topic.type === 'FIFO');
    }
  }

  async #send(topic: string, fifo: boolean): Promise<void> {
    const { scenario, watch } = this.tools;
    const messageGroup = fifo ? `${this.name}-${this.random.integer(0, 3)}` : null;
    const messages: PublishMessage[] = [];
    const count = this.random.integer(1, scenario.messagesPerSendMax);
    for (let i = 0; i < count; i++) messages.push(this.#message(messageGroup));
    const ids = messages.map((message) => message.messageId);
    for (let attempt = 0; attempt <= scenario.resendMax; attempt++) {
      const before = watch.sends.attempt(topic, ids);
      const outcome = await this.call({
        label: `send ${ids[0]}`,
        run: async (messaging) => {
          const config = messaging.topic(topic);
          if (config === null) throw new MqError('TOPIC_NOT_FOUND', 'the topic does not exist yet');
          watch.sent(topic, ids, await messaging.send(config, messages), before);
        },
      });
      if (outcome.kind === 'ok') return;
      if (outcome.kind === 'refused') watch.sends.refused(ids);
      if (this.random.chance(0.2)) return;
      await this.pause(scenario.unitMs * 0.3);
    }
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
