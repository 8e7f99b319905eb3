import { MqError } from '@raftmq/base';
import { type BinaryReader, type BinaryWriter } from '../../pop/binary.js';
import { newDelivery } from '../../pop/rows.js';
import { type GroupRow, type Tables, type TopicRow } from '../tables.js';
import { type ApplyContext, type CommandKind } from './command-kind.js';
import { readName, writeName, type DeliveryName } from './delivery.js';

/** Everything of a queue below `offset` is consumed. `topicEpoch` tells a topic from a later one of the same name. */
export type CommitOffset = {
  readonly kind: 'commit-offset';
  readonly topicEpoch: number;
  readonly offset: number;
} & DeliveryName;

/** Where a group is to stand in one queue. */
export interface QueuePlace {
  readonly queueId: number;
  readonly offset: number;
}

interface TopicPlaces {
  readonly group: string;
  readonly topic: string;
  readonly topicEpoch: number;
  readonly places: readonly QueuePlace[];
}

/** Puts a group somewhere else, also back: leases and attempt counts of these queues are dropped. */
export type ResetOffsets = { readonly kind: 'reset-offsets' } & TopicPlaces;

/** Sets where a group begins in queues that it has never been in; others stay as they are. */
export type OpenQueues = { readonly kind: 'open-queues' } & TopicPlaces;

/** What a reset found in one queue: the committed offset before, 0 where the group had never been. */
export interface PlacedQueue {
  readonly queueId: number;
  readonly before: number;
}

export const commitOffsetKind: CommandKind<CommitOffset> = {
  number: 40,
  write: (writer, command) => {
    writeName(writer, command);
    writer.varint(command.topicEpoch);
    writer.varint(command.offset);
  },
  read: (reader) => {
    const name = readName(reader);
    return {
      kind: 'commit-offset',
      ...name,
      topicEpoch: reader.varint(),
      offset: reader.varint(),
    };
  },
  apply: commitOffset,
};

export const resetOffsetsKind: CommandKind<ResetOffsets> = {
  number: 41,
  write: writePlaces,
  read: (reader) => ({ kind: 'reset-offsets', ...readPlaces(reader) }),
  apply: resetOffsets,
};

export const openQueuesKind: CommandKind<OpenQueues> = {
  number: 42,
  write: writePlaces,
  read: (reader) => ({ kind: 'open-queues', ...readPlaces(reader) }),
  apply: openQueues,
};

/** @returns the committed offset after it */
function commitOffset({ tables }: ApplyContext, command: CommitOffset): number | MqError {
  const found = find(tables, command);
  if (found instanceof MqError) return found;
  const { queueId, offset } = command;
  if (offset > endOf(found.topic, queueId)) return behindEnd(command, offset);
  const row = tables.openDelivery(found.group, command.topic, queueId);
  row.state.skipTo(offset);
  tables.deliveryChanged(row);
  tables.touched(row);
  return row.state.committedOffset;
}

function resetOffsets(
  { tables, index }: ApplyContext,
  command: ResetOffsets,
): readonly PlacedQueue[] | MqError {
  const found = find(tables, command);
  if (found instanceof MqError) return found;
  const wrong = command.places.find((place) => place.offset > endOf(found.topic, place.queueId));
  if (wrong !== undefined) return behindEnd({ ...command, ...wrong }, wrong.offset);
  return command.places.map(({ queueId, offset }) => {
    const row = tables.openDelivery(found.group, command.topic, queueId);
    const before = row.state.committedOffset;
    row.state = newDelivery(found.group.config.fifo, offset, index);
    tables.deliveryChanged(row);
    tables.touched(row);
    return { queueId, before };
  });
}

function openQueues({ tables, index }: ApplyContext, command: OpenQueues): MqError | null {
  const found = find(tables, command);
  if (found instanceof MqError) return found;
  for (const { queueId, offset } of command.places) {
    if (tables.delivery(command.group, command.topic, queueId) !== undefined) continue;
    const row = tables.openDelivery(found.group, command.topic, queueId);
    const start = Math.min(offset, endOf(found.topic, queueId));
    row.state = newDelivery(found.group.config.fifo, start, index);
    tables.deliveryChanged(row);
    tables.touched(row);
  }
  return null;
}

function find(
  tables: Tables,
  command: { readonly group: string; readonly topic: string; readonly topicEpoch: number },
): { readonly group: GroupRow; readonly topic: TopicRow } | MqError {
  const group = tables.groups.get(command.group);
  if (group === undefined) {
    return new MqError(
      'CONSUMER_GROUP_NOT_FOUND',
      `consumer group ${command.group} was deleted meanwhile`,
    );
  }
  const topic = tables.topics.get(command.topic);
  if (topic?.epoch !== command.topicEpoch) {
    return new MqError('TOPIC_NOT_FOUND', `topic ${command.topic} was deleted meanwhile`);
  }
  return { group, topic };
}

function endOf(topic: TopicRow, queueId: number): number {
  return topic.queues[queueId]?.endOffset ?? 0;
}

function behindEnd(name: Omit<DeliveryName, 'group'>, offset: number): MqError {
  return new MqError(
    'ILLEGAL_OFFSET',
    `offset ${offset} lies behind the end of queue ${name.queueId} of topic ${name.topic}; query the offset END for the last one`,
  );
}

function writePlaces(writer: BinaryWriter, command: TopicPlaces): void {
  writer.text(command.group);
  writer.text(command.topic);
  writer.varint(command.topicEpoch);
  writer.varint(command.places.length);
  for (const { queueId, offset } of command.places) {
    writer.varint(queueId);
    writer.varint(offset);
  }
}

function readPlaces(reader: BinaryReader): TopicPlaces {
  const group = reader.text();
  const topic = reader.text();
  const topicEpoch = reader.varint();
  const places: QueuePlace[] = [];
  for (let left = reader.count(2); left > 0; left--) {
    places.push({ queueId: reader.varint(), offset: reader.varint() });
  }
  return { group, topic, topicEpoch, places };
}
