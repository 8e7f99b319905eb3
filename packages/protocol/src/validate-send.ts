import { MqError } from '@raftmq/base';
import { bodyMatchesDigest } from './body-digest.js';
import { reservedPropertyNames } from './codec/properties.js';
import { type SendRequest } from './codec/send-request.js';
import { protocolLimits, type SendLimits } from './limits.js';
import { type DecodedMessage } from './model/message.js';
import { parseTtlMs, TTL_PROPERTY } from './model/message-ttl.js';
import { messageType, messageTypeName, topicAccepts, type TopicType } from './model/topic.js';
import { checkTopicName, isBlank, isGroupTopic, measureText, topicNotFound } from './names.js';

/**
 * All checks of a SendMessageRequest, in RocketMQ's order; the first failure answers the whole request. We go beyond it
 * where it would store what it cannot give back: digests are verified, and no text may have control characters.
 *
 * @param topicType type of the topic, null when it does not exist
 * @param nowMs Unix milliseconds
 * @throws MqError with the code of the first check that fails
 */
export function validateSend(
  request: SendRequest,
  topicType: TopicType | null,
  limits: SendLimits = protocolLimits,
  nowMs: number,
): void {
  validateSendContent(request, limits, nowMs);
  validateSendTopic(request, topicType);
}

/** The checks that need no topic: for callers that look it up, or create it, in between. */
export function validateSendContent(request: SendRequest, limits: SendLimits, nowMs: number): void {
  const messages = request.messages;
  if (messages.length === 0)
    throw new MqError('MESSAGE_CORRUPTED', 'the request holds no message; send at least one');
  checkTopicName(request.topicName);
  if (request.mixedTopics) {
    throw new MqError(
      'MESSAGE_CORRUPTED',
      'all messages of one call must name the same topic; send them in calls of their own',
    );
  }
  for (let i = 0; i < messages.length; i++) checkMessage(messages[i]!, limits, nowMs);
}

/**
 * Whether the topic exists and takes messages of these types. Dead-letter and retry topics take all.
 *
 * @throws MqError TOPIC_NOT_FOUND, MESSAGE_PROPERTY_CONFLICT_WITH_TYPE
 */
export function validateSendTopic(request: SendRequest, topicType: TopicType | null): void {
  if (topicType === null) throw topicNotFound(request.topicName);
  if (isGroupTopic(request.topicName)) return;
  const messages = request.messages;
  for (let i = 0; i < messages.length; i++) {
    const type = messages[i]!.messageType;
    if (topicAccepts(topicType, type)) continue;
    throw new MqError(
      'MESSAGE_PROPERTY_CONFLICT_WITH_TYPE',
      `the message is of type ${messageTypeName(type)}, but topic "${request.topicName}" takes ${topicType}; send it to a topic of its type`,
    );
  }
}

function checkMessage(message: DecodedMessage, limits: SendLimits, nowMs: number): void {
  checkBody(message, limits);
  checkProperties(message, limits);
  checkIdentity(message, limits);
  checkTimes(message, limits, nowMs);
  checkGroup(message, limits);
  if (message.bodyDigest !== null && !bodyMatchesDigest(message.body, message.bodyDigest)) {
    throw new MqError(
      'MESSAGE_CORRUPTED',
      'the body does not match its digest, or the kind of digest is not known; send it again',
    );
  }
}

function checkBody(message: DecodedMessage, limits: SendLimits): void {
  const size = message.body.length;
  if (size === 0) throw new MqError('MESSAGE_BODY_EMPTY', 'message body cannot be empty');
  if (size > limits.bodySizeBytesMax) {
    throw new MqError(
      'MESSAGE_BODY_TOO_LARGE',
      `message body cannot exceed the max ${limits.bodySizeBytesMax}; it has ${size} bytes`,
    );
  }
}

function checkProperties(message: DecodedMessage, limits: SendLimits): void {
  const { userProperties, tag, keys } = message;
  // The decoder keeps no more than the protocol's own limit, whatever the limits here say.
  const incomplete = message.userPropertyCount * 2 !== userProperties.length;
  if (incomplete || message.userPropertyCount > limits.userPropertiesMax) {
    throw new MqError(
      'MESSAGE_PROPERTIES_TOO_LARGE',
      `the message has ${message.userPropertyCount} user properties; at most ${Math.min(limits.userPropertiesMax, protocolLimits.userPropertiesMax)} are allowed`,
    );
  }
  let total = 0;
  for (let i = 0; i < userProperties.length; i += 2)
    total += propertySize(userProperties[i]!, userProperties[i + 1]!);
  if (tag !== null) {
    const size = measureText(tag);
    if (size < 0 || isBlank(tag) || tag.includes('|')) {
      throw new MqError(
        'ILLEGAL_MESSAGE_TAG',
        `the tag ${JSON.stringify(tag)} must not be blank, nor contain "|" or control characters`,
      );
    }
    total += size;
  }
  for (let i = 0; i < keys.length; i++) {
    const size = measureText(keys[i]!);
    if (size < 0 || isBlank(keys[i]!)) {
      throw new MqError(
        'ILLEGAL_MESSAGE_KEY',
        `the key ${JSON.stringify(keys[i])} must not be blank, nor contain control characters`,
      );
    }
    total += size;
  }
  if (total > limits.propertiesSizeBytesMax) {
    throw new MqError(
      'MESSAGE_PROPERTIES_TOO_LARGE',
      `user properties, tag and keys have ${total} bytes together; the limit is ${limits.propertiesSizeBytesMax}`,
    );
  }
}

function propertySize(name: string, value: string): number {
  if (reservedPropertyNames.has(name)) {
    throw new MqError(
      'ILLEGAL_MESSAGE_PROPERTY_KEY',
      `the property name "${name}" is reserved; choose another one`,
    );
  }
  if (name === TTL_PROPERTY && parseTtlMs(value) === null) {
    throw new MqError(
      'ILLEGAL_MESSAGE_PROPERTY_KEY',
      `the property ${TTL_PROPERTY} is ${JSON.stringify(value)}; write a number and its unit, such as 500ms, 2s, 5m, 1h or 7d`,
    );
  }
  const nameSize = measureText(name);
  const valueSize = measureText(value);
  if (nameSize < 0 || valueSize < 0 || isBlank(name)) {
    throw new MqError(
      'ILLEGAL_MESSAGE_PROPERTY_KEY',
      `the property ${JSON.stringify(name)} must have a name, and no control characters in name or value`,
    );
  }
  return nameSize + valueSize;
}

function checkIdentity(message: DecodedMessage, limits: SendLimits): void {
  const idSize = measureText(message.messageId);
  if (idSize < 0 || idSize > limits.messageIdSizeBytesMax || isBlank(message.messageId)) {
    throw new MqError(
      'ILLEGAL_MESSAGE_ID',
      `the message id must not be blank, have control characters, nor exceed ${limits.messageIdSizeBytesMax} bytes`,
    );
  }
  const hostSize = measureText(message.bornHost);
  if (hostSize < 0 || hostSize > limits.bornHostSizeBytesMax) {
    throw new MqError(
      'BAD_REQUEST',
      `born_host must not have control characters, nor exceed ${limits.bornHostSizeBytesMax} bytes`,
    );
  }
  if (message.traceContext === null) return;
  const traceSize = measureText(message.traceContext);
  if (traceSize < 0 || traceSize > limits.traceContextSizeBytesMax) {
    throw new MqError(
      'BAD_REQUEST',
      `trace_context must not have control characters, nor exceed ${limits.traceContextSizeBytesMax} bytes`,
    );
  }
}

function checkTimes(message: DecodedMessage, limits: SendLimits, nowMs: number): void {
  const transaction = message.messageType === messageType.TRANSACTION;
  const recoveryMs = message.transactionRecoveryMs;
  if (
    transaction &&
    recoveryMs !== null &&
    (recoveryMs < 0 || recoveryMs > limits.transactionRecoveryMsMax)
  ) {
    throw new MqError(
      'BAD_REQUEST',
      `orphaned_transaction_recovery_duration is ${recoveryMs} ms; it must be between 0 and ${limits.transactionRecoveryMsMax} ms`,
    );
  }
  const deliveryMs = message.deliveryTimestampMs;
  if (deliveryMs === null) return;
  if (deliveryMs - nowMs > limits.delayMsMax) {
    throw new MqError(
      'ILLEGAL_DELIVERY_TIME',
      `the delivery time lies ${deliveryMs - nowMs} ms ahead; the limit is ${limits.delayMsMax} ms (${daysText(limits.delayMsMax)}): choose an earlier one`,
    );
  }
  if (transaction) {
    throw new MqError(
      'MESSAGE_PROPERTY_CONFLICT_WITH_TYPE',
      'a transactional message cannot have a delivery time; leave one of them out',
    );
  }
}

function daysText(durationMs: number): string {
  return `${Number((durationMs / 86_400_000).toFixed(3))} days`;
}

function checkGroup(message: DecodedMessage, limits: SendLimits): void {
  const group = message.messageGroup;
  if (group !== null) {
    const size = measureText(group);
    if (size < 0 || size >= limits.messageGroupSizeBytesEnd || isBlank(group)) {
      throw new MqError(
        'ILLEGAL_MESSAGE_GROUP',
        `the message group must not be blank, have control characters, nor reach ${limits.messageGroupSizeBytesEnd} bytes`,
      );
    }
    if (message.deliveryTimestampMs !== null) {
      throw new MqError(
        'MESSAGE_PROPERTY_CONFLICT_WITH_TYPE',
        'a message with a delivery time cannot have a message group; leave one of them out',
      );
    }
  }
  const lite = message.liteTopic;
  if (lite === null) return;
  checkLiteTopic(lite, limits);
}

/** @throws MqError ILLEGAL_LITE_TOPIC */
export function checkLiteTopic(
  name: string,
  limits: Pick<SendLimits, 'liteTopicSizeBytesMax'> = protocolLimits,
): void {
  const size = measureText(name);
  if (size >= 0 && size <= limits.liteTopicSizeBytesMax && !isBlank(name)) return;
  throw new MqError(
    'ILLEGAL_LITE_TOPIC',
    `the lite topic must not be blank, have control characters, nor exceed ${limits.liteTopicSizeBytesMax} bytes`,
  );
}
