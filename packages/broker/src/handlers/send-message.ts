import { isMqError, MqError } from '@raftmq/base';
import {
  commonStatus,
  decodeSendMessageRequest,
  encodeSendMessageResponse,
  encodeSendOkResponse,
  messageType,
  messageTypeName,
  OK_STATUS,
  protocolLimits,
  statusOf,
  topicTypeFor,
  validateSendContent,
  validateSendTopic,
  type DecodedMessage,
  type SendRequest,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { type TopicConfig } from '../messaging.js';
import { createOnDemand, groupWithTopic, notAllowed } from './find-topic.js';
import { unaryMethod } from './pipeline.js';
import { WRITABLE } from './route-entries.js';
import { reportUnexpected, topicOf, type EdgeServices } from './services.js';

/** SendMessage: stores the messages of one call, all or none, and answers when a majority of the replicas has them. */
export function sendMessage(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'SendMessage', async (call, request) => {
    const nowMs = services.clock.wallMs();
    const send = decodeSendMessageRequest(request, { peer: call.peer, nowMs });
    validateSendContent(send, protocolLimits, nowMs);
    const name = topicOf(send.topic, call);
    const group =
      services.messaging.topic(name) !== null
        ? services.ownGroup
        : await groupWithTopic(
            services,
            name,
            (other) => (other.topic.permission & WRITABLE) !== 0,
          );
    return services.forwarder.unary(call, request, group, () => store(services, send, name));
  });
}

/** Stores at the leader. Rejects with HA_NOT_AVAILABLE only when nothing was stored. */
async function store(services: EdgeServices, send: SendRequest, name: string): Promise<Buffer> {
  const refusal = services.sendRefusal();
  if (refusal !== null) throw refusal;
  const { messaging } = services;
  if (messaging.topic(name) === null) {
    await createOnDemand(services, name, topicTypeFor(send.messages[0]!.messageType));
  }
  const topic = messaging.topic(name);
  validateSendTopic(send, topic === null ? null : topic.type);
  if ((topic!.permission & WRITABLE) === 0) throw notAllowed(name, 'writable');
  checkOffered(send.messages);
  if (hasSeveralGroups(send.messages)) return storeByGroup(services, topic!, send.messages);
  const { firstQueueOffset } = await messaging.send(topic!, send.messages);
  count(services, name, send.messages);
  return encodeSendOkResponse(send.messages, firstQueueOffset);
}

function checkOffered(messages: readonly DecodedMessage[]): void {
  for (let i = 0; i < messages.length; i++) {
    const type = messages[i]!.messageType;
    if (type !== messageType.DELAY && type !== messageType.TRANSACTION) continue;
    throw new MqError(
      'NOT_IMPLEMENTED',
      `messages of type ${messageTypeName(type)} are not offered by this version; send NORMAL, FIFO, LITE or PRIORITY messages`,
    );
  }
}

/** Whether two messages belong into the same queue by what they say. */
function goTogether(a: DecodedMessage, b: DecodedMessage): boolean {
  return (
    a.messageGroup === b.messageGroup && a.liteTopic === b.liteTopic && a.priority === b.priority
  );
}

function hasSeveralGroups(messages: readonly DecodedMessage[]): boolean {
  for (let i = 1; i < messages.length; i++) {
    if (!goTogether(messages[i]!, messages[0]!)) return true;
  }
  return false;
}

/**
 * Messages of several message groups in one call go to the queue of each group, so they are stored in parts, and each
 * part has an outcome of its own.
 */
async function storeByGroup(
  services: EdgeServices,
  topic: TopicConfig,
  messages: readonly DecodedMessage[],
): Promise<Buffer> {
  const parts = new Map<string, DecodedMessage[]>();
  for (const message of messages) {
    const { messageGroup, liteTopic, priority } = message;
    const place = `${messageGroup ?? ''}\0${liteTopic ?? ''}\0${priority ?? ''}`;
    const part = parts.get(place);
    if (part === undefined) parts.set(place, [message]);
    else part.push(message);
  }
  const outcomes = new Map<DecodedMessage, { offset: number; error: unknown }>();
  await Promise.all(
    [...parts.values()].map(async (part) => {
      try {
        const { firstQueueOffset } = await services.messaging.send(topic, part);
        count(services, topic.name, part);
        part.forEach((message, i) =>
          outcomes.set(message, { offset: firstQueueOffset + i, error: null }),
        );
      } catch (error) {
        if (!isMqError(error)) reportUnexpected(services, 'SendMessage', error);
        for (const message of part) outcomes.set(message, { offset: 0, error });
      }
    }),
  );
  throwIfAllFailedAlike([...outcomes.values()].map(({ error }) => error));
  const entries = messages.map((message) => {
    const { offset, error } = outcomes.get(message)!;
    const status = error === null ? OK_STATUS : statusOf(error);
    return {
      status,
      messageId: message.messageId,
      transactionId: message.messageId,
      offset,
      recallHandle: '',
    };
  });
  return encodeSendMessageResponse({
    status: commonStatus(entries.map((entry) => entry.status)),
    entries,
  });
}

/** One reason for everything is the failure of the whole call; HA_NOT_AVAILABLE then means that nothing was stored. */
function throwIfAllFailedAlike(errors: readonly unknown[]): void {
  const first = errors[0];
  if (!isMqError(first)) return;
  if (errors.every((error) => isMqError(error) && error.code === first.code)) throw first;
}

function count(services: EdgeServices, topic: string, messages: readonly DecodedMessage[]): void {
  let sizeBytes = 0;
  for (let i = 0; i < messages.length; i++) sizeBytes += messages[i]!.body.length;
  services.probe.sent(topic, messages.length, sizeBytes);
}
