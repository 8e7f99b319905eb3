import { MqError } from '@raftmq/base';
import { type GroupConfig, type TopicConfig } from '../messaging.js';
import { type Tables } from '../state/tables.js';
import { groupGone, newGroup } from './group-behaviour.js';
import { type Leadership } from './leadership.js';
import { type RecordsProposer } from './proposals.js';
import { type MessagingSettings } from './settings.js';

export interface TopicsAndGroupsOptions {
  readonly tables: Tables;
  readonly proposer: RecordsProposer;
  readonly leadership: Leadership;
  readonly settings: MessagingSettings;
}

/** Topics and consumer groups by name: reads, makes and deletes them. */
export class TopicsAndGroups {
  readonly #options: TopicsAndGroupsOptions;

  constructor(options: TopicsAndGroupsOptions) {
    this.#options = options;
  }

  topic(name: string): TopicConfig | null {
    return this.#options.tables.topics.get(name)?.config ?? null;
  }

  *topics(): Iterable<TopicConfig> {
    for (const topic of this.#options.tables.topics.values()) yield topic.config;
  }

  group(name: string): GroupConfig | null {
    return this.#options.tables.groups.get(name)?.config ?? null;
  }

  *groups(): Iterable<GroupConfig> {
    for (const group of this.#options.tables.groups.values()) yield group.config;
  }

  async putTopic(topic: TopicConfig): Promise<void> {
    this.#options.leadership.need();
    await this.#options.proposer.command({ kind: 'put-topic', topic, ifMissing: false });
  }

  async deleteTopic(name: string): Promise<void> {
    this.#options.leadership.need();
    if (this.topic(name) === null)
      throw new MqError('TOPIC_NOT_FOUND', `topic ${name} does not exist`);
    await this.#options.proposer.command({ kind: 'delete-topic', name });
  }

  async putGroup(group: GroupConfig): Promise<void> {
    this.#options.leadership.need();
    await this.#options.proposer.command({ kind: 'put-group', group, ifMissing: false });
  }

  async deleteGroup(name: string): Promise<void> {
    this.#options.leadership.need();
    if (this.group(name) === null) throw groupGone(name);
    await this.#options.proposer.command({ kind: 'delete-group', name });
  }

  /** Makes a group with defaults. @throws MqError CONSUMER_GROUP_NOT_FOUND when that is switched off */
  async createGroup(name: string): Promise<void> {
    const { settings, proposer } = this.#options;
    if (!settings.autoCreateGroup) {
      throw new MqError(
        'CONSUMER_GROUP_NOT_FOUND',
        `consumer group ${name} does not exist, and groups are not created on first use here; create it with raftmq group create`,
      );
    }
    await proposer.command({ kind: 'put-group', group: newGroup(name, settings), ifMissing: true });
  }
}
