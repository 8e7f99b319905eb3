import { assert, readInt64 } from '@raftmq/base';
import { type PublishMessage } from '../model/message.js';
import {
  KEY_SEPARATOR,
  PropertyCursor,
  propertyName,
  propertyNameHash,
  reservedPropertyNames,
} from './properties.js';
import { parseTtlMs, TTL_PROPERTY } from '../model/message-ttl.js';
import { formatStoredHost } from './stored-host.js';
import { STORED_MESSAGE_MAGIC, sysFlag } from './stored-message.js';

/*
 * Single fields of a stored message, read without looking at the rest. `record` starts with the record and may be
 * longer; it lies in a log entry whose checksum was verified, so structure is asserted, not reported.
 */

/** Whether a record with at least 8 bytes is a message, and not a command. */
export function isStoredMessage(record: Buffer, at = 0): boolean {
  return record.readUInt32BE(at + 4) === STORED_MESSAGE_MAGIC;
}

/** Size of the record, whatever its kind. */
export function storedSizeBytes(record: Buffer, at = 0): number {
  return record.readUInt32BE(at);
}

export function storedQueueId(record: Buffer): number {
  return record.readInt32BE(12);
}

export function storedQueueOffset(record: Buffer): number {
  return readInt64(record, 20);
}

/** Byte position in the commit log. */
export function storedPhysicalOffset(record: Buffer): number {
  return readInt64(record, 28);
}

/** Bits of {@link sysFlag}. */
export function storedSysFlag(record: Buffer): number {
  return record.readInt32BE(36);
}

/** Unix milliseconds. */
export function storedBornTimestampMs(record: Buffer): number {
  return readInt64(record, 40);
}

/** Unix milliseconds. */
export function storedStoreTimestampMs(record: Buffer): number {
  return readInt64(record, 48 + bornHostSize(record));
}

export function storedReconsumeTimes(record: Buffer): number {
  return record.readInt32BE(bodyLengthAt(record) - 12);
}

/** CRC32 of the body, without its top bit. */
export function storedBodyCrc(record: Buffer): number {
  return record.readUInt32BE(8);
}

/** First byte of the body. */
export function storedBodyStart(record: Buffer): number {
  return bodyLengthAt(record) + 4;
}

export function storedBodySizeBytes(record: Buffer): number {
  return record.readInt32BE(bodyLengthAt(record));
}

/** A view of the body. */
export function storedBody(record: Buffer): Buffer {
  const at = bodyLengthAt(record);
  return record.subarray(at + 4, at + 4 + record.readInt32BE(at));
}

/** Full topic name as stored. */
export function storedTopic(record: Buffer): string {
  const at = topicLengthAt(record);
  return record.toString('latin1', at + 1, at + 1 + record[at]!);
}

/** `ip:port` of the broker that stored the message. */
export function storedStoreHost(record: Buffer): string {
  return formatStoredHost(
    record,
    56 + bornHostSize(record),
    (storedSysFlag(record) & sysFlag.STORE_HOST_IPV6) !== 0,
  );
}

/** `ip:port` from the fixed part; what a v5 client wrote is the property `__BORNHOST` when that says more. */
export function storedBornHost(record: Buffer): string {
  return formatStoredHost(record, 48, (storedSysFlag(record) & sysFlag.BORN_HOST_IPV6) !== 0);
}

/** Walks over the properties. */
export function storedProperties(record: Buffer): PropertyCursor {
  const topicAt = topicLengthAt(record);
  const at = topicAt + 1 + record[topicAt]!;
  const end = at + 2 + record.readUInt16BE(at);
  assert(end <= record.length, 'the properties end inside the record');
  return new PropertyCursor(record, at + 2, end);
}

/** The value of one property, the last of equal names; null without it, or when it is empty. */
export function storedProperty(record: Buffer, name: string): string | null {
  return findProperty(record, Buffer.from(name), propertyNameHash(name));
}

const tagName = Buffer.from(propertyName.TAGS);
const tagNameHash = propertyNameHash(propertyName.TAGS);
const idName = Buffer.from(propertyName.UNIQ_KEY);
const liteName = Buffer.from(propertyName.LITE_TOPIC);
const liteNameHash = propertyNameHash(propertyName.LITE_TOPIC);
const ttlName = Buffer.from(TTL_PROPERTY);
const ttlNameHash = propertyNameHash(TTL_PROPERTY);
const idNameHash = propertyNameHash(propertyName.UNIQ_KEY);

/** The message's tag, null without one. */
export function storedTag(record: Buffer): string | null {
  return findProperty(record, tagName, tagNameHash);
}

/** Name of the message's lite topic, null without one. */
export function storedLiteTopic(record: Buffer): string | null {
  return findProperty(record, liteName, liteNameHash);
}

/** From when on nobody gets the message any more, Unix milliseconds; Infinity when its sender set no time to live. */
export function storedExpiryMs(record: Buffer): number {
  const ttl = findProperty(record, ttlName, ttlNameHash);
  const ttlMs = ttl === null ? null : parseTtlMs(ttl);
  return ttlMs === null ? Infinity : storedStoreTimestampMs(record) + ttlMs;
}

/** The client's message id, null when the record has none. */
export function storedMessageId(record: Buffer): string | null {
  return findProperty(record, idName, idNameHash);
}

function findProperty(record: Buffer, name: Buffer, hash: number): string | null {
  const cursor = storedProperties(record);
  let start = 0;
  let end = 0;
  while (cursor.next()) {
    if (!cursor.nameIs(name, hash) || cursor.valueStart === cursor.valueEnd) continue;
    start = cursor.valueStart;
    end = cursor.valueEnd;
  }
  return end === 0 ? null : record.toString('utf8', start, end);
}

function bornHostSize(record: Buffer): number {
  return (record[39]! & sysFlag.BORN_HOST_IPV6) === 0 ? 8 : 20;
}

function bodyLengthAt(record: Buffer): number {
  return 68 + bornHostSize(record) + ((record[39]! & sysFlag.STORE_HOST_IPV6) === 0 ? 8 : 20);
}

function topicLengthAt(record: Buffer): number {
  const at = bodyLengthAt(record);
  const topicAt = at + 4 + record.readInt32BE(at);
  assert(topicAt < record.length, 'the body ends inside the record');
  return topicAt;
}

/** A stored message read as a whole: what a client sent, and what the broker made of it. */
export interface StoredMessage extends PublishMessage {
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly physicalOffset: number;
  readonly sysFlag: number;
  readonly storeTimestampMs: number;
  /** `ip:port`. */
  readonly storeHost: string;
  readonly reconsumeTimes: number;
  /** Every property as stored, the reserved ones included. */
  readonly properties: ReadonlyMap<string, string>;
}

/**
 * Reads a whole record. For rare calls: dead letters, tools, queries.
 *
 * @returns the message; `body` is a view of `record`
 */
export function decodeStoredMessage(record: Buffer): StoredMessage {
  const properties = new Map<string, string>();
  const cursor = storedProperties(record);
  while (cursor.next()) {
    const name = record.toString('utf8', cursor.nameStart, cursor.nameEnd);
    properties.set(name, record.toString('utf8', cursor.valueStart, cursor.valueEnd));
  }
  const userProperties: string[] = [];
  for (const [name, value] of properties) {
    if (
      reservedPropertyNames.has(name) ||
      name === propertyName.SHARDING_KEY ||
      name === propertyName.TRACE_CONTEXT
    )
      continue;
    userProperties.push(name, value);
  }
  const flags = storedSysFlag(record);
  return {
    messageId: properties.get(propertyName.UNIQ_KEY) ?? '',
    body: storedBody(record),
    tag: properties.get(propertyName.TAGS) ?? null,
    keys: splitKeys(properties.get(propertyName.KEYS), properties.get(propertyName.EXACT_KEYS)),
    userProperties,
    messageGroup: properties.get(propertyName.SHARDING_KEY) ?? null,
    traceContext: properties.get(propertyName.TRACE_CONTEXT) ?? null,
    liteTopic: properties.get(propertyName.LITE_TOPIC) ?? null,
    priority: priorityOf(properties.get(propertyName.PRIORITY)),
    bornTimestampMs: storedBornTimestampMs(record),
    bornHost: properties.get(propertyName.BORN_HOST) ?? storedBornHost(record),
    gzip: (flags & sysFlag.COMPRESSED) !== 0,
    topic: storedTopic(record),
    queueId: storedQueueId(record),
    queueOffset: storedQueueOffset(record),
    physicalOffset: storedPhysicalOffset(record),
    sysFlag: flags,
    storeTimestampMs: storedStoreTimestampMs(record),
    storeHost: storedStoreHost(record),
    reconsumeTimes: storedReconsumeTimes(record),
    properties,
  };
}

/** The list of keys out of the properties `KEYS` and `__RAFTMQ_KEYS`. */
export function splitKeys(keys: string | undefined, exact: string | undefined): string[] {
  if (exact !== undefined) return exact.split(KEY_SEPARATOR);
  return keys === undefined ? [] : keys.split(' ').filter((key) => key !== '');
}

function priorityOf(text: string | undefined): number | null {
  return text === undefined ? null : Number(text) | 0;
}
