import { assert, crc32, MqError, writeInt32, writeInt64 } from '@raftmq/base';
import { type PublishMessage } from '../model/message.js';
import {
  KEY_SEPARATOR,
  NAME_END,
  PROPERTIES_SIZE_BYTES_MAX,
  propertyName,
  VALUE_END,
} from './properties.js';
import { canonicalIpv4Host, type StoredHost, UNKNOWN_HOST } from './stored-host.js';

/**
 * The stored message: RocketMQ's classic layout, big-endian, drawn in docs/formats/message.md. Offsets below hold for
 * IPv4 hosts; each IPv6 host shifts what follows by 12.
 *
 *   offset size field                         offset size field
 *        0    4 totalSize                         56    8 storeTimestamp
 *        4    4 magic 0xDAA320A7                  64    8 storeHost
 *        8    4 bodyCRC & 0x7FFFFFFF              72    4 reconsumeTimes
 *       12    4 queueId                           76    8 preparedTransactionOffset
 *       16    4 flag                              84    4 bodyLength
 *       20    8 queueOffset                       88    n body
 *       28    8 physicalOffset                          1 topicLength, topic
 *       36    4 sysFlag                                 2 propertiesLength, properties
 *       40    8 bornTimestamp
 *       48    8 bornHost
 */
export const STORED_MESSAGE_MAGIC = 0xdaa320a7;

/** Bits of sysFlag that we use. */
export const sysFlag = {
  COMPRESSED: 0x1,
  TRANSACTION_PREPARED: 0x4,
  TRANSACTION_COMMIT: 0x8,
  TRANSACTION_MASK: 0xc,
  BORN_HOST_IPV6: 0x10,
  STORE_HOST_IPV6: 0x20,
} as const;

/** Everything but body, topic and properties, with two IPv4 hosts. */
const FIXED_SIZE_BYTES = 91;
const TOPIC_SIZE_BYTES_MAX = 127;

/** A message ready to be written: all that can be known before its batch is sealed. Holds a view of the body. */
export interface PreparedMessage {
  /** Exact bytes that {@link writeStoredMessage} fills. */
  readonly sizeBytes: number;
  readonly body: Buffer;
  readonly bodyCrc: number;
  readonly topic: string;
  readonly topicSizeBytes: number;
  readonly properties: string;
  readonly propertiesSizeBytes: number;
  readonly sysFlag: number;
  readonly bornTimestampMs: number;
  readonly bornHost: StoredHost;
  readonly storeHost: StoredHost;
  readonly reconsumeTimes: number;
  readonly preparedTransactionOffset: number;
}

/** What only some messages have. */
export interface PrepareOptions {
  /** This broker's remoting address; 0.0.0.0:0 when left out. */
  readonly storeHost?: StoredHost;
  /** Name, value, name, value …: properties that the broker adds, such as the origin of a dead letter. */
  readonly brokerProperties?: readonly string[];
  /** Bits of {@link sysFlag} beside compression and host kinds, e.g. TRANSACTION_PREPARED. */
  readonly sysFlag?: number;
  readonly reconsumeTimes?: number;
  readonly preparedTransactionOffset?: number;
}

const noOptions: PrepareOptions = {};

/** What becomes known when the batch is sealed. May be one object that the caller changes from message to message. */
export interface StoredPlacement {
  queueId: number;
  queueOffset: number;
  /** Byte position of the record in the commit log. */
  physicalOffset: number;
  storeTimestampMs: number;
}

/**
 * Does all work on a message that needs no offset: text of the properties, sizes, checksum of the body.
 *
 * @param topic full name, checked by the caller; at most 127 bytes
 * @returns the prepared message; it keeps views of `message.body`, which must not change until it was written
 * @throws MqError MESSAGE_PROPERTIES_TOO_LARGE when the properties exceed 32767 bytes; ILLEGAL_TOPIC when the topic
 *   exceeds its length byte
 */
export function prepareStoredMessage(
  message: PublishMessage,
  topic: string,
  options: PrepareOptions = noOptions,
): PreparedMessage {
  const bornHost = canonicalIpv4Host(message.bornHost);
  const storeHost = options.storeHost ?? UNKNOWN_HOST;
  const properties = propertiesText(message, bornHost === null, options.brokerProperties);
  const propertiesSizeBytes = Buffer.byteLength(properties);
  if (propertiesSizeBytes > PROPERTIES_SIZE_BYTES_MAX) {
    throw new MqError(
      'MESSAGE_PROPERTIES_TOO_LARGE',
      `all properties of the message take ${propertiesSizeBytes} bytes as stored; the limit is ${PROPERTIES_SIZE_BYTES_MAX}`,
    );
  }
  const topicSizeBytes = Buffer.byteLength(topic);
  if (topicSizeBytes > TOPIC_SIZE_BYTES_MAX) {
    throw new MqError(
      'ILLEGAL_TOPIC',
      `the topic name has ${topicSizeBytes} bytes; the limit is ${TOPIC_SIZE_BYTES_MAX}`,
    );
  }
  let flags = options.sysFlag ?? 0;
  if (message.gzip) flags |= sysFlag.COMPRESSED;
  if (storeHost.ipv6) flags |= sysFlag.STORE_HOST_IPV6;
  return {
    sizeBytes:
      FIXED_SIZE_BYTES +
      (storeHost.bytes.length - 8) +
      message.body.length +
      topicSizeBytes +
      propertiesSizeBytes,
    body: message.body,
    bodyCrc: crc32(message.body) & 0x7fffffff,
    topic,
    topicSizeBytes,
    properties,
    propertiesSizeBytes,
    sysFlag: flags,
    bornTimestampMs: message.bornTimestampMs,
    bornHost: bornHost ?? UNKNOWN_HOST,
    storeHost,
    reconsumeTimes: options.reconsumeTimes ?? 0,
    preparedTransactionOffset: options.preparedTransactionOffset ?? 0,
  };
}

/** Bytes that `message` takes in the log; the same number as in its {@link PreparedMessage}. */
export function storedMessageSizeBytes(
  message: PublishMessage,
  topic: string,
  options: PrepareOptions = noOptions,
): number {
  const properties = propertiesText(
    message,
    canonicalIpv4Host(message.bornHost) === null,
    options.brokerProperties,
  );
  const hosts = (options.storeHost ?? UNKNOWN_HOST).bytes.length - 8;
  return (
    FIXED_SIZE_BYTES +
    hosts +
    message.body.length +
    Buffer.byteLength(topic) +
    Buffer.byteLength(properties)
  );
}

/**
 * Writes one record to `target[at, at + prepared.sizeBytes)`.
 *
 * @returns the offset behind the record
 */
export function writeStoredMessage(
  target: Buffer,
  at: number,
  prepared: PreparedMessage,
  placement: StoredPlacement,
): number {
  const end = at + prepared.sizeBytes;
  assert(end <= target.length, 'the record fits into its frame');
  writeInt32(target, prepared.sizeBytes, at);
  writeInt32(target, STORED_MESSAGE_MAGIC, at + 4);
  writeInt32(target, prepared.bodyCrc, at + 8);
  writeInt32(target, placement.queueId, at + 12);
  writeInt32(target, 0, at + 16);
  writeInt64(target, placement.queueOffset, at + 20);
  writeInt64(target, placement.physicalOffset, at + 28);
  writeInt32(target, prepared.sysFlag, at + 36);
  writeInt64(target, prepared.bornTimestampMs, at + 40);
  let to = copySmall(prepared.bornHost.bytes, target, at + 48);
  to = writeInt64(target, placement.storeTimestampMs, to);
  to = copySmall(prepared.storeHost.bytes, target, to);
  to = writeInt32(target, prepared.reconsumeTimes, to);
  to = writeInt64(target, prepared.preparedTransactionOffset, to);
  to = writeInt32(target, prepared.body.length, to);
  to += prepared.body.copy(target, to);
  target[to++] = prepared.topicSizeBytes;
  to += writeText(target, to, prepared.topic, prepared.topicSizeBytes);
  to = target.writeInt16BE(prepared.propertiesSizeBytes, to);
  to += writeText(target, to, prepared.properties, prepared.propertiesSizeBytes);
  assert(to === end, 'the record fills exactly its announced size');
  return end;
}

/**
 * Copies a whole record to `target[at, …)` and gives the copy its place: for messages that waited, as records, until
 * they may enter their queue.
 *
 * @returns the offset behind the copy
 */
export function placeStoredMessage(
  record: Buffer,
  target: Buffer,
  at: number,
  placement: StoredPlacement,
): number {
  const end = at + record.copy(target, at);
  assert(end === at + record.length, 'the record fits into its frame');
  target.writeInt32BE(placement.queueId, at + 12);
  writeInt64(target, placement.queueOffset, at + 20);
  writeInt64(target, placement.physicalOffset, at + 28);
  const bornHostSize = (record[39]! & sysFlag.BORN_HOST_IPV6) === 0 ? 8 : 20;
  writeInt64(target, placement.storeTimestampMs, at + 48 + bornHostSize);
  return end;
}

function copySmall(from: Buffer, target: Buffer, at: number): number {
  for (let i = 0; i < from.length; i++) target[at + i] = from[i]!;
  return at + from.length;
}

function writeText(target: Buffer, at: number, text: string, sizeBytes: number): number {
  // Equal sizes mean ASCII only: the one-byte writer is faster and gives the same bytes.
  return target.write(text, at, sizeBytes, sizeBytes === text.length ? 'latin1' : 'utf8');
}

/** Id and tag come first, so that a reader finds them soon. */
function propertiesText(
  message: PublishMessage,
  withBornHost: boolean,
  more: readonly string[] | undefined,
): string {
  const { tag, keys, messageGroup, traceContext, userProperties } = message;
  const { liteTopic = null, priority = null } = message;
  let text = 'UNIQ_KEY\x01' + message.messageId + VALUE_END;
  if (tag !== null) text += 'TAGS\x01' + tag + VALUE_END;
  if (keys.length > 0) text += keysText(keys);
  if (messageGroup !== null) text += '__SHARDINGKEY\x01' + messageGroup + VALUE_END;
  if (traceContext !== null) text += 'TRACE_CONTEXT\x01' + traceContext + VALUE_END;
  if (liteTopic !== null) text += '__LITE_TOPIC\x01' + liteTopic + VALUE_END;
  if (priority !== null) text += '_SYS_MSG_PRIORITY_\x01' + String(priority) + VALUE_END;
  if (withBornHost && message.bornHost !== '')
    text += '__BORNHOST\x01' + message.bornHost + VALUE_END;
  if (more !== undefined) {
    for (let i = 0; i < more.length; i += 2) text += more[i]! + NAME_END + more[i + 1]! + VALUE_END;
  }
  for (let i = 0; i < userProperties.length; i += 2) {
    const name = userProperties[i]!;
    // The message's own field wins over a user property of the same name.
    if (messageGroup !== null && name === propertyName.SHARDING_KEY) continue;
    if (traceContext !== null && name === propertyName.TRACE_CONTEXT) continue;
    text += name + NAME_END + userProperties[i + 1]! + VALUE_END;
  }
  return text;
}

function keysText(keys: readonly string[]): string {
  let joined = keys[0]!;
  let exact = joined.includes(' ');
  for (let i = 1; i < keys.length; i++) {
    joined += ' ' + keys[i]!;
    exact ||= keys[i]!.includes(' ');
  }
  const text = 'KEYS\x01' + joined + VALUE_END;
  return exact
    ? `${text}${propertyName.EXACT_KEYS}\x01${keys.join(KEY_SEPARATOR)}${VALUE_END}`
    : text;
}
