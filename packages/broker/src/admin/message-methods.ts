import { MqError } from '@raftmq/base';
import { checkTopicName } from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { type FoundMessage } from '../query/found-message.js';
import { type ListQuery, type QueryAnswer } from '../query/message-queries.js';
import { type TraceAnswer } from '../query/message-trace.js';
import { atLeader, inResult, type AdminContext } from './admin-method.js';
import { type QuerySource } from './admin-source.js';

const MESSAGE_ID_LENGTH_MAX = 256;

interface ListRequest {
  readonly topic: string;
  readonly queueId: number;
  readonly start: string;
  readonly startValue: number;
  readonly countMax: number;
  readonly bodySizeMax: number;
}

interface QueryRequest {
  readonly topic: string;
  readonly key: string;
  readonly fromTimestamp: number;
  readonly throughTimestamp: number;
  readonly beforePosition: number;
  readonly countMax: number;
  readonly bodySizeMax: number;
}

/** The methods that find messages; the leader answers them, and nothing changes. */
export function messageMethods(
  context: AdminContext,
  { messages, traces }: QuerySource,
): readonly RawMethod[] {
  return [
    atLeader<{ messageId: string; topic: string; bodySizeMax: number }>(
      context,
      'GetMessage',
      inResult,
      async ({ messageId, topic, bodySizeMax }) => {
        if (messageId === '' || messageId.length > MESSAGE_ID_LENGTH_MAX) {
          throw new MqError(
            'ILLEGAL_MESSAGE_ID',
            `a message id has 1 to ${MESSAGE_ID_LENGTH_MAX} characters, not ${messageId.length}`,
          );
        }
        if (topic !== '') checkTopicName(topic);
        return wireAnswer(await messages.byId(messageId, topic), bodySizeMax);
      },
    ),
    atLeader<QueryRequest>(context, 'QueryMessages', inResult, async (request) => {
      const { topic, key, fromTimestamp, throughTimestamp, beforePosition, bodySizeMax } = request;
      checkTopicName(topic);
      if (key === '') throw new MqError('BAD_REQUEST', 'a query by key needs a key');
      const answer = await messages.byKey({
        topic,
        key,
        fromMs: fromTimestamp,
        throughMs: throughTimestamp === 0 ? Infinity : throughTimestamp,
        beforePosition: beforePosition === 0 ? null : beforePosition,
        countMax: countOf(request.countMax),
      });
      return wireAnswer(answer, bodySizeMax);
    }),
    atLeader<ListRequest>(context, 'ListMessages', inResult, async (request) => {
      const { topic, queueId, countMax, bodySizeMax } = request;
      checkTopicName(topic);
      const answer = await messages.list({
        topic,
        queueId: queueId < 0 ? null : queueId,
        start: startOf(request),
        countMax: countOf(countMax),
      });
      return wireAnswer(answer, bodySizeMax);
    }),
    atLeader<{ position: number; fromPosition: number }>(
      context,
      'TraceMessage',
      inResult,
      async ({ position, fromPosition }) =>
        wireTrace(await traces.trace(position, fromPosition === 0 ? null : fromPosition)),
    ),
  ];
}

function countOf(countMax: number): number {
  return countMax <= 0 ? Infinity : countMax;
}

function startOf({ start, startValue }: ListRequest): ListQuery['start'] {
  if (startValue < 0)
    throw new MqError('BAD_REQUEST', `an offset or a time is not negative: ${startValue}`);
  switch (start) {
    case 'OFFSET':
      return { kind: 'offset', offset: startValue };
    case 'TIME':
      return { kind: 'time', timestampMs: startValue };
    case 'NEWEST':
      return { kind: 'newest' };
    default:
      throw new MqError(
        'BAD_REQUEST',
        `a list starts at OFFSET, TIME or NEWEST, not at "${start}"`,
      );
  }
}

function wireAnswer(
  { messages, nextPosition, missingBytes }: QueryAnswer,
  bodySizeMax: number,
): object {
  return {
    messages: messages.map((message) => wireMessage(message, bodySizeMax)),
    nextPosition: nextPosition ?? 0,
    missingBytes,
  };
}

function wireTrace({ found, events, groups, nextPosition, missingBytes }: TraceAnswer): object {
  return {
    message: wireMessage(found, 0),
    events: events.map(({ timeMs, ...event }) => ({ ...event, timestamp: timeMs })),
    groups,
    nextPosition: nextPosition ?? 0,
    missingBytes,
  };
}

function wireMessage(found: FoundMessage, bodySizeMax: number): object {
  const { message, entry } = found;
  const { userProperties } = message;
  const pairs = [];
  for (let i = 0; i < userProperties.length; i += 2)
    pairs.push({ name: userProperties[i]!, value: userProperties[i + 1]! });
  return {
    state: found.state,
    topic: message.topic,
    queueId: message.queueId,
    queueOffset: found.offsetMessageId === '' ? 0 : message.queueOffset,
    position: found.position,
    messageId: message.messageId,
    offsetMessageId: found.offsetMessageId,
    tag: message.tag ?? '',
    keys: message.keys,
    messageGroup: message.messageGroup ?? '',
    userProperties: pairs,
    bornTimestamp: message.bornTimestampMs,
    bornHost: message.bornHost,
    storeTimestamp: entry.storeTimestampMs,
    storeHost: message.storeHost,
    dueTimestamp: found.dueMs,
    bodySize: message.body.length,
    body: message.body.subarray(0, Math.max(0, bodySizeMax)),
    gzip: message.gzip,
    entryIndex: entry.index,
    entryTerm: entry.term,
  };
}
