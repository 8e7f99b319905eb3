import { gunzipSync } from 'node:zlib';
import { MqError } from '@raftmq/base';
import {
  type ConsumeStatus,
  type FoundMessage,
  type FoundMessages,
  type ListMessagesInput,
  type MessageTrace,
  type QueryMessagesInput,
  type TraceEvent,
} from './message-model.js';
import { type WireAdminResult } from './wire.js';

/** Asks the leader of every broker group, or of one; groups that answer with the code `absent` are left out. */
export type AskGroups = <T extends { readonly result: WireAdminResult | null }>(
  method: string,
  request: object,
  absent: MqError['code'],
  brokerGroup?: string,
) => Promise<readonly { readonly group: string; readonly answer: T }[]>;

type WireMessage = Omit<
  FoundMessage,
  'brokerGroup' | 'userProperties' | 'bodyComplete' | 'entryIndex' | 'entryTerm'
> & {
  readonly userProperties: readonly { readonly name: string; readonly value: string }[];
  readonly gzip: boolean;
  readonly entryIndex: number;
  readonly entryTerm: number;
};

interface WireMessages {
  readonly result: WireAdminResult | null;
  readonly messages: readonly WireMessage[];
  readonly nextPosition: number;
  readonly missingBytes: number;
}

interface WireTrace {
  readonly result: WireAdminResult | null;
  readonly events: readonly (Omit<TraceEvent, 'attempt'> & { readonly suspended: boolean })[];
  readonly groups: readonly { readonly group: string; readonly status: string }[];
  readonly nextPosition: number;
  readonly missingBytes: number;
}

const BODY_SIZE_MAX = 4 * 1024 * 1024;
const COUNT = 64;
/** Calls that one trace or one query by key may take; each one reads 64 MiB of log, or gives 64 messages. */
const CALLS_MAX = 256;

/** Finds messages in a whole cluster. */
export class MessageAdmin {
  readonly #ask: AskGroups;

  constructor(ask: AskGroups) {
    this.#ask = ask;
  }

  async find(messageId: string, topic: string, bodySizeMax: number): Promise<FoundMessages> {
    const request = { messageId, topic, bodySizeMax };
    const answers = await this.#ask<WireMessages>('GetMessage', request, 'TOPIC_NOT_FOUND');
    const messages = answers.flatMap(({ group, answer }) =>
      answer.messages.map((message) => foundMessage(message, group)),
    );
    return { messages: messages.sort(byStoreTime), more: false, missingBytes: missing(answers) };
  }

  async query(input: QueryMessagesInput): Promise<FoundMessages> {
    const count = input.count ?? COUNT;
    const perGroup = await this.#groupsOf(input.topic);
    const results = await Promise.all(perGroup.map((group) => this.#queryGroup(input, group)));
    const messages = results.flatMap((result) => result.messages).sort(byStoreTime);
    messages.reverse();
    return {
      messages: messages.slice(0, count),
      more: messages.length > count || results.some(({ more }) => more),
      missingBytes: results.reduce((sum, { missingBytes }) => sum + missingBytes, 0),
    };
  }

  async list(input: ListMessagesInput): Promise<FoundMessages> {
    const { start } = input;
    const count = input.count ?? COUNT;
    const request = {
      topic: input.topic,
      queueId: input.queueId ?? -1,
      start: start.kind.toUpperCase(),
      startValue: start.kind === 'newest' ? 0 : start.value,
      countMax: count,
      bodySizeMax: input.bodySizeMax ?? BODY_SIZE_MAX,
    };
    const answers = await this.#ask<WireMessages>('ListMessages', request, 'TOPIC_NOT_FOUND');
    if (answers.length === 0) throw topicMissing(input.topic);
    const messages = answers
      .flatMap(({ group, answer }) => answer.messages.map((one) => foundMessage(one, group)))
      .sort(byStoreTime);
    const newest = start.kind === 'newest';
    return {
      messages: newest ? messages.slice(-count) : messages.slice(0, count),
      more: messages.length > count || answers.some(({ answer }) => answer.nextPosition > 0),
      missingBytes: 0,
    };
  }

  async trace(messageId: string, topic: string): Promise<readonly MessageTrace[]> {
    const { messages, missingBytes } = await this.find(messageId, topic, 0);
    if (messages.length === 0) throw messageMissing(messageId, topic, missingBytes);
    const traces: MessageTrace[] = [];
    for (const message of messages) traces.push(await this.#traceOne(message));
    return traces;
  }

  async #groupsOf(topic: string): Promise<readonly string[]> {
    const answers = await this.#ask('ListTopics', { name: topic }, 'TOPIC_NOT_FOUND');
    if (answers.length === 0) throw topicMissing(topic);
    return answers.map(({ group }) => group);
  }

  async #queryGroup(input: QueryMessagesInput, group: string): Promise<FoundMessages> {
    const count = input.count ?? COUNT;
    const messages: FoundMessage[] = [];
    let beforePosition = 0;
    let missingBytes = 0;
    for (let calls = 0; calls < CALLS_MAX; calls++) {
      const request = {
        topic: input.topic,
        key: input.key,
        fromTimestamp: input.fromMs ?? 0,
        throughTimestamp: input.throughMs ?? 0,
        beforePosition,
        countMax: count - messages.length,
        bodySizeMax: input.bodySizeMax ?? BODY_SIZE_MAX,
      };
      const answers = await this.#ask<WireMessages>(
        'QueryMessages',
        request,
        'TOPIC_NOT_FOUND',
        group,
      );
      for (const { answer } of answers)
        messages.push(...answer.messages.map((message) => foundMessage(message, group)));
      missingBytes = Math.max(missingBytes, missing(answers));
      beforePosition = answers[0]?.answer.nextPosition ?? 0;
      if (beforePosition === 0) return { messages, more: false, missingBytes };
      if (messages.length >= count) break;
    }
    return { messages, more: true, missingBytes };
  }

  async #traceOne(message: FoundMessage): Promise<MessageTrace> {
    const { position, brokerGroup } = message;
    const events: TraceEvent[] = [];
    const attempts = new Map<string, { count: number; suspended: boolean }>();
    let groups: WireTrace['groups'] = [];
    let missingBytes = 0;
    let fromPosition = 0;
    for (let calls = 0; calls < CALLS_MAX; calls++) {
      const request = { position, fromPosition };
      const [page] = await this.#ask<WireTrace>(
        'TraceMessage',
        request,
        'MESSAGE_NOT_FOUND',
        brokerGroup,
      );
      // Retention took it between the two calls.
      if (page === undefined) break;
      for (const event of page.answer.events) events.push(numbered(event, attempts));
      groups = page.answer.groups;
      missingBytes = Math.max(missingBytes, page.answer.missingBytes);
      fromPosition = page.answer.nextPosition;
      if (fromPosition === 0) break;
    }
    return {
      message,
      events,
      groups: groups.map(({ group, status }) => ({ group, status: status as ConsumeStatus })),
      complete: fromPosition === 0,
      missingBytes,
    };
  }
}

/** Counts deliveries per group; one that follows a suspension is the same attempt. */
function numbered(
  event: WireTrace['events'][number],
  attempts: Map<string, { count: number; suspended: boolean }>,
): TraceEvent {
  const { suspended, ...rest } = event;
  let attempt = attempts.get(event.group);
  if (attempt === undefined) {
    attempt = { count: 0, suspended: false };
    attempts.set(event.group, attempt);
  }
  if (event.what === 'DELIVERED') {
    if (!attempt.suspended) attempt.count++;
    attempt.suspended = false;
  }
  if (event.what === 'INVISIBLE_CHANGED') attempt.suspended = suspended;
  return { ...rest, attempt: attempt.count };
}

function foundMessage(wire: WireMessage, brokerGroup: string): FoundMessage {
  const { userProperties, gzip, body: sent, ...message } = wire;
  const complete = sent.length === wire.bodySize;
  const body = gzip && complete ? unzipped(sent) : sent;
  return {
    ...message,
    body,
    bodyComplete: complete,
    userProperties: Object.fromEntries(userProperties.map(({ name, value }) => [name, value])),
    brokerGroup,
  };
}

/** A body that says it is compressed and is not stays as it is: it is for people to look at. */
function unzipped(body: Buffer): Buffer {
  try {
    return gunzipSync(body, { maxOutputLength: BODY_SIZE_MAX * 4 });
  } catch {
    return body;
  }
}

function byStoreTime(a: FoundMessage, b: FoundMessage): number {
  if (a.storeTimestamp !== b.storeTimestamp) return a.storeTimestamp - b.storeTimestamp;
  if (a.brokerGroup !== b.brokerGroup) return a.brokerGroup < b.brokerGroup ? -1 : 1;
  return a.position - b.position;
}

function missing(answers: readonly { readonly answer: WireMessages }[]): number {
  return answers.reduce((sum, { answer }) => sum + answer.missingBytes, 0);
}

function topicMissing(topic: string): MqError {
  return new MqError(
    'TOPIC_NOT_FOUND',
    `there is no topic ${topic}; "raftmq topic list" shows all`,
  );
}

/** The failure of a search that found nothing, as honest as it can be. */
export function messageMissing(messageId: string, topic: string, missingBytes: number): MqError {
  const where = topic === '' ? 'in no topic' : `not in topic ${topic}`;
  const why =
    missingBytes > 0
      ? `; but ${missingBytes} bytes of the log could not be searched, because their index is being made again: try again in a while`
      : ': it was never stored, or retention has deleted it';
  return new MqError('MESSAGE_NOT_FOUND', `message ${messageId} is ${where}${why}`);
}
