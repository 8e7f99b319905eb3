import { MqError } from '@raftmq/base';
import { type DeliveryOrder, type DeliveryRun } from '../pop/delivery.js';
import { BinaryReader, BinaryWriter } from '../pop/binary.js';
import { type GroupConfig, type TopicConfig, type TopicType } from '../messaging.js';

/** First three bytes of a command's magic; the fourth is its kind. */
export const COMMAND_MAGIC = 0x524d5100;
/** Size, magic and version in front of every command's body. */
export const COMMAND_HEADER_SIZE_BYTES = 9;
const COMMAND_VERSION = 1;

export const commandKind = {
  putTopic: 1,
  deleteTopic: 2,
  putGroup: 3,
  deleteGroup: 4,
  setClusterSecret: 5,
  deliver: 6,
  ack: 7,
  changeInvisible: 8,
  deadLetter: 9,
  renewLeases: 10,
} as const;

/** Names one queue as one consumer group sees it. */
export interface DeliveryName {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
}

/** A change of the replicated tables; the vocabulary of everything in the log that is not a message. */
export type Command =
  /** With `ifMissing`, an existing topic stays as it is. */
  | { readonly kind: 'put-topic'; readonly topic: TopicConfig; readonly ifMissing: boolean }
  | { readonly kind: 'delete-topic'; readonly name: string }
  | { readonly kind: 'put-group'; readonly group: GroupConfig; readonly ifMissing: boolean }
  | { readonly kind: 'delete-group'; readonly name: string }
  /** The key of receipt handles; the first one wins. */
  | { readonly kind: 'set-cluster-secret'; readonly secret: Buffer }
  /** Hands messages out. `topicEpoch` tells a topic from a later one of the same name. */
  | ({ readonly kind: 'deliver'; readonly topicEpoch: number } & DeliveryName & DeliveryOrder)
  | ({ readonly kind: 'ack'; readonly targets: readonly LeasedOffset[] } & DeliveryName)
  | ({
      readonly kind: 'change-invisible';
      readonly offsets: readonly number[];
      readonly leaseId: number;
      /** From the entry's store timestamp on. */
      readonly invisibleMs: number;
      readonly suspend: boolean;
    } & DeliveryName)
  /** The message was copied into the dead-letter queue by a record of the same entry. */
  | ({ readonly kind: 'dead-letter'; readonly offset: number } & DeliveryName)
  | ({
      readonly kind: 'renew-leases';
      readonly leaseIds: readonly number[];
      /** From the entry's store timestamp on. */
      readonly invisibleMs: number;
      /** The client is gone: auto-renew ends with this. */
      readonly release: boolean;
    } & DeliveryName);

export interface LeasedOffset {
  readonly offset: number;
  readonly leaseId: number;
}

const topicTypes: readonly TopicType[] = [
  'NORMAL',
  'FIFO',
  'DELAY',
  'TRANSACTION',
  'MIXED',
  'LITE',
  'PRIORITY',
];

/**
 * Writes a command as a record, layout in `docs/formats/commands.md`.
 *
 *   0  4 size of the record
 *   4  4 magic 0x524d5100 + kind
 *   8  1 version (1)
 *   9    body
 */
export function encodeCommand(command: Command): Buffer {
  const writer = new BinaryWriter(COMMAND_HEADER_SIZE_BYTES);
  const kind = writeBody(writer, command);
  const record = writer.finish();
  record.writeUInt32BE(record.length, 0);
  record.writeUInt32BE(COMMAND_MAGIC + kind, 4);
  record[8] = COMMAND_VERSION;
  return record;
}

/** Whether a record's magic is that of a command, of a known kind or not. */
export function isCommandMagic(magic: number): boolean {
  return (magic & 0xffffff00) >>> 0 === COMMAND_MAGIC;
}

/**
 * Reads the command record that fills `bytes` from `at` for `sizeBytes`. Copies what it keeps.
 * @throws MqError VERSION_UNSUPPORTED for a kind or version of a newer RaftMQ, LOG_CORRUPTED for an impossible body
 */
export function decodeCommand(bytes: Buffer, at: number, sizeBytes: number): Command {
  if (sizeBytes < COMMAND_HEADER_SIZE_BYTES || at + sizeBytes > bytes.length) {
    throw new MqError(
      'LOG_CORRUPTED',
      `a command record of ${sizeBytes} bytes does not fit its entry`,
    );
  }
  const magic = bytes.readUInt32BE(at + 4);
  const version = bytes[at + 8];
  const kind = magic - COMMAND_MAGIC;
  if (bytes.readUInt32BE(at) !== sizeBytes || !isCommandMagic(magic)) {
    throw new MqError('LOG_CORRUPTED', 'a command record does not begin with its size and magic');
  }
  if (version !== COMMAND_VERSION) {
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `command ${kind} version ${version}: written by a newer version of RaftMQ`,
    );
  }
  const reader = new BinaryReader(
    bytes,
    at + COMMAND_HEADER_SIZE_BYTES,
    at + sizeBytes,
    `command ${kind}`,
  );
  const command = readBody(reader, kind);
  reader.finish();
  return command;
}

function writeBody(writer: BinaryWriter, command: Command): number {
  switch (command.kind) {
    case 'put-topic':
      writer.flag(command.ifMissing);
      writeTopic(writer, command.topic);
      return commandKind.putTopic;
    case 'delete-topic':
      writer.text(command.name);
      return commandKind.deleteTopic;
    case 'put-group':
      writer.flag(command.ifMissing);
      writeGroup(writer, command.group);
      return commandKind.putGroup;
    case 'delete-group':
      writer.text(command.name);
      return commandKind.deleteGroup;
    case 'set-cluster-secret':
      writer.bytes(command.secret);
      return commandKind.setClusterSecret;
    case 'deliver':
      writeName(writer, command);
      writeDeliver(writer, command);
      return commandKind.deliver;
    case 'ack':
      writeName(writer, command);
      writer.varint(command.targets.length);
      for (const target of command.targets) {
        writer.varint(target.offset);
        writer.varint(target.leaseId);
      }
      return commandKind.ack;
    case 'change-invisible':
      writeName(writer, command);
      writer.varint(command.leaseId);
      writer.varint(command.invisibleMs);
      writer.flag(command.suspend);
      writeNumbers(writer, command.offsets);
      return commandKind.changeInvisible;
    case 'dead-letter':
      writeName(writer, command);
      writer.varint(command.offset);
      return commandKind.deadLetter;
    case 'renew-leases':
      writeName(writer, command);
      writer.varint(command.invisibleMs);
      writer.flag(command.release);
      writeNumbers(writer, command.leaseIds);
      return commandKind.renewLeases;
  }
}

function readBody(reader: BinaryReader, kind: number): Command {
  switch (kind) {
    case commandKind.putTopic:
      return { kind: 'put-topic', ifMissing: reader.flag(), topic: readTopic(reader) };
    case commandKind.deleteTopic:
      return { kind: 'delete-topic', name: reader.text() };
    case commandKind.putGroup:
      return { kind: 'put-group', ifMissing: reader.flag(), group: readGroup(reader) };
    case commandKind.deleteGroup:
      return { kind: 'delete-group', name: reader.text() };
    case commandKind.setClusterSecret:
      return { kind: 'set-cluster-secret', secret: reader.bytes() };
    case commandKind.deliver:
      return { kind: 'deliver', ...readName(reader), ...readDeliver(reader) };
    case commandKind.ack: {
      const name = readName(reader);
      const targets: LeasedOffset[] = [];
      for (let left = reader.count(2); left > 0; left--) {
        targets.push({ offset: reader.varint(), leaseId: reader.varint() });
      }
      return { kind: 'ack', ...name, targets };
    }
    case commandKind.changeInvisible: {
      const name = readName(reader);
      const leaseId = reader.varint();
      const invisibleMs = reader.varint();
      const suspend = reader.flag();
      return {
        kind: 'change-invisible',
        ...name,
        leaseId,
        invisibleMs,
        suspend,
        offsets: readNumbers(reader),
      };
    }
    case commandKind.deadLetter:
      return { kind: 'dead-letter', ...readName(reader), offset: reader.varint() };
    case commandKind.renewLeases: {
      const name = readName(reader);
      const invisibleMs = reader.varint();
      const release = reader.flag();
      return { kind: 'renew-leases', ...name, invisibleMs, release, leaseIds: readNumbers(reader) };
    }
    default:
      throw new MqError(
        'VERSION_UNSUPPORTED',
        `command kind ${kind}: written by a newer version of RaftMQ`,
      );
  }
}

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

function writeName(writer: BinaryWriter, name: DeliveryName): void {
  writer.text(name.group);
  writer.text(name.topic);
  writer.varint(name.queueId);
}

function readName(reader: BinaryReader): DeliveryName {
  return { group: reader.text(), topic: reader.text(), queueId: reader.varint() };
}

function writeDeliver(writer: BinaryWriter, command: Extract<Command, { kind: 'deliver' }>): void {
  writer.varint(command.topicEpoch);
  writer.text(command.clientId);
  writer.byte((command.autoRenew ? 1 : 0) | (command.attemptId !== null ? 2 : 0));
  if (command.attemptId !== null) writer.text(command.attemptId);
  writer.varint(command.invisibleMs);
  writer.varint(command.endOffset);
  writer.varint(command.runs.length);
  for (const run of command.runs) {
    writer.varint(run.fromOffset);
    writer.varint(run.count * 2 + (run.dropped ? 1 : 0));
  }
}

function readDeliver(reader: BinaryReader): { readonly topicEpoch: number } & DeliveryOrder {
  const topicEpoch = reader.varint();
  const clientId = reader.text();
  const flags = reader.byte();
  if (flags > 3) reader.fail(`has flags ${flags}`);
  const attemptId = (flags & 2) !== 0 ? reader.text() : null;
  const invisibleMs = reader.varint();
  const endOffset = reader.varint();
  const runs: DeliveryRun[] = [];
  for (let left = reader.count(2); left > 0; left--) {
    const fromOffset = reader.varint();
    const countAndFlag = reader.varint();
    runs.push({ fromOffset, count: Math.floor(countAndFlag / 2), dropped: countAndFlag % 2 === 1 });
  }
  return {
    topicEpoch,
    clientId,
    autoRenew: (flags & 1) !== 0,
    attemptId,
    invisibleMs,
    endOffset,
    runs,
  };
}

function writeNumbers(writer: BinaryWriter, values: readonly number[]): void {
  writer.varint(values.length);
  for (const value of values) writer.varint(value);
}

function readNumbers(reader: BinaryReader): number[] {
  const values: number[] = [];
  for (let left = reader.count(1); left > 0; left--) values.push(reader.varint());
  return values;
}
