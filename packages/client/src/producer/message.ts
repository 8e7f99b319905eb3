import { MqError } from '@raftmq/base';
import {
  measureText,
  messageType,
  type MessageType,
  type OutgoingMessage,
  TTL_PROPERTY,
} from '@raftmq/protocol';
import { deliveryTimeMs, type DelayLevels, type DeliveryTimeInput } from './delivery-time.js';

/** What nine digits can say. */
const TTL_MS_MAX = 999_999_999;

/** A message to send. */
export interface MessageInput extends DeliveryTimeInput {
  readonly topic: string;
  /** Text is sent as UTF-8. A Buffer must not be changed until the send has settled. */
  readonly body: Buffer | string;
  /** One word to filter by. */
  readonly tag?: string;
  /** Words to find the message by. */
  readonly keys?: readonly string[];
  readonly properties?: Readonly<Record<string, string>>;
  /** Nobody gets the message when it has been stored for this long. Whole milliseconds, at least 1; kept by RaftMQ brokers. */
  readonly ttlMs?: number;
  /** Messages of one group are delivered in the order in which they were sent. */
  readonly messageGroup?: string;
  readonly liteTopic?: string;
  readonly priority?: number;
  /** A W3C trace context. */
  readonly traceContext?: string;
}

/** Where a message was stored. */
export interface SendReceipt {
  readonly messageId: string;
  /** For `commit` and `rollback`; the message id. */
  readonly transactionId: string;
  readonly topic: string;
  /** -1 when the server does not say, or the message waits for its delivery time. */
  readonly queueOffset: number;
  readonly brokerName: string;
  /** For `Producer.recall`; '' unless the message waits for its delivery time. */
  readonly recallHandle: string;
}

/**
 * Makes the wire form of a message and checks what a server would refuse anyway.
 * @throws MqError MESSAGE_BODY_EMPTY, MESSAGE_BODY_TOO_LARGE, ILLEGAL_DELIVERY_TIME, BAD_REQUEST (`ttlMs`), or the code of a text with control characters or half a surrogate pair
 */
export function toOutgoing(
  input: MessageInput,
  messageId: string,
  bornHost: string,
  bodySizeBytesMax: number,
  levels: DelayLevels,
): OutgoingMessage {
  const body = typeof input.body === 'string' ? Buffer.from(input.body, 'utf8') : input.body;
  if (body.length === 0) {
    throw new MqError(
      'MESSAGE_BODY_EMPTY',
      'the message body is empty; RocketMQ stores no such message',
    );
  }
  if (body.length > bodySizeBytesMax) {
    throw new MqError(
      'MESSAGE_BODY_TOO_LARGE',
      `the body has ${body.length} bytes; the server takes ${bodySizeBytesMax} at most`,
    );
  }
  if (input.topic === '') throw new MqError('ILLEGAL_TOPIC', 'the topic is empty');
  const keys = input.keys ?? [];
  const userProperties = propertiesOf(input);
  checkText(input.tag, 'ILLEGAL_MESSAGE_TAG', 'tag');
  checkText(input.messageGroup, 'ILLEGAL_MESSAGE_GROUP', 'message group');
  checkText(input.traceContext, 'BAD_REQUEST', 'trace context');
  checkText(input.liteTopic, 'ILLEGAL_TOPIC', 'lite topic');
  for (const key of keys) checkText(key, 'ILLEGAL_MESSAGE_KEY', 'key');
  for (const part of userProperties) checkText(part, 'ILLEGAL_MESSAGE_PROPERTY_KEY', 'property');
  const nowMs = Date.now();
  const deliveryTimestampMs = deliveryTimeMs(input, levels, nowMs);
  return {
    messageId,
    body,
    tag: input.tag ?? null,
    keys,
    userProperties,
    messageGroup: input.messageGroup ?? null,
    traceContext: input.traceContext ?? null,
    bornTimestampMs: nowMs,
    bornHost,
    gzip: false,
    messageType: typeOf(input, deliveryTimestampMs !== null),
    deliveryTimestampMs,
    liteTopic: input.liteTopic ?? null,
    priority: input.priority ?? null,
  };
}

function typeOf(input: MessageInput, timed: boolean): MessageType {
  if (timed) return messageType.DELAY;
  if (input.messageGroup !== undefined) return messageType.FIFO;
  if (input.liteTopic !== undefined) return messageType.LITE;
  if (input.priority !== undefined) return messageType.PRIORITY;
  return messageType.NORMAL;
}

function propertiesOf({ properties, ttlMs }: MessageInput): readonly string[] {
  if (ttlMs === undefined) return flatten(properties);
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 1 || ttlMs > TTL_MS_MAX) {
    throw new MqError(
      'BAD_REQUEST',
      `ttlMs is ${ttlMs}; give whole milliseconds from 1 to ${TTL_MS_MAX}`,
    );
  }
  return flatten({ ...properties, [TTL_PROPERTY]: `${ttlMs}ms` });
}

function flatten(properties: Readonly<Record<string, string>> | undefined): readonly string[] {
  if (properties === undefined) return [];
  const flat: string[] = [];
  for (const name of Object.keys(properties)) flat.push(name, properties[name]!);
  return flat;
}

function checkText(text: string | undefined, code: MqError['code'], what: string): void {
  if (text !== undefined && measureText(text) < 0) {
    throw new MqError(
      code,
      `the ${what} is not well-formed text: it has a control character or half of a surrogate pair`,
    );
  }
}
