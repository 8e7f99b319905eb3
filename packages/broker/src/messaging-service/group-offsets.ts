import { MqError } from '@raftmq/base';
import { type CommitLogReader, type QueueIndex } from '@raftmq/broker-store';
import { topicNotFound } from '@raftmq/protocol';
import {
  type GroupConfig,
  type GroupQueue,
  type OffsetQuery,
  type ResetQueue,
  type ResetTarget,
} from '../messaging.js';
import { type PlacedQueue, type QueuePlace } from '../state/commands/index.js';
import { type Tables, type TopicRow } from '../state/tables.js';
import { groupGone } from './group-behaviour.js';
import { offsetByTimestamp } from './offset-by-time.js';
import { type MessagingProbe } from './probe.js';
import { type RecordsProposer } from './proposals.js';

export interface GroupOffsetsOptions {
  readonly tables: Tables;
  readonly queueIndex: QueueIndex;
  readonly log: Pick<CommitLogReader, 'cachedRecord' | 'readRecord'>;
  readonly proposer: RecordsProposer;
  readonly probe: MessagingProbe;
}

/** Offsets of groups by name: asks for them, moves them on, and puts a group somewhere else. */
export class GroupOffsets {
  readonly #options: GroupOffsetsOptions;

  constructor(options: GroupOffsetsOptions) {
    this.#options = options;
  }

  /** The group must exist. @returns the committed offset, `offset` or a later one */
  async update(queue: GroupQueue, offset: number): Promise<number> {
    const { proposer, probe } = this.#options;
    const { group, topic, queueId } = queue;
    const row = this.queueRow(topic, queueId);
    const end = row.queues[queueId]?.endOffset ?? 0;
    if (!(offset >= 0 && offset <= end)) {
      throw new MqError(
        'ILLEGAL_OFFSET',
        `offset ${offset} is not in queue ${queueId} of topic ${topic}, which ends at ${end}; commit the next_offset of a pull`,
      );
    }
    const committed = await proposer.command({
      kind: 'commit-offset',
      group,
      topic,
      queueId,
      topicEpoch: row.epoch,
      offset,
    });
    probe.offsetUpdates++;
    return committed as number;
  }

  committed({ group, topic, queueId }: GroupQueue): number | null {
    return this.#options.tables.delivery(group, topic, queueId)?.state.committedOffset ?? null;
  }

  query(topic: string, queueId: number, query: OffsetQuery): Promise<number> {
    this.queueRow(topic, queueId);
    return this.#resolve(topic, queueId, query);
  }

  /** @throws MqError CONSUMER_GROUP_NOT_FOUND, ILLEGAL_OFFSET, and as {@link queueRow} */
  async reset(
    group: string,
    topic: string,
    queueId: number | null,
    target: ResetTarget,
    dryRun: boolean,
  ): Promise<readonly ResetQueue[]> {
    const { proposer, probe, tables } = this.#options;
    if (!tables.groups.has(group)) throw groupGone(group);
    const row = this.queueRow(topic, queueId ?? 0);
    if (row.config.type === 'LITE') {
      throw new MqError(
        'UNSUPPORTED',
        `topic ${topic} is of type LITE: a subscription says where it begins, so unsubscribe and subscribe again with an offset option`,
      );
    }
    const queueIds =
      queueId === null ? Array.from({ length: row.config.queues }, (_, id) => id) : [queueId];
    const places: QueuePlace[] = [];
    for (const id of queueIds) {
      places.push({ queueId: id, offset: await this.#resolve(topic, id, target) });
    }
    const after = new Map(places.map((place) => [place.queueId, place.offset]));
    if (dryRun) {
      return places.map(({ queueId: id, offset }) => ({
        queueId: id,
        before: this.committed({ group, topic, queueId: id }) ?? 0,
        after: offset,
      }));
    }
    const placed = (await proposer.command({
      kind: 'reset-offsets',
      group,
      topic,
      topicEpoch: row.epoch,
      places,
    })) as readonly PlacedQueue[];
    probe.offsetResets++;
    return placed.map(({ queueId: id, before }) => ({
      queueId: id,
      before,
      after: after.get(id)!,
    }));
  }

  /**
   * Sets where a group begins in a topic that it reads for the first time, when it does not begin at the first message.
   * All queues at once: what is sent from here on is the group's, and a queue that is added later is read from its start.
   */
  async open(group: GroupConfig, topic: string): Promise<void> {
    const { tables, proposer } = this.#options;
    const { consumeFrom } = group;
    if (consumeFrom === undefined || consumeFrom.kind === 'first') return;
    if (tables.topics.get(topic)?.config.type === 'LITE') return;
    if (tables.groups.get(group.name)?.deliveries.has(topic) === true) return;
    const row = this.queueRow(topic, 0);
    const query: OffsetQuery = consumeFrom.kind === 'last' ? { kind: 'end' } : consumeFrom;
    const places: QueuePlace[] = [];
    for (let queueId = 0; queueId < row.config.queues; queueId++) {
      places.push({ queueId, offset: await this.#resolve(topic, queueId, query) });
    }
    const name = { group: group.name, topic, topicEpoch: row.epoch };
    await proposer.command({ kind: 'open-queues', ...name, places });
  }

  /** @throws MqError TOPIC_NOT_FOUND, FORBIDDEN for a queue that does not exist */
  queueRow(topic: string, queueId: number): TopicRow {
    const row = this.#options.tables.topics.get(topic);
    if (row === undefined) throw topicNotFound(topic);
    if (!(queueId >= 0 && queueId < row.config.queues)) {
      throw new MqError(
        'FORBIDDEN',
        `topic ${topic} has no queue ${queueId} here; its queues are 0 to ${row.config.queues - 1}`,
      );
    }
    return row;
  }

  async #resolve(topic: string, queueId: number, target: ResetTarget): Promise<number> {
    const { queueIndex, tables } = this.#options;
    const min = queueIndex.minOffset(topic, queueId);
    const end = tables.topics.get(topic)?.queues[queueId]?.endOffset ?? 0;
    switch (target.kind) {
      case 'beginning':
        return min;
      case 'end':
        return end;
      case 'timestamp':
        return offsetByTimestamp(this.#options, topic, queueId, target.timestampMs);
      case 'offset':
        if (target.offset >= 0 && target.offset <= end) return Math.max(min, target.offset);
        throw new MqError(
          'ILLEGAL_OFFSET',
          `offset ${target.offset} is not in queue ${queueId} of topic ${topic}; it holds ${min} to ${end}`,
        );
    }
  }
}
