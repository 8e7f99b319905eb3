import { type RetryPolicy } from '@raftmq/protocol';
import { type BinaryReader, type BinaryWriter } from '../pop/binary.js';
import {
  type ConsumeFrom,
  type GroupConfig,
  type TopicConfig,
  type TopicType,
} from '../messaging.js';

const topicTypes: readonly TopicType[] = [
  'NORMAL',
  'FIFO',
  'DELAY',
  'TRANSACTION',
  'MIXED',
  'LITE',
  'PRIORITY',
];

/** Name, type, queues, permission: shared by the command and the row. */
export function writeTopic(writer: BinaryWriter, topic: TopicConfig): void {
  writer.text(topic.name);
  writer.byte(topicTypes.indexOf(topic.type));
  writer.varint(topic.queues);
  writer.varint(topic.permission);
}

export function readTopic(reader: BinaryReader): TopicConfig {
  const name = reader.text();
  const type = topicTypes[reader.byte()];
  if (type === undefined) reader.fail('has an unknown topic type');
  return { name, type, queues: reader.varint(), permission: reader.varint() };
}

const groupFlag = { FIFO: 1, PAUSED: 2 } as const;
const retryKinds = ['default', 'list', 'exponential'] as const;
const startKinds = ['first', 'last', 'timestamp'] as const;
const MULTIPLIER_SCALE = 1_000;

/** Name, flags, attempts, retry policy, start: shared by the command and the row. */
export function writeGroup(writer: BinaryWriter, group: GroupConfig): void {
  const { retryPolicy, consumeFrom, consumeEnabled = true } = group;
  writer.text(group.name);
  writer.byte((group.fifo ? groupFlag.FIFO : 0) | (consumeEnabled ? 0 : groupFlag.PAUSED));
  writer.varint(group.maxAttempts);
  writer.byte(retryKinds.indexOf(retryPolicy?.kind ?? 'default'));
  if (retryPolicy?.kind === 'list') {
    writer.varint(retryPolicy.waitsMs.length);
    for (const waitMs of retryPolicy.waitsMs) writer.varint(waitMs);
  } else if (retryPolicy !== undefined) {
    writer.varint(retryPolicy.initialMs);
    writer.varint(retryPolicy.maxMs);
    writer.varint(Math.round(retryPolicy.multiplier * MULTIPLIER_SCALE));
  }
  const start = consumeFrom ?? { kind: 'first' };
  writer.byte(startKinds.indexOf(start.kind));
  if (start.kind === 'timestamp') writer.varint(start.timestampMs);
}

export function readGroup(reader: BinaryReader): GroupConfig {
  const name = reader.text();
  const flags = reader.byte();
  if (flags > (groupFlag.FIFO | groupFlag.PAUSED)) reader.fail(`has group flags ${flags}`);
  const maxAttempts = reader.varint();
  const retryPolicy = readRetryPolicy(reader);
  const consumeFrom = readConsumeFrom(reader);
  return {
    name,
    fifo: (flags & groupFlag.FIFO) !== 0,
    maxAttempts,
    ...(retryPolicy === null ? {} : { retryPolicy }),
    ...(consumeFrom === null ? {} : { consumeFrom }),
    ...((flags & groupFlag.PAUSED) === 0 ? {} : { consumeEnabled: false }),
  };
}

function readRetryPolicy(reader: BinaryReader): RetryPolicy | null {
  const kind = retryKinds[reader.byte()];
  if (kind === undefined) reader.fail('has an unknown kind of retry policy');
  if (kind === 'default') return null;
  if (kind === 'list') {
    const waitsMs: number[] = [];
    for (let left = reader.count(1); left > 0; left--) waitsMs.push(reader.varint());
    return { kind, waitsMs };
  }
  const initialMs = reader.varint();
  const maxMs = reader.varint();
  return { kind, initialMs, maxMs, multiplier: reader.varint() / MULTIPLIER_SCALE };
}

function readConsumeFrom(reader: BinaryReader): ConsumeFrom | null {
  const kind = startKinds[reader.byte()];
  if (kind === undefined) reader.fail('has an unknown start');
  if (kind === 'first') return null;
  return kind === 'last' ? { kind } : { kind, timestampMs: reader.varint() };
}
