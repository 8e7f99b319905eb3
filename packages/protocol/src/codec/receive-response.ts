import { bodyEncoding, type BodyDigest, type Resource } from '../model/message.js';
import { readStatus, type Status } from '../status.js';
import { NO_RESOURCE, readResource } from './shared.js';
import { WireReader, WireWriter } from './wire.js';

/** A message as a consumer receives it. */
export interface ReceivedMessage {
  readonly topic: Resource;
  /** A view of the response's frame. */
  readonly body: Buffer;
  /** Name, value, name, value … */
  readonly userProperties: readonly string[];
  readonly messageId: string;
  readonly tag: string | null;
  readonly keys: readonly string[];
  readonly bodyDigest: BodyDigest | null;
  /** The body is gzip-compressed. */
  readonly gzip: boolean;
  /** Wire number of MessageType. */
  readonly messageType: number;
  readonly bornTimestampMs: number;
  readonly bornHost: string;
  readonly storeTimestampMs: number | null;
  readonly storeHost: string;
  readonly deliveryTimestampMs: number | null;
  readonly receiptHandle: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly invisibleMs: number | null;
  /** From 1; 0 when the server does not say. */
  readonly deliveryAttempt: number;
  readonly messageGroup: string | null;
  readonly traceContext: string | null;
  readonly deadLetter: { readonly topic: string; readonly messageId: string } | null;
  readonly liteTopic: string | null;
  readonly priority: number | null;
}

/** One part of a ReceiveMessage answer; exactly one of the three is not null in a part that this protocol knows. */
export interface ReceivePart {
  readonly status: Status | null;
  readonly message: ReceivedMessage | null;
  /** When the server sent the answer, Unix milliseconds. */
  readonly deliveryTimestampMs: number | null;
}

/** The part that says when the answer was sent; the last of every answer. The status part is a status response. */
export function encodeReceiveDeliveryTimestamp(nowMs: number): Buffer {
  const writer = new WireWriter(24);
  writer.timeMs(3, nowMs);
  return writer.finish();
}

/**
 * Decodes one ReceiveMessageResponse.
 *
 * @param frame the part; a message's body is a view of it
 * @throws MqError BAD_REQUEST on malformed bytes
 */
export function decodeReceiveMessageResponse(frame: Buffer): ReceivePart {
  const reader = new WireReader(frame);
  let status: Status | null = null;
  let message: ReceivedMessage | null = null;
  let deliveryTimestampMs: number | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 18) message = new ReceivedFields().read(reader);
    else if (tag === 10) status = readStatus(reader);
    else if (tag === 26) deliveryTimestampMs = reader.timeMs();
    else reader.skip(tag);
  }
  return { status, message, deliveryTimestampMs };
}

/** What a server asks a producer about a transaction that nobody ended. */
export interface OrphanedTransaction {
  readonly message: ReceivedMessage;
  readonly transactionId: string;
}

/**
 * Reads the RecoverOrphanedTransactionCommand out of a TelemetryCommand; null when it is another command.
 *
 * @param frame the TelemetryCommand; the message's body is a view of it
 * @throws MqError BAD_REQUEST on malformed bytes
 */
export function decodeRecoverOrphanedTransaction(frame: Buffer): OrphanedTransaction | null {
  const reader = new WireReader(frame);
  let message: ReceivedMessage | null = null;
  let transactionId = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== 42) {
      reader.skip(tag);
      continue;
    }
    const outer = reader.enter();
    for (let inner = reader.tag(); inner !== 0; inner = reader.tag()) {
      if (inner === 10) message = new ReceivedFields().read(reader);
      else if (inner === 18) transactionId = reader.text();
      else reader.skip(inner);
    }
    reader.leave(outer);
  }
  return message === null ? null : { message, transactionId };
}

/** One part of a PullMessage answer; exactly one of the three is not null in a part that this protocol knows. */
export interface PullPart {
  readonly status: Status | null;
  /** Without receipt handle: a pulled message is not leased. */
  readonly message: ReceivedMessage | null;
  readonly nextOffset: number | null;
}

/** Decodes one PullMessageResponse; as {@link decodeReceiveMessageResponse}. */
export function decodePullMessageResponse(frame: Buffer): PullPart {
  const reader = new WireReader(frame);
  let status: Status | null = null;
  let message: ReceivedMessage | null = null;
  let nextOffset: number | null = null;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 18) message = new ReceivedFields().read(reader);
    else if (tag === 10) status = readStatus(reader);
    else if (tag === 24) nextOffset = reader.int64();
    else reader.skip(tag);
  }
  return { status, message, nextOffset };
}

const EMPTY = Buffer.alloc(0);

/** The mutable twin of {@link ReceivedMessage}: filled field by field, then handed out as it is. */
class ReceivedFields implements ReceivedMessage {
  topic: Resource = NO_RESOURCE;
  body: Buffer = EMPTY;
  userProperties: string[] = [];
  messageId = '';
  tag: string | null = null;
  keys: string[] = [];
  bodyDigest: BodyDigest | null = null;
  gzip = false;
  messageType = 0;
  bornTimestampMs = 0;
  bornHost = '';
  storeTimestampMs: number | null = null;
  storeHost = '';
  deliveryTimestampMs: number | null = null;
  receiptHandle = '';
  queueId = 0;
  queueOffset = 0;
  invisibleMs: number | null = null;
  deliveryAttempt = 0;
  messageGroup: string | null = null;
  traceContext: string | null = null;
  deadLetter: { readonly topic: string; readonly messageId: string } | null = null;
  liteTopic: string | null = null;
  priority: number | null = null;

  read(reader: WireReader): this {
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 26) this.#readSystem(reader);
      else if (tag === 34) this.body = reader.bytes();
      else if (tag === 10) this.topic = readResource(reader, 'BAD_REQUEST');
      else if (tag === 18) this.userProperties.push(...readPair(reader));
      else reader.skip(tag);
    }
    reader.leave(outer);
    return this;
  }

  #readSystem(reader: WireReader): void {
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag <= 66) this.#readSenderField(reader, tag);
      else if (tag <= 128) this.#readStoreField(reader, tag);
      else this.#readRareField(reader, tag);
    }
    reader.leave(outer);
  }

  #readSenderField(reader: WireReader, tag: number): void {
    if (tag === 10) this.tag = reader.text();
    else if (tag === 18) this.keys.push(reader.text());
    else if (tag === 26) this.messageId = reader.text();
    else if (tag === 34) this.bodyDigest = readDigestFields(reader);
    else if (tag === 40) this.gzip = reader.int32() === bodyEncoding.GZIP;
    else if (tag === 48) this.messageType = reader.int32();
    else if (tag === 58) this.bornTimestampMs = reader.timeMs();
    else if (tag === 66) this.bornHost = reader.text();
    else reader.skip(tag);
  }

  #readStoreField(reader: WireReader, tag: number): void {
    if (tag === 74) this.storeTimestampMs = reader.timeMs();
    else if (tag === 82) this.storeHost = reader.text();
    else if (tag === 90) this.deliveryTimestampMs = reader.timeMs();
    else if (tag === 98) this.receiptHandle = reader.text();
    else if (tag === 104) this.queueId = reader.int32();
    else if (tag === 112) this.queueOffset = reader.int64();
    else if (tag === 122) this.invisibleMs = reader.timeMs();
    else if (tag === 128) this.deliveryAttempt = reader.int32();
    else reader.skip(tag);
  }

  #readRareField(reader: WireReader, tag: number): void {
    if (tag === 138) this.messageGroup = reader.text();
    else if (tag === 146) this.traceContext = reader.text();
    else if (tag === 162) {
      const [topic, messageId] = readPair(reader);
      this.deadLetter = { topic, messageId };
    } else if (tag === 170) this.liteTopic = reader.text();
    else if (tag === 176) this.priority = reader.int32();
    else reader.skip(tag);
  }
}

/** Reads a message whose fields 1 and 2 are texts: a map entry, a DeadLetterQueue. */
function readPair(reader: WireReader): [string, string] {
  const outer = reader.enter();
  let first = '';
  let second = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 10) first = reader.text();
    else if (tag === 18) second = reader.text();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return [first, second];
}

function readDigestFields(reader: WireReader): BodyDigest {
  const outer = reader.enter();
  let type = 0;
  let checksum = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 8) type = reader.int32();
    else if (tag === 18) checksum = reader.text();
    else reader.skip(tag);
  }
  reader.leave(outer);
  return { type, checksum };
}
