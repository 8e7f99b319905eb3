import { hash } from 'node:crypto';
import { crc32 } from '@raftmq/base';
import { bodyEncoding, digestType, type Resource } from '../model/message.js';
import { messageType, type MessageType } from '../model/topic.js';
import { splitFullName } from '../names.js';
import {
  KEY_SEPARATOR,
  type PropertyCursor,
  propertyName,
  propertyNameHash,
  reservedPropertyNames,
} from './properties.js';
import { encodeResource } from './shared.js';
import {
  storedBodySizeBytes,
  storedBodyStart,
  storedBornHost,
  storedBornTimestampMs,
  storedProperties,
  storedQueueId,
  storedQueueOffset,
  storedStoreHost,
  storedStoreTimestampMs,
  storedSysFlag,
  storedTopic,
} from './stored-fields.js';
import { sysFlag } from './stored-message.js';
import { WireWriter } from './wire.js';

/** One delivery of a stored message. */
export interface Delivery {
  /** The record in the stored layout; read only. */
  readonly record: Buffer;
  /** Empty when the message is shown, not handed out: fields of a delivery are left out then. */
  readonly receiptHandle: string;
  /** From 1. */
  readonly deliveryAttempt: number;
  readonly invisibleMs: number;
}

/** How a receiver learns whether a body came through whole. */
export type BodyDigestName = 'MD5' | 'CRC32';

/** Where the properties that are no user properties go. */
const slot = {
  TAG: 0,
  KEYS: 1,
  MESSAGE_ID: 2,
  GROUP: 3,
  TRACE: 4,
  BORN_HOST: 5,
  TIMER: 6,
  DLQ_TOPIC: 7,
  DLQ_ID: 8,
  LITE: 9,
  PRIORITY: 10,
  EXACT_KEYS: 11,
  DELAY: 12,
  HIDDEN: 13,
} as const;
const SLOT_COUNT = 14;

interface KnownName {
  readonly name: Buffer;
  readonly hash: number;
  readonly slot: number;
  /** Also delivered as a user property. */
  readonly visible: boolean;
}

const slotByName: ReadonlyMap<string, number> = new Map<string, number>([
  [propertyName.TAGS, slot.TAG],
  [propertyName.KEYS, slot.KEYS],
  [propertyName.UNIQ_KEY, slot.MESSAGE_ID],
  [propertyName.SHARDING_KEY, slot.GROUP],
  [propertyName.TRACE_CONTEXT, slot.TRACE],
  [propertyName.BORN_HOST, slot.BORN_HOST],
  [propertyName.TIMER_DELIVER_MS, slot.TIMER],
  [propertyName.TIMER_OUT_MS, slot.TIMER],
  [propertyName.DLQ_ORIGIN_TOPIC, slot.DLQ_TOPIC],
  [propertyName.DLQ_ORIGIN_MESSAGE_ID, slot.DLQ_ID],
  [propertyName.LITE_TOPIC, slot.LITE],
  [propertyName.PRIORITY, slot.PRIORITY],
  [propertyName.EXACT_KEYS, slot.EXACT_KEYS],
  [propertyName.DELAY_LEVEL, slot.DELAY],
  [propertyName.TIMER_DELAY_MS, slot.DELAY],
  [propertyName.TIMER_DELAY_SEC, slot.DELAY],
]);

/** Known names by their hash; names that share one stand in one list. */
const knownNames: ReadonlyMap<number, readonly KnownName[]> = buildKnownNames();

function buildKnownNames(): Map<number, KnownName[]> {
  const result = new Map<number, KnownName[]>();
  for (const text of new Set([...reservedPropertyNames, ...slotByName.keys()])) {
    const known: KnownName = {
      name: Buffer.from(text),
      hash: propertyNameHash(text),
      slot: slotByName.get(text) ?? slot.HIDDEN,
      visible: !reservedPropertyNames.has(text),
    };
    const same = result.get(known.hash);
    if (same === undefined) result.set(known.hash, [known]);
    else same.push(known);
  }
  return result;
}

/**
 * The properties of the record in hand, as ranges of its bytes. One object for all records: encoding is synchronous, and
 * it makes no garbage.
 */
class PropertyRanges {
  readonly starts = new Int32Array(SLOT_COUNT);
  /** Exclusive; 0 = the record has no such property. */
  readonly ends = new Int32Array(SLOT_COUNT);
  /** nameStart, nameEnd, valueStart, valueEnd of each user property. */
  user: number[] = [];
  userCount = 0;

  scan(cursor: PropertyCursor): void {
    this.ends.fill(0);
    this.userCount = 0;
    while (cursor.next()) {
      const known = find(cursor);
      if (known !== null) {
        this.starts[known.slot] = cursor.valueStart;
        this.ends[known.slot] = cursor.valueEnd;
        if (!known.visible) continue;
      }
      const at = this.userCount * 4;
      this.user[at] = cursor.nameStart;
      this.user[at + 1] = cursor.nameEnd;
      this.user[at + 2] = cursor.valueStart;
      this.user[at + 3] = cursor.valueEnd;
      this.userCount++;
    }
    // One message with thousands of properties must not hold memory for ever.
    if (this.user.length > 4096 && this.userCount < 1024)
      this.user = this.user.slice(0, this.userCount * 4);
  }

  has(index: number): boolean {
    return this.ends[index]! > this.starts[index]!;
  }

  text(index: number, record: Buffer): string {
    return this.has(index) ? record.toString('utf8', this.starts[index], this.ends[index]) : '';
  }
}

function find(cursor: PropertyCursor): KnownName | null {
  const candidates = knownNames.get(cursor.nameHash);
  if (candidates === undefined) return null;
  for (let i = 0; i < candidates.length; i++) {
    const known = candidates[i]!;
    if (cursor.nameIs(known.name, known.hash)) return known;
  }
  return null;
}

const ranges = new PropertyRanges();

/** The bytes of a topic's Resource as {@link encodeReceiveMessagePart} wants them. */
export function encodeTopicResource(topic: Resource): Buffer {
  return encodeResource(topic);
}

/**
 * Encodes a ReceiveMessageResponse that carries one message, straight from its stored record: texts are copied as bytes.
 *
 * @param topicResource the topic as the receiver spelled it, from {@link encodeTopicResource}; null takes the record's
 *   own topic, split into namespace and name
 * @param digest MD5 is what every official SDK reads; CRC32 costs a tenth of it, for those who are known to read it
 * @returns a Buffer of its own
 */
export function encodeReceiveMessagePart(
  delivery: Delivery,
  topicResource: Buffer | null,
  digest: BodyDigestName = 'MD5',
): Buffer {
  ranges.scan(storedProperties(delivery.record));
  const writer = new WireWriter(
    delivery.record.length + delivery.receiptHandle.length + 288 + ranges.userCount * 12,
  );
  writeMessage(writer, 2, delivery, topicResource, null, digest);
  return writer.finish();
}

/**
 * Encodes a PullMessageResponse that carries one message. It is nobody's: there is no receipt handle, no attempt and no
 * invisible time.
 */
export function encodePullMessagePart(record: Buffer, topicResource: Buffer | null): Buffer {
  ranges.scan(storedProperties(record));
  const writer = new WireWriter(record.length + 288 + ranges.userCount * 12);
  const shown: Delivery = { record, receiptHandle: '', deliveryAttempt: 0, invisibleMs: 0 };
  writeMessage(writer, 2, shown, topicResource, null);
  return writer.finish();
}

/**
 * Encodes a TelemetryCommand that asks a producer what became of a transaction. The message is complete, as a consumer
 * would get it, but for what belongs to a delivery.
 *
 * @param record the half message, stored layout
 * @param recoveryMs orphaned transaction recovery duration as sent, null when it was not
 * @returns a Buffer of its own
 */
export function encodeRecoverOrphanedTransaction(
  record: Buffer,
  transactionId: string,
  recoveryMs: number | null,
): Buffer {
  ranges.scan(storedProperties(record));
  const writer = new WireWriter(record.length + 320 + ranges.userCount * 12);
  const mark = writer.size;
  writer.text(2, transactionId);
  const shown: Delivery = { record, receiptHandle: '', deliveryAttempt: 0, invisibleMs: 0 };
  writeMessage(writer, 1, shown, null, recoveryMs);
  writer.message(5, mark);
  return writer.finish();
}

/** Writes a Message as field `field`; the ranges of its record are scanned. */
function writeMessage(
  writer: WireWriter,
  field: number,
  delivery: Delivery,
  topicResource: Buffer | null,
  recoveryMs: number | null,
  digest: BodyDigestName = 'MD5',
): void {
  const record = delivery.record;
  const mark = writer.size;
  const bodyStart = storedBodyStart(record);
  const bodyEnd = bodyStart + storedBodySizeBytes(record);
  writer.range(4, record, bodyStart, bodyEnd);
  const systemMark = writer.size;
  writeDeliveryFields(writer, delivery, recoveryMs);
  writeStoreFields(writer, record, delivery.receiptHandle);
  writeSenderFields(writer, record, digest, record.subarray(bodyStart, bodyEnd));
  writer.message(3, systemMark);
  writeUserProperties(writer, record);
  writer.bytes(1, topicResource ?? encodeResource(splitFullName(storedTopic(record))));
  writer.message(field, mark);
}

/** Fields 22 down to 15: what is rare, and what belongs to this delivery. */
function writeDeliveryFields(
  writer: WireWriter,
  delivery: Delivery,
  recoveryMs: number | null,
): void {
  const record = delivery.record;
  if (ranges.has(slot.PRIORITY))
    writer.presentInt(22, Number(ranges.text(slot.PRIORITY, record)) | 0);
  writeSlot(writer, 21, slot.LITE, record);
  if (ranges.has(slot.DLQ_TOPIC)) {
    const mark = writer.size;
    writeSlot(writer, 2, slot.DLQ_ID, record);
    writeSlot(writer, 1, slot.DLQ_TOPIC, record);
    writer.message(20, mark);
  }
  if (recoveryMs !== null) writer.timeMs(19, recoveryMs);
  writeSlot(writer, 18, slot.TRACE, record);
  writeSlot(writer, 17, slot.GROUP, record);
  if (delivery.receiptHandle === '') return;
  writer.presentInt(16, delivery.deliveryAttempt);
  writer.timeMs(15, delivery.invisibleMs);
}

/** Fields 14 down to 9. */
function writeStoreFields(writer: WireWriter, record: Buffer, receiptHandle: string): void {
  writer.presentInt(14, storedQueueOffset(record));
  writer.int(13, storedQueueId(record));
  writer.text(12, receiptHandle);
  const dueMs = ranges.has(slot.TIMER) ? Number(ranges.text(slot.TIMER, record)) : NaN;
  if (Number.isSafeInteger(dueMs)) writer.timeMs(11, dueMs);
  writer.text(10, storedStoreHost(record));
  writer.timeMs(9, storedStoreTimestampMs(record));
}

/** Fields 8 down to 1. */
function writeSenderFields(
  writer: WireWriter,
  record: Buffer,
  digest: BodyDigestName,
  body: Buffer,
): void {
  if (ranges.has(slot.BORN_HOST)) writeSlot(writer, 8, slot.BORN_HOST, record);
  else writer.text(8, storedBornHost(record));
  writer.timeMs(7, storedBornTimestampMs(record));
  const flags = storedSysFlag(record);
  writer.int(6, deliveredType(flags));
  writer.int(5, (flags & sysFlag.COMPRESSED) === 0 ? bodyEncoding.IDENTITY : bodyEncoding.GZIP);
  const digestMark = writer.size;
  const sum = digest === 'MD5' ? hash('md5', body, 'hex') : crc32(body).toString(16);
  writer.text(2, sum.toUpperCase());
  writer.int(1, digestType[digest]);
  writer.message(4, digestMark);
  writeSlot(writer, 3, slot.MESSAGE_ID, record);
  if (ranges.has(slot.EXACT_KEYS))
    writeKeys(writer, record, slot.EXACT_KEYS, KEY_SEPARATOR.charCodeAt(0));
  else if (ranges.has(slot.KEYS)) writeKeys(writer, record, slot.KEYS, 0x20);
  writeSlot(writer, 1, slot.TAG, record);
}

/** A committed transactional message comes as what it would be without the transaction, as RocketMQ has it. */
function deliveredType(flags: number): MessageType {
  if ((flags & sysFlag.TRANSACTION_MASK) === sysFlag.TRANSACTION_PREPARED)
    return messageType.TRANSACTION;
  if (ranges.has(slot.TIMER) || ranges.has(slot.DELAY)) return messageType.DELAY;
  if (ranges.has(slot.GROUP)) return messageType.FIFO;
  if (ranges.has(slot.LITE)) return messageType.LITE;
  return ranges.has(slot.PRIORITY) ? messageType.PRIORITY : messageType.NORMAL;
}

function writeSlot(writer: WireWriter, field: number, index: number, record: Buffer): void {
  if (ranges.has(index)) writer.range(field, record, ranges.starts[index]!, ranges.ends[index]!);
}

/** Writes the parts between separators, the last one first; empty ones do not count. */
function writeKeys(writer: WireWriter, record: Buffer, index: number, separator: number): void {
  const start = ranges.starts[index]!;
  let end = ranges.ends[index]!;
  for (let at = end - 1; at >= start - 1; at--) {
    if (at >= start && record[at] !== separator) continue;
    if (end > at + 1) writer.range(2, record, at + 1, end);
    end = at;
  }
}

function writeUserProperties(writer: WireWriter, record: Buffer): void {
  const user = ranges.user;
  for (let at = (ranges.userCount - 1) * 4; at >= 0; at -= 4) {
    const mark = writer.size;
    writer.range(2, record, user[at + 2]!, user[at + 3]!);
    writer.range(1, record, user[at]!, user[at + 1]!);
    writer.message(2, mark);
  }
}
