import { type ResetTarget } from '@raftmq/broker/internal';
import { SimClient } from './clients.js';

/** Makes the topics and groups of the scenario, and then moves groups about, and wakes parked transactions. */
export class Administrator extends SimClient {
  /** Everything is there. */
  ready = false;
  #resets = true;

  /** No more resets: what is left has to be consumed. */
  finish(): void {
    this.#resets = false;
  }

  protected override async run(): Promise<void> {
    const { topics, groups, unitMs } = this.tools.scenario;
    for (const topic of topics) {
      await this.insist({
        label: `put topic ${topic.name}`,
        run: (messaging) => messaging.putTopic(topic),
      });
    }
    for (const { config } of groups) {
      await this.insist({
        label: `put group ${config.name}`,
        run: (messaging) => messaging.putGroup(config),
      });
    }
    this.ready = true;
    while (!this.stopping) {
      await this.pause(unitMs * 2);
      await this.call({
        label: 'resume transactions',
        run: (messaging) => messaging.transactions.resume(null, null),
      });
      if (this.#resets && this.random.chance(unitMs / this.tools.scenario.resetEveryMs))
        await this.#reset();
    }
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
