import { MqError } from '@raftmq/base';
import { type CommandKind } from './command-kind.js';

/** A dead letter was sent again: its copy is the record in front. Without effect when that one found no topic. */
export interface MarkResent {
  readonly kind: 'mark-resent';
  /** The dead-letter topic; its epoch tells it from a later one of the same name. */
  readonly topic: string;
  readonly topicEpoch: number;
  readonly offset: number;
  /** Where the copy went. */
  readonly toTopic: string;
}

export const markResentKind: CommandKind<MarkResent> = {
  number: 43,
  write: (writer, command) => {
    writer.text(command.topic);
    writer.varint(command.topicEpoch);
    writer.varint(command.offset);
    writer.text(command.toTopic);
  },
  read: (reader) => ({
    kind: 'mark-resent',
    topic: reader.text(),
    topicEpoch: reader.varint(),
    offset: reader.varint(),
    toTopic: reader.text(),
  }),
  apply: ({ tables }, command) => {
    const row = tables.topics.get(command.topic);
    if (row?.epoch !== command.topicEpoch || !tables.topics.has(command.toTopic)) {
      return new MqError('TOPIC_NOT_FOUND', `topic ${command.topic} was deleted meanwhile`);
    }
    row.resent.add(command.offset);
    tables.changed(row);
    return null;
  },
};
