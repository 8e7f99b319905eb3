import { isMqError } from '@raftmq/base';
import {
  commonStatus,
  decodeSendMessageRequest,
  encodeSendMessageResponse,
  encodeSendOkResponse,
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
import { type RepeatedSends, type TopicConfig } from '../messaging.js';
import { type EdgeCall } from './edge-call.js';
import { createOnDemand, groupWithTopic, notAllowed } from './find-topic.js';
import { unaryMethod } from './pipeline.js';
import { WRITABLE } from './route-entries.js';
import { areHalves, storeHalves } from './send-half.js';
import { reportUnexpected, topicOf, type EdgeServices } from './services.js';

/** SendMessage: stores the messages of one call, all or none, and answers when a majority of the replicas has them. */
export function sendMessage(services: EdgeServices): RawMethod {
  const limits = { ...protocolLimits, delayMsMax: services.settings.timerDelayMaxMs };
  return unaryMethod(services, 'SendMessage', async (call, request) => {
    const nowMs = services.clock.wallMs();
    const send = decodeSendMessageRequest(request, { peer: call.peer, nowMs });
    validateSendContent(send, limits, nowMs);
    const name = topicOf(send.topic, call);
    const group =
      services.messaging.topic(name) !== null
        ? services.ownGroup
        : await groupWithTopic(
            services,
            name,
            (other) => (other.topic.permission & WRITABLE) !== 0,
          );
    return services.forwarder.unary(call, request, group, () => store(services, call, send, name));
  });
}

/** Stores at the leader. Rejects with HA_NOT_AVAILABLE only when nothing was stored. */
async function store(
  services: EdgeServices,
  call: EdgeCall,
  send: SendRequest,
  name: string,
): Promise<Buffer> {
  const refusal = services.sendRefusal();
  if (refusal !== null) throw refusal;
  const { messaging } = services;
  if (messaging.topic(name) === null) {
    await createOnDemand(services, name, topicTypeFor(send.messages[0]!.messageType));
  }
  const topic = messaging.topic(name);
  validateSendTopic(send, topic === null ? null : topic.type);
  if ((topic!.permission & WRITABLE) === 0) throw notAllowed(name, 'writable');
  if (areHalves(send.messages)) return storeHalves(services, call, topic!, send.messages);
  if (needsParts(send.messages)) return storeInParts(services, call, topic!, send.messages);
  const { firstQueueOffset, repeats } = await messaging.send(topic!, send.messages);
  if (repeats !== undefined) return answerRepeats(services, name, send.messages, repeats);
  count(services, name, send.messages);
  return encodeSendOkResponse(send.messages, firstQueueOffset);
}

/** What was stored by an earlier call is answered as it was then. */
function answerRepeats(
  services: EdgeServices,
  topic: string,
  messages: readonly DecodedMessage[],
  { offsets, isNew }: RepeatedSends,
): Buffer {
  count(
    services,
    topic,
    messages.filter((_, i) => isNew[i]),
  );
  const entries = messages.map(({ messageId }, i) => ({
    status: OK_STATUS,
    messageId,
    transactionId: messageId,
    offset: offsets[i]!,
    recallHandle: '',
  }));
  return encodeSendMessageResponse({ status: OK_STATUS, entries });
}

/** Whether two messages belong into the same queue by what they say. */
function goTogether(a: DecodedMessage, b: DecodedMessage): boolean {
  return (
    a.messageGroup === b.messageGroup && a.liteTopic === b.liteTopic && a.priority === b.priority
  );
}

/** The messages do not all go to one queue at once. */
function needsParts(messages: readonly DecodedMessage[]): boolean {
  for (let i = 0; i < messages.length; i++) {
    if (messages[i]!.deliveryTimestampMs !== null) return true;
    if (!goTogether(messages[i]!, messages[0]!)) return true;
  }
  return false;
}

/** What became of one message of a call. */
interface PartOutcome {
  readonly offset: number;
  readonly recallHandle: string;
  readonly error: unknown;
}

/** Key of the part of messages with a delivery time; those of the other parts have NULs. */
const TIMED = 'timed';

/**
 * Messages of several message groups in one call go to the queue of each group, and those with a delivery time wait, so
 * they are stored in parts, and each part has an outcome of its own.
 */
async function storeInParts(
  services: EdgeServices,
  { language }: EdgeCall,
  topic: TopicConfig,
  messages: readonly DecodedMessage[],
): Promise<Buffer> {
  const parts = new Map<string, DecodedMessage[]>();
  for (const message of messages) {
    const { messageGroup, liteTopic, priority } = message;
    const place =
      message.deliveryTimestampMs === null
        ? `${messageGroup ?? ''}\0${liteTopic ?? ''}\0${priority ?? ''}`
        : TIMED;
    const part = parts.get(place);
    if (part === undefined) parts.set(place, [message]);
    else part.push(message);
  }
  const outcomes = new Map<DecodedMessage, PartOutcome>();
  await Promise.all(
    [...parts].map(async ([place, part]) => {
      const results = await storePart(services, topic, part, place === TIMED);
      part.forEach((message, i) => outcomes.set(message, results[i]!));
    }),
  );
  throwIfAllFailedAlike([...outcomes.values()].map(({ error }) => error));
  const entries = messages.map((message) => {
    const { offset, recallHandle, error } = outcomes.get(message)!;
    const status = error === null ? OK_STATUS : statusOf(error, language);
    const { messageId } = message;
    return { status, messageId, transactionId: messageId, offset, recallHandle };
  });
  return encodeSendMessageResponse({
    status: commonStatus(entries.map((entry) => entry.status)),
    entries,
  });
}

async function storePart(
  services: EdgeServices,
  topic: TopicConfig,
  part: readonly DecodedMessage[],
  timed: boolean,
): Promise<readonly PartOutcome[]> {
  const { messaging } = services;
  try {
    let outcomes: readonly PartOutcome[];
    let stored = part;
    if (timed) {
      const results = await messaging.sendTimed(topic, part);
      outcomes = results.map(({ queueOffset, recallHandle }) => ({
        offset: queueOffset,
        recallHandle,
        error: null,
      }));
      stored = part.filter((_, i) => results[i]!.isNew);
    } else {
      const { firstQueueOffset, repeats } = await messaging.send(topic, part);
      if (repeats !== undefined) stored = part.filter((_, i) => repeats.isNew[i]);
      outcomes = part.map((_, i) => ({
        offset: repeats?.offsets[i] ?? firstQueueOffset + i,
        recallHandle: '',
        error: null,
      }));
    }
    count(services, topic.name, stored);
    return outcomes;
  } catch (error) {
    if (!isMqError(error)) reportUnexpected(services, 'SendMessage', error);
    return part.map(() => ({ offset: 0, recallHandle: '', error }));
  }
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
