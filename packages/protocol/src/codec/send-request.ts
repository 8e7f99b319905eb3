import { MqError } from '@raftmq/base';
import { protocolLimits } from '../limits.js';
import {
  bodyEncoding,
  digestType,
  type BodyDigest,
  type DecodedMessage,
  type Resource,
} from '../model/message.js';
import { messageType, type MessageType } from '../model/topic.js';
import { isBlank } from '../names.js';
import { NO_RESOURCE, readResource } from './shared.js';
import { WireReader } from './wire.js';

/** A SendMessageRequest. */
export interface SendRequest {
  /** Topic of the first message, as the client spelled it. */
  readonly topic: Resource;
  /** Name of that topic, without its namespace. */
  readonly topicName: string;
  /** Namespace of that topic, '' without one. */
  readonly namespace: string;
  /** Not all messages name the same topic: {@link validateSend} refuses that. */
  readonly mixedTopics: boolean;
  readonly messages: readonly DecodedMessage[];
}

/** What the broker knows about a call, for what its messages leave out. */
export interface SendContext {
  /** Address of the caller: the born host of messages without one. */
  readonly peer: string;
  /** Unix milliseconds: the born timestamp of messages without one. */
  readonly nowMs: number;
}

const NOTHING: readonly string[] = [];

/**
 * Decodes a SendMessageRequest. Checks only that the bytes are one, and that its texts are UTF-8 (a wrong one fails with
 * the code of its field); {@link validateSend} does the rest.
 *
 * @param frame the request; bodies are views of it
 * @throws MqError BAD_REQUEST for malformed bytes; ILLEGAL_… for a text that is no UTF-8; PAYLOAD_TOO_LARGE for more than
 *   8192 messages, or bodies of more than 32 MiB together
 */
export function decodeSendMessageRequest(frame: Buffer, context: SendContext): SendRequest {
  const reader = new WireReader(frame);
  const fields = new MessageFields(frame);
  const messages: DecodedMessage[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== 10) {
      reader.skip(tag);
      continue;
    }
    if (messages.length === protocolLimits.messagesPerSendMax) {
      throw new MqError(
        'PAYLOAD_TOO_LARGE',
        `one call may hold ${messages.length} messages at most; send the rest in another call`,
      );
    }
    fields.clear();
    fields.readMessage(reader);
    messages.push(fields.build(context));
  }
  const sizeBytesMax = protocolLimits.sendBodiesSizeBytesMax;
  if (fields.bodiesSizeBytes > sizeBytesMax) {
    throw new MqError(
      'PAYLOAD_TOO_LARGE',
      `the bodies of one call have ${fields.bodiesSizeBytes} bytes together; the limit is ${sizeBytesMax}: send fewer messages per call`,
    );
  }
  const topic = fields.topic ?? NO_RESOURCE;
  const { name: topicName, namespace } = topic;
  return { topic, topicName, namespace, mixedTopics: fields.mixedTopics, messages };
}

/** Collects the fields of one message after the other; one object per request. */
class MessageFields {
  topic: Resource | null = null;
  mixedTopics = false;
  bodiesSizeBytes = 0;

  readonly #frame: Buffer;
  /** Where the first message's Resource lies in the frame; equal bytes need no second look. */
  #topicStart = 0;
  #topicEnd = 0;
  #hasTopic = false;
  #body: Buffer;
  #messageId = '';
  #tag: string | null = null;
  #keys: string[] | null = null;
  #properties: string[] | null = null;
  #propertyCount = 0;
  #digest: BodyDigest | null = null;
  #encoding = 0;
  #wireType = 0;
  #bornTimestampMs: number | null = null;
  #bornHost = '';
  #deliveryTimestampMs: number | null = null;
  #messageGroup: string | null = null;
  #traceContext: string | null = null;
  #transactionRecoveryMs: number | null = null;
  #liteTopic: string | null = null;
  #priority: number | null = null;

  constructor(frame: Buffer) {
    this.#frame = frame;
    this.#body = EMPTY;
  }

  clear(): void {
    this.#hasTopic = false;
    this.#body = EMPTY;
    this.#messageId = '';
    this.#tag = null;
    this.#keys = null;
    this.#properties = null;
    this.#propertyCount = 0;
    this.#digest = null;
    this.#encoding = 0;
    this.#wireType = 0;
    this.#bornTimestampMs = null;
    this.#bornHost = '';
    this.#deliveryTimestampMs = null;
    this.#messageGroup = null;
    this.#traceContext = null;
    this.#transactionRecoveryMs = null;
    this.#liteTopic = null;
    this.#priority = null;
  }

  readMessage(reader: WireReader): void {
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case 10:
          this.#readTopic(reader);
          break;
        case 18:
          this.#readProperty(reader);
          break;
        case 26:
          this.#readSystemProperties(reader);
          break;
        case 34:
          this.#body = reader.bytes();
          break;
        default:
          reader.skip(tag);
      }
    }
    reader.leave(outer);
    this.bodiesSizeBytes += this.#body.length;
    if (!this.#hasTopic) this.#compareTopic(NO_RESOURCE);
  }

  build(context: SendContext): DecodedMessage {
    return {
      messageId: this.#messageId,
      body: this.#body,
      tag: this.#tag,
      keys: this.#keys ?? NOTHING,
      userProperties: this.#properties ?? NOTHING,
      messageGroup: this.#messageGroup,
      traceContext: this.#traceContext,
      bornTimestampMs: this.#bornTimestampMs ?? context.nowMs,
      bornHost: isBlank(this.#bornHost) ? context.peer : this.#bornHost,
      gzip: this.#encoding === bodyEncoding.GZIP,
      messageType: this.#actualType(),
      userPropertyCount: this.#propertyCount,
      bodyDigest: this.#digest,
      bodyEncoding: this.#encoding,
      deliveryTimestampMs: this.#deliveryTimestampMs,
      liteTopic: this.#liteTopic,
      priority: this.#priority,
      transactionRecoveryMs: this.#transactionRecoveryMs,
    };
  }

  /** Of `message_type` only TRANSACTION is believed; everything else follows from the fields. */
  #actualType(): MessageType {
    if (this.#wireType === messageType.TRANSACTION) return messageType.TRANSACTION;
    if (this.#deliveryTimestampMs !== null) return messageType.DELAY;
    if (this.#messageGroup !== null) return messageType.FIFO;
    if (this.#liteTopic !== null) return messageType.LITE;
    return this.#priority !== null ? messageType.PRIORITY : messageType.NORMAL;
  }

  #readTopic(reader: WireReader): void {
    this.#hasTopic = true;
    const start = reader.position;
    if (this.topic !== null && this.#skipEqualTopic(reader, start)) return;
    this.#compareTopic(readResource(reader, 'ILLEGAL_TOPIC'));
    if (this.#topicEnd === 0) {
      this.#topicStart = start;
      this.#topicEnd = reader.position;
    }
  }

  /** Passes over the bytes at `start` when they are those of the first topic, their length included. */
  #skipEqualTopic(reader: WireReader, start: number): boolean {
    const frame = this.#frame;
    const size = this.#topicEnd - this.#topicStart;
    if (size === 0 || start + size > frame.length) return false;
    for (let i = 0; i < size; i++)
      if (frame[start + i] !== frame[this.#topicStart + i]) return false;
    reader.skip(10);
    return true;
  }

  #compareTopic(topic: Resource): void {
    if (this.topic === null) this.topic = topic;
    else if (this.topic.name !== topic.name || this.topic.namespace !== topic.namespace)
      this.mixedTopics = true;
  }

  #readProperty(reader: WireReader): void {
    const outer = reader.enter();
    let name = '';
    let value = '';
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 10) name = reader.text('ILLEGAL_MESSAGE_PROPERTY_KEY');
      else if (tag === 18) value = reader.text('ILLEGAL_MESSAGE_PROPERTY_KEY');
      else reader.skip(tag);
    }
    reader.leave(outer);
    const properties = (this.#properties ??= []);
    // In a map the last of equal keys wins. Beyond the limit nothing is kept: the message will be refused anyway.
    for (let i = 0; i < properties.length; i += 2) {
      if (properties[i] !== name) continue;
      properties[i + 1] = value;
      return;
    }
    this.#propertyCount++;
    if (this.#propertyCount <= protocolLimits.userPropertiesMax) properties.push(name, value);
  }

  #readSystemProperties(reader: WireReader): void {
    const outer = reader.enter();
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case 10:
          this.#tag = textOrNull(reader.text('ILLEGAL_MESSAGE_TAG'));
          break;
        case 18:
          (this.#keys ??= []).push(reader.text('ILLEGAL_MESSAGE_KEY'));
          break;
        case 26:
          this.#messageId = reader.text('ILLEGAL_MESSAGE_ID');
          break;
        case 34:
          this.#digest = readDigest(reader);
          break;
        case 40:
          this.#encoding = reader.int32();
          break;
        case 48:
          this.#wireType = reader.int32();
          break;
        case 58:
          this.#bornTimestampMs = reader.timeMs();
          break;
        case 66:
          this.#bornHost = reader.text();
          break;
        case 138:
          this.#messageGroup = textOrNull(reader.text('ILLEGAL_MESSAGE_GROUP'));
          break;
        default:
          this.#readRareSystemProperty(reader, tag);
      }
    }
    reader.leave(outer);
  }

  #readRareSystemProperty(reader: WireReader, tag: number): void {
    switch (tag) {
      case 90:
        this.#deliveryTimestampMs = reader.timeMs();
        return;
      case 146:
        this.#traceContext = textOrNull(reader.text());
        return;
      case 154:
        this.#transactionRecoveryMs = reader.timeMs();
        return;
      case 170:
        this.#liteTopic = textOrNull(reader.text('ILLEGAL_TOPIC'));
        return;
      case 176:
        this.#priority = reader.int32();
        return;
      default:
        // Store fields, queue id, delivery attempt: what a sender says about them does not count.
        reader.skip(tag);
    }
  }
}

const EMPTY = Buffer.alloc(0);

function textOrNull(text: string): string | null {
  return text === '' ? null : text;
}

/** Reads a Digest { 1 type, 2 checksum }; one without both is none. */
function readDigest(reader: WireReader): BodyDigest | null {
  const outer = reader.enter();
  let type: number = digestType.UNSPECIFIED;
  let checksum = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 8) type = reader.int32();
    else if (tag === 18) checksum = reader.text('MESSAGE_CORRUPTED');
    else reader.skip(tag);
  }
  reader.leave(outer);
  return type === digestType.UNSPECIFIED && checksum === '' ? null : { type, checksum };
}
