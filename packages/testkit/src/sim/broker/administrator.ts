import { type GroupConfig, type ResetTarget, type TopicConfig } from '@raftmq/broker/internal';
import { SimClient } from './clients.js';

/**
 * Makes the topics and groups of the scenario; then moves and changes groups, deletes topics and makes them anew, and
 * wakes parked transactions.
 */
export class Administrator extends SimClient {
  /** Everything is there, and as the scenario says. */
  ready = false;
  #meddles = true;

  /** No more changes: what is left has to be consumed. */
  finish(): void {
    this.#meddles = false;
    this.ready = false;
  }

  protected override async run(): Promise<void> {
    const { scenario } = this.tools;
    const { unitMs } = scenario;
    await this.#setUp();
    while (!this.stopping) {
      await this.pause(unitMs * 2);
      await this.call({
        label: 'resume transactions',
        run: (messaging) => messaging.transactions.resume(null, null),
      });
      const due = (everyMs: number): boolean =>
        this.#meddles && this.random.chance(unitMs / everyMs);
      if (due(scenario.resetEveryMs)) await this.#reset();
      if (due(scenario.topicAnewEveryMs)) await this.#topicAnew();
      if (due(scenario.groupChangeEveryMs)) await this.#changeGroup();
      // Whatever was done to them before.
      if (!this.#meddles && !this.ready) await this.#setUp();
    }
  }

  async #setUp(): Promise<void> {
    const { topics, groups } = this.tools.scenario;
    for (const topic of topics) await this.#putTopic(topic);
    for (const { config } of groups) {
      await this.insist({
        label: `put group ${config.name}`,
        run: (messaging) => messaging.putGroup(config),
      });
    }
    this.ready = true;
  }

  #putTopic(topic: TopicConfig): Promise<unknown> {
    return this.insist({
      label: `put topic ${topic.name}`,
      run: (messaging) => messaging.putTopic(topic),
    });
  }

  /** Transactions of a topic that is gone have no outcome: theirs stays. */
  async #topicAnew(): Promise<void> {
    const { topics } = this.tools.scenario;
    const topic = this.random.pick(topics.filter(({ type }) => type !== 'TRANSACTION'));
    await this.call({
      label: `delete topic ${topic.name}`,
      run: (messaging) => messaging.deleteTopic(topic.name),
    });
    if (this.random.chance(0.5)) await this.pause(this.tools.scenario.unitMs * 0.3);
    await this.#putTopic(topic);
  }

  async #changeGroup(): Promise<void> {
    const { config } = this.random.pick(this.tools.scenario.groups);
    const changed: GroupConfig = {
      ...config,
      maxAttempts: this.random.pick([config.maxAttempts, 1, 3]),
      consumeEnabled: this.random.chance(0.5),
      retryPolicy: { kind: 'list', waitsMs: [this.random.integer(0, 1_000)] },
    };
    await this.call({
      label: `change group ${config.name}`,
      run: (messaging) => messaging.putGroup(changed),
    });
  }

  async #reset(): Promise<void> {
    const { scenario, watch } = this.tools;
    const { config, topic } = this.random.pick(scenario.groups);
    const target = this.random.pick<ResetTarget>([
      { kind: 'beginning' },
      { kind: 'end' },
      { kind: 'offset', offset: this.random.integer(0, 20) },
    ]);
    watch.resetGroups.add(config.name);
    await this.call({
      label: `reset ${config.name} to ${target.kind}`,
      run: (messaging) => messaging.resetOffset(config.name, topic, null, target, false),
    });
  }
}
