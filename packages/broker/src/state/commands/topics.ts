import { MqError } from '@raftmq/base';
import { type TopicConfig } from '../../messaging.js';
import { readTopic, writeTopic } from '../config-codec.js';
import { TopicRow } from '../tables.js';
import { type ApplyContext, type CommandKind } from './command-kind.js';

export interface PutTopic {
  readonly kind: 'put-topic';
  readonly topic: TopicConfig;
  /** An existing topic stays as it is. */
  readonly ifMissing: boolean;
}

export interface DeleteTopic {
  readonly kind: 'delete-topic';
  readonly name: string;
}

export const putTopicKind: CommandKind<PutTopic> = {
  number: 1,
  write: (writer, command) => {
    writer.flag(command.ifMissing);
    writeTopic(writer, command.topic);
  },
  read: (reader) => ({ kind: 'put-topic', ifMissing: reader.flag(), topic: readTopic(reader) }),
  apply: putTopic,
};

export const deleteTopicKind: CommandKind<DeleteTopic> = {
  number: 2,
  write: (writer, command) => writer.text(command.name),
  read: (reader) => ({ kind: 'delete-topic', name: reader.text() }),
  apply: (context, { name }) => {
    const { tables } = context;
    const topic = tables.topics.get(name);
    if (topic === undefined) return null;
    tables.deleteTopic(topic);
    context.topicChanged(name, true);
    return null;
  },
};

function putTopic(context: ApplyContext, command: PutTopic): MqError | null {
  const { tables, index } = context;
  const { topic: config, ifMissing } = command;
  const row = tables.topics.get(config.name);
  if (row === undefined) {
    tables.putTopic(new TopicRow(config, index));
    context.topicChanged(config.name, false);
    return null;
  }
  if (ifMissing) return null;
  if (config.queues < row.config.queues) {
    return new MqError(
      'PRECONDITION_FAILED',
      `topic ${config.name} has ${row.config.queues} queues, and their messages would be out of reach with ${config.queues}; ` +
        'queues can only be added, or create the topic anew',
    );
  }
  if (row.config.type === 'LITE' && config.queues !== row.config.queues) {
    return new MqError(
      'PRECONDITION_FAILED',
      `topic ${config.name} is of type LITE: its ${row.config.queues} queues cannot become more, as each lite topic stays in its queue`,
    );
  }
  row.config = config;
  tables.changed(row);
  context.topicChanged(config.name, false);
  return null;
}
