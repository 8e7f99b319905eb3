import { type AckTarget } from '@raftmq/broker/internal';
import { consumeLimits, liteAction } from '@raftmq/protocol';
import { type SimGroup } from './broker-scenario.js';
import { type SeenDelivery } from '../../model/broker-watch.js';
import { type CallOutcome } from './client-network.js';
import { SimClient, type ClientTools } from './clients.js';

/**
 * Receives, and acknowledges most of what it gets; some it sets aside, some it forgets. One that works like the push
 * consumers of SDKs lets the broker renew its leases, makes an attempt again until it is answered, and ends with every
 * message it got.
 */
export class Consumer extends SimClient {
  readonly #group: SimGroup;
  readonly #push: boolean;
  /** From now on everything is acknowledged. */
  #diligent = false;
  #attempts = 0;

  constructor(name: string, tools: ClientTools, group: SimGroup) {
    super(name, tools);
    this.#group = group;
    this.#push = tools.random.fork(`push ${name}`).chance(tools.scenario.pushShare);
  }

  /** No more mischief: whatever comes is acknowledged. */
  finish(): void {
    this.#diligent = true;
  }

  protected override async run(): Promise<void> {
    const { scenario } = this.tools;
    let attemptId = this.#nextAttempt();
    while (!this.stopping) {
      if (this.#group.topic === 'lite') await this.#subscribe();
      const says = scenario.autoRenewChance > 0 && !this.#push;
      if (says && this.random.chance(this.#diligent ? 0.5 : 0.05)) await this.#sayGoodbye();
      const deliveries = await this.#receive(attemptId);
      // A poll whose answer was lost is made again under the same name.
      if (deliveries === null && (this.#push || this.random.chance(0.7))) {
        await this.pause(scenario.unitMs * 0.2);
        continue;
      }
      attemptId = this.#nextAttempt();
      if (deliveries !== null && deliveries.length > 0) await this.#consume(deliveries);
      else await this.pause(scenario.unitMs * 0.3);
      if (this.#diligent) continue;
      if (this.#group.topic !== 'lite' && this.random.chance(scenario.offsetChance))
        await this.#workWithOffsets();
      await this.pause(scenario.consumerThinkMs);
    }
  }

  /** Takes from some lite topics, from all of them in the end; says so again and again, as the topic may be a new one. */
  async #subscribe(): Promise<void> {
    const { liteNames } = this.tools.scenario;
    if (!this.#diligent && this.random.chance(0.7)) return;
    const action = this.#diligent
      ? liteAction.COMPLETE_ADD
      : this.random.pick([
          liteAction.PARTIAL_ADD,
          liteAction.PARTIAL_REMOVE,
          liteAction.COMPLETE_ADD,
          liteAction.COMPLETE_REMOVE,
        ]);
    const { config, topic } = this.#group;
    const names = liteNames.filter(() => this.#diligent || this.random.chance(0.5));
    const change = { topic, group: config.name, clientId: this.name, action, names, start: null };
    await this.call({
      label: `subscribe ${this.name}`,
      run: async (messaging) => messaging.syncLiteSubscription(change),
    });
  }

  /** What is renewed for it becomes visible soon. It goes on under its name, like a process that starts anew. */
  async #sayGoodbye(): Promise<void> {
    const group = this.#group.config.name;
    await this.call({
      label: `goodbye ${this.name}`,
      run: async (messaging) => messaging.clientGone(this.name, group),
    });
  }

  /** Asks where the group stands, and reads from there, or skips a little. */
  async #workWithOffsets(): Promise<void> {
    const { scenario, watch } = this.tools;
    const { config, topic, filter } = this.#group;
    const queues = scenario.topics.find((one) => one.name === topic)!.queues;
    const queue = { group: config.name, topic, queueId: this.random.integer(0, queues - 1) };
    const outcome = await this.call({
      label: `get offset ${this.name}`,
      run: async (messaging) => {
        const asked = watch.offsetAsked(queue);
        const offset = await messaging.committedOffset(queue);
        watch.offsetRead(queue, offset, asked);
        return offset ?? 0;
      },
    });
    if (outcome.kind !== 'ok') return;
    const offset = outcome.value;
    if (this.random.chance(0.5)) {
      await this.call({
        label: `update offset ${this.name}`,
        run: async (messaging) => {
          const asked = watch.offsetAsked(queue);
          const moved = await messaging.updateOffset(queue, offset + this.random.integer(0, 3));
          watch.offsetRead(queue, moved, asked);
        },
      });
      return;
    }
    await this.call({
      label: `pull ${this.name}`,
      patienceMs: scenario.unitMs,
      run: async (messaging, signal) => {
        const request = { ...queue, offset, batchSize: 8, pollingMs: scenario.unitMs, filter };
        const { records, nextOffset } = await messaging.pull({ ...request, signal });
        watch.pulled(queue, offset, records, nextOffset);
      },
    });
  }

  /** @returns null when nobody knows what came of it */
  async #receive(attemptId: string): Promise<readonly SeenDelivery[] | null> {
    const { scenario, watch } = this.tools;
    const { config, topic, filter } = this.#group;
    const pollingMs = Math.round(this.random.next() * scenario.pollingMaxMs);
    const queues = scenario.topics.find((one) => one.name === topic)!.queues;
    const oneQueue = this.random.chance(0.3) ? this.random.integer(0, queues - 1) : null;
    // As the edge has it: what a push consumer says of queues is ignored.
    const queueId = this.#push ? null : oneQueue;
    const renews = !this.#diligent && this.random.chance(scenario.autoRenewChance);
    const autoRenew = this.#push || renews;
    const batchSize = this.#diligent ? 32 : this.random.integer(1, scenario.receiveBatchMax);
    const ownInvisibleMs = this.#diligent
      ? scenario.unitMs * 5
      : Math.max(1, Math.round(this.random.next() * scenario.invisibleMaxMs));
    const invisibleMs = this.#push ? consumeLimits.autoRenewInvisibleMs : ownInvisibleMs;
    const outcome = await this.call({
      label: `receive ${this.name} ${attemptId}`,
      patienceMs: pollingMs,
      run: async (messaging, signal) => {
        const messages = await messaging.receive({
          group: config.name,
          topic,
          queueId,
          batchSize,
          invisibleMs,
          autoRenew,
          clientId: this.name,
          pollingMs,
          filter,
          attemptId,
          signal,
        });
        return messages.map((message) => watch.received(config.name, message));
      },
    });
    if (outcome.kind === 'ok') return outcome.value;
    // A leader that lost its office refuses what its successor may still commit.
    return outcome.kind === 'refused' && !this.#push ? [] : null;
  }

  async #consume(deliveries: readonly SeenDelivery[]): Promise<void> {
    const { scenario } = this.tools;
    const { nackChance, forgetChance, deadLetterChance, extendChance } = scenario;
    const acks: SeenDelivery[] = [];
    const tookMs = this.random.chance(0.1) ? scenario.invisibleMaxMs : scenario.consumerThinkMs;
    if (!this.#diligent) await this.pause(tookMs);
    for (const delivery of deliveries) {
      const draw = this.#diligent ? 1 : this.random.next();
      if (this.#push) {
        if (draw < nackChance) await this.#nack(delivery);
        else acks.push(delivery);
      } else if (draw < nackChance)
        await this.#change(delivery, this.random.next() * scenario.unitMs);
      else if (draw < nackChance + forgetChance) continue;
      else if (draw < nackChance + forgetChance + deadLetterChance) await this.#bury(delivery);
      else if (draw < nackChance + forgetChance + deadLetterChance + extendChance) {
        const handle = await this.#change(delivery, scenario.invisibleMaxMs);
        acks.push(handle === null ? delivery : { ...delivery, receiptHandle: handle });
      } else acks.push(delivery);
      if (acks.length > 0 && this.random.chance(0.5)) await this.#ack(acks.splice(0));
    }
    if (acks.length > 0) await this.#ack(acks);
  }

  async #ack(deliveries: readonly SeenDelivery[]): Promise<void> {
    const { watch } = this.tools;
    const { config, topic } = this.#group;
    const attempt = (): ReturnType<typeof this.call<unknown>> =>
      this.call({
        label: `ack ${this.name}`,
        run: async (messaging) => {
          const answers = await messaging.ack(config.name, topic, deliveries.map(targetOf));
          watch.acked(config.name, deliveries, answers);
        },
      });
    const tries = this.#diligent ? 3 : this.random.integer(1, 2);
    for (let left = this.#push ? Infinity : tries; left > 0 && !this.stopping; left--) {
      if ((await attempt()).kind === 'ok') return;
      await this.pause(this.tools.scenario.unitMs * 0.2);
    }
  }

  /** Until someone answers. A handle that is no good ends it too. */
  async #nack(delivery: SeenDelivery): Promise<void> {
    const { unitMs } = this.tools.scenario;
    while (!this.stopping) {
      const outcome = await this.#changeCall(delivery, this.random.next() * unitMs);
      if (outcome.kind === 'ok') return;
      if (outcome.kind === 'refused' && outcome.code === 'INVALID_RECEIPT_HANDLE') return;
      await this.pause(unitMs * 0.2);
    }
  }

  async #change(delivery: SeenDelivery, invisibleMs: number): Promise<string | null> {
    const outcome = await this.#changeCall(delivery, invisibleMs);
    return outcome.kind === 'ok' ? outcome.value : null;
  }

  #changeCall(delivery: SeenDelivery, invisibleMs: number): Promise<CallOutcome<string>> {
    const { config, topic } = this.#group;
    const suspend = this.random.chance(0.2);
    return this.call({
      label: `change ${this.name}`,
      run: (messaging) =>
        messaging.changeInvisible(
          config.name,
          topic,
          targetOf(delivery),
          Math.round(invisibleMs),
          suspend,
        ),
    });
  }

  async #bury(delivery: SeenDelivery): Promise<void> {
    const { watch } = this.tools;
    const { config, topic } = this.#group;
    await this.call({
      label: `bury ${this.name}`,
      run: async (messaging) => {
        await messaging.forwardToDeadLetterQueue(config.name, topic, targetOf(delivery));
        watch.buried(config.name, delivery);
      },
    });
  }

  #nextAttempt(): string {
    return `${this.name}/${this.#attempts++}`;
  }
}

function targetOf(delivery: SeenDelivery): AckTarget {
  return { messageId: delivery.messageId, receiptHandle: delivery.receiptHandle };
}
