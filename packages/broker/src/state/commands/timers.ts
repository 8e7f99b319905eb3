import { assert, MqError, writeInt64 } from '@raftmq/base';
import { storedMessageId, storedTopic } from '@raftmq/protocol';
import { type CommandKind } from './command-kind.js';
import { timerKey, type TimerName } from '../timers-row.js';

/**
 * A message that waits for its delivery time. `record` is a stored message without a place: it gets queue, offset,
 * position and store time when it fires.
 */
export interface PutTimer {
  readonly kind: 'put-timer';
  readonly dueMs: number;
  readonly record: Buffer;
}

/** These timers are over: their messages are the records in front, in the same entry, where their topics still exist. */
export interface FireTimers {
  readonly kind: 'fire-timers';
  readonly timers: readonly TimerName[];
}

/** A waiting message is never delivered. */
export interface RecallTimer extends TimerName {
  readonly kind: 'recall-timer';
}

/** Fills space that was asked for and is not needed after all. */
export interface Skip {
  readonly kind: 'skip';
  /** Without the command's header. */
  readonly sizeBytes: number;
}

export const putTimerKind: CommandKind<PutTimer> = {
  number: 20,
  write: (writer, command) => {
    writer.varint(command.dueMs);
    writer.bytes(command.record);
  },
  read: (reader) => ({ kind: 'put-timer', dueMs: reader.varint(), record: reader.bytes() }),
  /** Gives the timer's id, or the error that the sender gets. */
  apply: ({ tables }, { dueMs, record }) => {
    const name = storedTopic(record);
    const topic = tables.topics.get(name);
    if (topic === undefined) {
      return new MqError(
        'TOPIC_NOT_FOUND',
        `topic ${name} was deleted before the message was stored`,
      );
    }
    // The field of the queue offset is free while the message waits: it tells this topic from a later one of its name.
    writeInt64(record, topic.epoch, 20);
    const { timers } = tables;
    const id = ++timers.lastId;
    timers.pending++;
    tables.changed(timers);
    tables.cold.put(timerKey(dueMs, id), record);
    timers.put({ dueMs, id, record });
    return id;
  },
  terms: ({ record }, sink, position) => {
    const messageId = storedMessageId(record);
    if (messageId !== null) sink.messageId(messageId, position);
  },
};

export const fireTimersKind: CommandKind<FireTimers> = {
  number: 21,
  write: (writer, { timers }) => {
    writer.varint(timers.length);
    for (const { dueMs, id } of timers) {
      writer.varint(dueMs);
      writer.varint(id);
    }
  },
  read: (reader) => {
    const timers: TimerName[] = [];
    for (let left = reader.count(2); left > 0; left--) {
      timers.push({ dueMs: reader.varint(), id: reader.varint() });
    }
    return { kind: 'fire-timers', timers };
  },
  apply: ({ tables, nowMs }, command) => {
    const { timers } = tables;
    for (const { dueMs, id } of command.timers) {
      assert(dueMs <= nowMs, 'no timer fires before its time');
      assert(id <= timers.lastId, 'only timers that were put fire');
      tables.cold.delete(timerKey(dueMs, id));
      timers.over(id);
      if (dueMs > timers.firedThroughMs) timers.firedThroughMs = dueMs;
    }
    tables.changed(timers);
    return null;
  },
};

export const recallTimerKind: CommandKind<RecallTimer> = {
  number: 22,
  write: (writer, { dueMs, id }) => {
    writer.varint(dueMs);
    writer.varint(id);
  },
  read: (reader) => ({ kind: 'recall-timer', dueMs: reader.varint(), id: reader.varint() }),
  apply: ({ tables }, { dueMs, id }) => {
    const { timers } = tables;
    assert(id <= timers.lastId, 'only timers that were put are recalled');
    tables.cold.delete(timerKey(dueMs, id));
    timers.over(id);
    tables.changed(timers);
    return null;
  },
};

export const skipKind: CommandKind<Skip> = {
  number: 23,
  write: (writer, { sizeBytes }) => {
    for (let i = 0; i < sizeBytes; i++) writer.byte(0);
  },
  read: (reader) => {
    const sizeBytes = reader.remainingBytes;
    reader.discard();
    return { kind: 'skip', sizeBytes };
  },
  apply: () => null,
};
