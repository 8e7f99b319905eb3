import { type BinaryReader, type BinaryWriter } from '../pop/binary.js';
import { type GroupConfig, type TopicConfig, type TopicType } from '../messaging.js';

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

/** Name, fifo, attempts: shared by the command and the row. */
export function writeGroup(writer: BinaryWriter, group: GroupConfig): void {
  writer.text(group.name);
  writer.flag(group.fifo);
  writer.varint(group.maxAttempts);
}

export function readGroup(reader: BinaryReader): GroupConfig {
  return { name: reader.text(), fifo: reader.flag(), maxAttempts: reader.varint() };
}
