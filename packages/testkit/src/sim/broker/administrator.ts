import { SimClient } from './clients.js';

/** Makes the topics and groups of the scenario. */
export class Administrator extends SimClient {
  protected override async run(): Promise<void> {
    const { topics, groups } = this.tools.scenario;
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
  }
}
