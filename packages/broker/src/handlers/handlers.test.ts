import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MqError } from '@raftmq/base';
import {
  ALL_MESSAGES,
  bodyMatchesDigest,
  decodeAckMessageResponse,
  decodeChangeInvisibleDurationResponse,
  decodeQueryAssignmentResponse,
  decodeQueryRouteResponse,
  decodeReceiveMessageResponse,
  decodeSendMessageResponse,
  decodeStatusResponse,
  encodeAckMessageRequest,
  encodeChangeInvisibleDurationRequest,
  encodeForwardToDeadLetterRequest,
  encodeHeartbeatRequest,
  encodeNotifyClientTerminationRequest,
  encodeQueryAssignmentRequest,
  encodeQueryRouteRequest,
  encodeSyncLiteSubscriptionRequest,
  liteAction,
  encodeReceiveMessageRequest,
  encodeSendMessageRequest,
  messageType,
  prepareStoredMessage,
  statusCode,
  writeStoredMessage,
  type OutgoingMessage,
  type ReceiveMessageRequest,
} from '@raftmq/protocol';
import { type DeliveredMessage } from '../messaging.js';
import { ackMessage } from './ack-message.js';
import { changeInvisibleDuration } from './change-invisible-duration.js';
import {
  callContext,
  callStream,
  callUnary,
  EdgeFixture,
  FakeWriter,
} from '../testing/edge-fixture.js';
import { forwardMessageToDeadLetterQueue } from './forward-to-dead-letter-queue.js';
import { heartbeat } from './heartbeat.js';
import { notifyClientTermination } from './notify-client-termination.js';
import { queryAssignment } from './query-assignment.js';
import { queryRoute } from './query-route.js';
import { receiveMessage } from './receive-message.js';
import { syncLiteSubscription } from './sync-lite-subscription.js';
import { sendMessage } from './send-message.js';

const topic = { namespace: '', name: 'orders' };
const group = { namespace: '', name: 'workers' };
const nowhere = { scheme: 1, addresses: [] };

let edge: EdgeFixture;
beforeEach(() => {
  edge = new EdgeFixture();
  edge.addTopic({ name: 'orders' });
});
afterEach(() => {
  edge.registry.close();
  edge.forwarder.close();
});

function message(overrides: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    messageId: 'm1',
    body: Buffer.from('body'),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: 'h',
    gzip: false,
    messageType: messageType.NORMAL,
    deliveryTimestampMs: null,
    liteTopic: null,
    priority: null,
    ...overrides,
  };
}

describe('SendMessage', () => {
  const send = async (messages: readonly OutgoingMessage[], headers?: Record<string, string>) => {
    const method = sendMessage(edge.services);
    const context = headers === undefined ? undefined : callContext(method.path, headers);
    return decodeSendMessageResponse(
      await callUnary(method, encodeSendMessageRequest(topic, messages), context),
    );
  };

  it('stores and answers one entry per message, with the ids of the client', async () => {
    const answer = await send([message(), message({ messageId: 'm2' })]);
    expect(answer.status.code).toBe(statusCode.OK);
    expect(
      answer.entries.map(({ messageId, transactionId, offset }) => [
        messageId,
        transactionId,
        offset,
      ]),
    ).toEqual([
      ['m1', 'm1', 7],
      ['m2', 'm2', 8],
    ]);
    expect(edge.probe.inByTopic.get('orders')).toBe(2);
  });

  it('answers what was stored before with its first place, and does not count it again', async () => {
    edge.messaging.repeats = { offsets: [3, 9], isNew: [false, true] };
    const places = ({ entries }: Awaited<ReturnType<typeof send>>) =>
      entries.map(({ status, messageId, transactionId, offset }) => [
        status.code,
        messageId,
        transactionId,
        offset,
      ]);
    const expected = [
      [statusCode.OK, 'm1', 'm1', 3],
      [statusCode.OK, 'm2', 'm2', 9],
    ];
    const answer = await send([message(), message({ messageId: 'm2' })]);
    expect(answer.status.code).toBe(statusCode.OK);
    expect(places(answer)).toEqual(expected);
    expect(edge.probe.inByTopic.get('orders')).toBe(1);

    // In parts: each one has outcomes of its own.
    edge.addTopic({ name: 'orders', type: 'FIFO' });
    edge.messaging.repeats = { offsets: [3], isNew: [false] };
    const fifo = { messageType: messageType.FIFO };
    const inParts = await send([
      message({ ...fifo, messageGroup: 'a' }),
      message({ ...fifo, messageGroup: 'b', messageId: 'm2' }),
    ]);
    expect(places(inParts).map((place) => place.at(-1))).toEqual([3, 3]);
    expect(edge.probe.inByTopic.get('orders')).toBe(1);
  });

  it('asks for a client id before anything else', async () => {
    const answer = await send([message()], {});
    expect(answer.status.code).toBe(statusCode.CLIENT_ID_REQUIRED);
    expect(edge.messaging.sent).toEqual([]);
  });

  it.each([
    ['an empty body', message({ body: Buffer.alloc(0) }), statusCode.MESSAGE_BODY_EMPTY],
    ['a tag with a bar', message({ tag: 'a|b' }), statusCode.ILLEGAL_MESSAGE_TAG],
    [
      'a message of another type',
      message({ messageGroup: 'g', messageType: messageType.FIFO }),
      statusCode.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
    ],
  ])('refuses %s and stores nothing', async (_, bad, code) => {
    const answer = await send([bad]);
    expect(answer.status.code).toBe(code);
    expect(answer.entries).toEqual([]);
    expect(edge.messaging.sent).toEqual([]);
  });

  it('names the topic and the remedy when it is unknown', async () => {
    edge.messaging.topicMap.clear();
    const { status } = await send([message()]);
    expect(status.code).toBe(statusCode.TOPIC_NOT_FOUND);
    expect(status.message).toMatch(
      /^CODE: 17  DESC: No topic route info in name server for the topic: orders/,
    );
    expect(status.message).toContain('raftmq topic create orders');
  });

  it('creates an unknown topic of the type of the message when told to', async () => {
    edge = new EdgeFixture({ autoCreateTopic: true });
    const answer = await send([message({ messageGroup: 'g', messageType: messageType.FIFO })]);
    expect(answer.status.code).toBe(statusCode.OK);
    expect(edge.messaging.topic('orders')).toEqual({
      name: 'orders',
      type: 'FIFO',
      queues: 8,
      permission: 6,
    });
  });

  it('stores transactional messages apart, all of a call or none', async () => {
    edge.addTopic({ name: 'orders', type: 'MIXED' });
    const half = message({ messageType: messageType.TRANSACTION, transactionRecoveryMs: 9_000 });
    const answer = await send([half]);
    expect(answer.entries).toMatchObject([{ messageId: 'm1', transactionId: 'm1', offset: 1 }]);
    expect(edge.messaging.transactions.halves).toMatchObject([
      { topic: 'orders', clientId: 'c1', message: { transactionRecoveryMs: 9_000 } },
    ]);
    const mixed = await send([half, message({ messageId: 'm2' })]);
    expect(mixed.status.code).toBe(statusCode.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
    expect(edge.messaging.sent).toEqual([]);
    expect(edge.probe.messagesIn).toBe(0);
  });

  it('refuses a topic that is closed for writing, and everything while the disk is full', async () => {
    edge.addTopic({ name: 'orders', permission: 4 });
    expect((await send([message()])).status.code).toBe(statusCode.FORBIDDEN);
    edge.refusal = new MqError('DISK_FULL', 'the disk of /data is 91 % full');
    const { status } = await send([message()]);
    expect(status).toEqual({
      code: statusCode.TOO_MANY_REQUESTS,
      message: 'the disk of /data is 91 % full',
    });
  });

  it('stores message groups apart, and gives each part its own outcome', async () => {
    edge.addTopic({ name: 'orders', type: 'FIFO' });
    const fifo = (messageId: string, messageGroup: string) =>
      message({ messageId, messageGroup, messageType: messageType.FIFO });
    edge.messaging.failures = [undefined, new MqError('TOO_MANY_REQUESTS', 'busy')];
    const answer = await send([fifo('a1', 'a'), fifo('b1', 'b'), fifo('a2', 'a')]);
    expect(
      edge.messaging.sent.map(({ messages }) => messages.map((stored) => stored.messageId)),
    ).toEqual([['a1', 'a2']]);
    expect(answer.status.code).toBe(statusCode.MULTIPLE_RESULTS);
    expect(answer.entries.map(({ status, offset }) => [status.code, offset])).toEqual([
      [statusCode.OK, 7],
      [statusCode.TOO_MANY_REQUESTS, 0],
      [statusCode.OK, 8],
    ]);
  });

  it('answers an unforeseen failure as an internal error without its text, and counts it', async () => {
    edge.messaging.failures = [new TypeError('secret of the inside')];
    const { status } = await send([message()]);
    expect(status.code).toBe(statusCode.INTERNAL_SERVER_ERROR);
    expect(status.message).not.toContain('secret');
    expect(edge.probe.unexpectedErrors).toBe(1);
    expect(edge.probe.method('SendMessage').byCode.get(statusCode.INTERNAL_SERVER_ERROR)).toBe(1);
  });

  it('answers bytes that are no request', async () => {
    const answer = decodeStatusResponse(
      await callUnary(sendMessage(edge.services), Buffer.from([0x0a, 0xff, 0xff])),
    );
    expect(answer.code).toBe(statusCode.BAD_REQUEST);
  });

  it('replaces codes that make the Rust SDK panic', async () => {
    const { status } = await send([message({ body: Buffer.alloc(0) })], {
      'x-mq-client-id': 'c',
      'x-mq-language': 'RUST',
    });
    expect(status.code).toBe(statusCode.BAD_REQUEST);
  });
});

describe('ReceiveMessage', () => {
  const receiveRequest: ReceiveMessageRequest = {
    group,
    topic,
    brokerName: 'broker-a',
    queueId: 0,
    filterType: 1,
    filterExpression: '*',
    batchSize: 8,
    invisibleMs: 10_000,
    autoRenew: false,
    longPollingMs: 1_000,
    attemptId: null,
  };
  const receive = async (
    overrides: Partial<ReceiveMessageRequest> = {},
    deadlineMs: number | null = null,
    writer = new FakeWriter(),
    language = 'JAVA',
  ) => {
    const method = receiveMessage(edge.services);
    const headers = { 'x-mq-client-id': 'c1', 'x-mq-language': language };
    const context = callContext(method.path, headers, deadlineMs);
    const parts = await callStream(
      method,
      encodeReceiveMessageRequest({ ...receiveRequest, ...overrides }),
      context,
      writer,
    );
    return parts.map((part) => decodeReceiveMessageResponse(part));
  };

  function delivered(messageId: string): DeliveredMessage {
    const prepared = prepareStoredMessage(
      {
        messageId,
        body: Buffer.from('payload'),
        tag: 'a',
        keys: [],
        userProperties: [],
        messageGroup: null,
        traceContext: null,
        bornTimestampMs: 1,
        bornHost: 'h',
        gzip: false,
      },
      'orders',
    );
    const record = Buffer.alloc(prepared.sizeBytes);
    writeStoredMessage(record, 0, prepared, {
      queueId: 1,
      queueOffset: 3,
      physicalOffset: 9,
      storeTimestampMs: 5,
    });
    return {
      record,
      receiptHandle: `handle-${messageId}`,
      deliveryAttempt: 2,
      invisibleMs: 10_000,
    };
  }

  it('answers status, messages, time of sending, in this order', async () => {
    edge.messaging.nextDelivery = [delivered('m1'), delivered('m2')];
    const parts = await receive();
    expect(
      parts.map((part) => [
        part.status?.code,
        part.message?.messageId,
        part.deliveryTimestampMs !== null,
      ]),
    ).toEqual([
      [statusCode.OK, undefined, false],
      [undefined, 'm1', false],
      [undefined, 'm2', false],
      [undefined, undefined, true],
    ]);
    expect(parts[1]?.message).toMatchObject({
      receiptHandle: 'handle-m1',
      deliveryAttempt: 2,
      queueId: 1,
      queueOffset: 3,
      tag: 'a',
    });
    expect(edge.probe.messagesOut).toBe(2);
  });

  it('notes what the group receives with', async () => {
    edge.services.subscriptions.used('other', 'workers', 'orders', 'TAG a');
    await receive({ filterType: 2, filterExpression: ' a > 5 ' });
    expect(edge.services.subscriptions.conflicts('workers')).toMatchObject([
      {
        topic: 'orders',
        choices: [{ filter: 'TAG a' }, { filter: 'SQL a > 5', clientIds: ['c1'] }],
      },
    ]);
    expect(edge.messaging.received[0]?.filter.sql?.expression).toBe('a > 5');
  });

  it('sends the cheap digest to our own client only, and one that fits', async () => {
    const types: number[] = [];
    for (const language of ['JAVA', 'HTTP', 'RAFTMQ_NODE']) {
      edge.messaging.nextDelivery = [delivered('m1')];
      const parts = await receive({}, null, new FakeWriter(), language);
      const { body, bodyDigest } = parts[1]!.message!;
      expect(bodyMatchesDigest(body, bodyDigest!)).toBe(true);
      types.push(bodyDigest!.type);
    }
    expect(types).toEqual([2, 2, 1]);
  });

  it('answers MESSAGE_NOT_FOUND and a time when there is nothing', async () => {
    const parts = await receive();
    expect(parts.map((part) => part.status?.code)).toEqual([
      statusCode.MESSAGE_NOT_FOUND,
      undefined,
    ]);
    expect(parts[1]?.deliveryTimestampMs).toBe(edge.clock.wallMs());
  });

  it.each([
    ['9999 ms', { invisibleMs: 9_999 }, statusCode.ILLEGAL_INVISIBLE_TIME],
    ['no duration', { invisibleMs: null }, statusCode.ILLEGAL_INVISIBLE_TIME],
    ['more than 12 h', { invisibleMs: 43_200_001 }, statusCode.ILLEGAL_INVISIBLE_TIME],
    [
      'a bad SQL filter',
      { filterType: 2, filterExpression: 'a > > 1' },
      statusCode.ILLEGAL_FILTER_EXPRESSION,
    ],
    ['an unknown kind of filter', { filterType: 9 }, statusCode.ILLEGAL_FILTER_EXPRESSION],
    [
      'an illegal group',
      { group: { namespace: '', name: 'a/b' } },
      statusCode.ILLEGAL_CONSUMER_GROUP,
    ],
    ['an illegal topic', { topic: { namespace: '', name: '../../etc' } }, statusCode.ILLEGAL_TOPIC],
    ['an unknown topic', { topic: { namespace: '', name: 'other' } }, statusCode.TOPIC_NOT_FOUND],
  ])('refuses %s with a status and a time', async (_, overrides, code) => {
    const parts = await receive(overrides);
    expect(parts.map((part) => part.status?.code)).toEqual([code, undefined]);
    expect(parts[1]?.deliveryTimestampMs).not.toBeNull();
    expect(edge.messaging.received).toEqual([]);
  });

  it('ignores queue ids, clamps batch and polling time, and takes 60 s with auto-renew', async () => {
    await receive({
      queueId: 77,
      batchSize: 0,
      longPollingMs: 90_000,
      autoRenew: true,
      invisibleMs: null,
      filterExpression: 'a || b',
    });
    await receive({ batchSize: 1_000, invisibleMs: 10_000, longPollingMs: null });
    expect(edge.messaging.received).toMatchObject([
      {
        queueId: null,
        batchSize: 1,
        pollingMs: 20_000,
        invisibleMs: 60_000,
        autoRenew: true,
        filter: { key: 'TAG a || b' },
        clientId: 'c1',
      },
      { batchSize: 32, pollingMs: 20_000, invisibleMs: 10_000, filter: ALL_MESSAGES },
    ]);
  });

  it('ends the poll before the deadline of the call, and at once when it is short', async () => {
    await receive({ longPollingMs: 20_000 }, edge.clock.wallMs() + 5_000);
    await receive({ longPollingMs: 20_000 }, edge.clock.wallMs() + 100);
    expect(edge.messaging.received.map((request) => request.pollingMs)).toEqual([4_700, 0]);
  });

  it('gives back what a closed connection did not take, without counting an attempt', async () => {
    edge.messaging.nextDelivery = [delivered('m1'), delivered('m2'), delivered('m3')];
    const writer = new FakeWriter();
    writer.closeAfter = 2;
    await receive({}, null, writer);
    expect(edge.messaging.changes).toEqual(
      ['m2', 'm3'].map((messageId) => ({
        target: { messageId, receiptHandle: `handle-${messageId}` },
        invisibleMs: 0,
        suspend: true,
      })),
    );
  });

  it('ends polls empty while the process stops', async () => {
    edge.follow(null);
    edge.draining = true;
    edge.forwarder.drain();
    expect((await receive()).map((part) => part.status?.code)).toEqual([
      statusCode.MESSAGE_NOT_FOUND,
      undefined,
    ]);
  });

  it('does not say that there was nothing where nobody knows, while the process stops', async () => {
    edge.draining = true;
    edge.messaging.failures = [new MqError('REQUEST_TIMEOUT')];
    expect((await receive()).map((part) => part.status?.code)).toEqual([
      statusCode.PROXY_TIMEOUT,
      undefined,
    ]);
  });
});

describe('acknowledging', () => {
  const entry = (receiptHandle: string) => ({
    messageId: `id-${receiptHandle}`,
    receiptHandle,
    liteTopic: null,
  });

  it('answers each entry in order, and what they have in common', async () => {
    edge.messaging.ackOutcomes = [null, new MqError('INVALID_RECEIPT_HANDLE')];
    const answer = decodeAckMessageResponse(
      await callUnary(
        ackMessage(edge.services),
        encodeAckMessageRequest({ group, topic, entries: [entry('h1'), entry('h2')] }),
      ),
    );
    expect(answer.status.code).toBe(statusCode.MULTIPLE_RESULTS);
    expect(answer.entries.map(({ receiptHandle, status }) => [receiptHandle, status.code])).toEqual(
      [
        ['h1', statusCode.OK],
        ['h2', statusCode.INVALID_RECEIPT_HANDLE],
      ],
    );
  });

  it('refuses a request without entries, and a topic that is not there', async () => {
    const ack = async (name: string, entries: ReturnType<typeof entry>[]) =>
      decodeAckMessageResponse(
        await callUnary(
          ackMessage(edge.services),
          encodeAckMessageRequest({ group, topic: { namespace: '', name }, entries }),
        ),
      ).status.code;
    expect(await ack('orders', [])).toBe(statusCode.BAD_REQUEST);
    expect(await ack('other', [entry('h')])).toBe(statusCode.TOPIC_NOT_FOUND);
  });

  it('changes the invisible time and gives the new handle; 0 is now, beyond 12 h is refused', async () => {
    const change = async (invisibleMs: number) =>
      decodeChangeInvisibleDurationResponse(
        await callUnary(
          changeInvisibleDuration(edge.services),
          encodeChangeInvisibleDurationRequest({
            group,
            topic,
            receiptHandle: 'h',
            invisibleMs,
            messageId: 'm',
            liteTopic: null,
            suspend: true,
          }),
        ),
      );
    expect(await change(0)).toMatchObject({ status: { code: statusCode.OK }, receiptHandle: "h'" });
    expect(edge.messaging.changes[0]).toMatchObject({ invisibleMs: 0, suspend: true });
    expect((await change(43_200_001)).status.code).toBe(statusCode.ILLEGAL_INVISIBLE_TIME);
    expect((await change(-1)).status.code).toBe(statusCode.ILLEGAL_INVISIBLE_TIME);
  });

  it('moves a message to the dead-letter queue', async () => {
    const request = encodeForwardToDeadLetterRequest({
      group,
      topic,
      receiptHandle: 'h',
      messageId: 'm',
      deliveryAttempt: 1,
      maxDeliveryAttempts: 2,
      liteTopic: null,
    });
    const answer = decodeStatusResponse(
      await callUnary(forwardMessageToDeadLetterQueue(edge.services), request),
    );
    expect(answer.code).toBe(statusCode.OK);
    expect(edge.messaging.deadLetters).toEqual([{ messageId: 'm', receiptHandle: 'h' }]);
  });
});

describe('lite subscriptions', () => {
  const sync = async (liteTopics: readonly string[]): Promise<number> => {
    const bytes = encodeSyncLiteSubscriptionRequest({
      action: liteAction.COMPLETE_ADD,
      topic: { namespace: '', name: 'sessions' },
      group: { namespace: '', name: 'workers' },
      liteTopics,
      version: 0,
      start: { kind: 'max' },
    });
    return decodeStatusResponse(await callUnary(syncLiteSubscription(edge.services), bytes)).code;
  };

  it('reach the leader, with names and quota checked before', async () => {
    expect(await sync(['a'])).toBe(statusCode.TOPIC_NOT_FOUND);
    edge.addTopic({ name: 'sessions' });
    expect(await sync(['a'])).toBe(statusCode.BAD_REQUEST);
    edge.addTopic({ name: 'sessions', type: 'LITE' });
    expect(await sync(['a', ' '])).toBe(statusCode.ILLEGAL_LITE_TOPIC);
    expect(await sync(['a', 'b', 'c', 'd'])).toBe(statusCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED);
    expect(edge.messaging.liteChanges).toEqual([]);
    expect(await sync(['a', 'b'])).toBe(statusCode.OK);
    expect(edge.messaging.liteChanges).toMatchObject([
      { topic: 'sessions', group: 'workers', names: ['a', 'b'], start: { kind: 'max' } },
    ]);
  });
});

describe('routes', () => {
  const route = async (name: string) =>
    decodeQueryRouteResponse(
      await callUnary(
        queryRoute(edge.services),
        encodeQueryRouteRequest({ namespace: '', name }, nowhere),
      ),
    );

  it('lists the queues of a topic', async () => {
    expect(
      (await route('orders')).queues.map(({ queueId, brokerName }) => [queueId, brokerName]),
    ).toEqual([
      [0, 'broker-a'],
      [1, 'broker-a'],
    ]);
  });

  it('refuses unknown and illegal topics, and creates none by itself', async () => {
    expect((await route('other')).status.code).toBe(statusCode.TOPIC_NOT_FOUND);
    expect((await route('__proto__')).status.code).toBe(statusCode.TOPIC_NOT_FOUND);
    expect((await route('a b')).status.code).toBe(statusCode.ILLEGAL_TOPIC);
    expect((await route('TBW102')).status.code).toBe(statusCode.ILLEGAL_TOPIC);
    expect(edge.messaging.topicMap.size).toBe(1);
  });

  it('creates a topic on demand, but never one that belongs to a group', async () => {
    edge = new EdgeFixture({ autoCreateTopic: true });
    expect((await route('fresh')).queues).toHaveLength(8);
    expect((await route('%DLQ%workers')).status.code).toBe(statusCode.TOPIC_NOT_FOUND);
  });

  it('resolves the namespace of the header, and echoes the spelling of the client', async () => {
    edge.addTopic({ name: 'ns%orders' });
    const method = queryRoute(edge.services);
    const context = callContext(method.path, { 'x-mq-client-id': 'c', 'x-mq-namespace': 'ns' });
    const answer = decodeQueryRouteResponse(
      await callUnary(method, encodeQueryRouteRequest(topic, nowhere), context),
    );
    expect(answer.status.code).toBe(statusCode.OK);
    expect(answer.queues[0]?.topic).toEqual(topic);
  });

  it('assigns by the flag of the group, and never an empty list', async () => {
    const assign = async () =>
      decodeQueryAssignmentResponse(
        await callUnary(
          queryAssignment(edge.services),
          encodeQueryAssignmentRequest({ topic, group, endpoints: nowhere }),
        ),
      );
    expect((await assign()).queues.map((queue) => queue.queueId)).toEqual([-1]);
    edge.messaging.groupMap.set('workers', { name: 'workers', fifo: true, maxAttempts: 17 });
    expect((await assign()).queues.map((queue) => queue.queueId)).toEqual([0, 1]);
    edge.addTopic({ name: 'orders', permission: 2 });
    expect(await assign()).toMatchObject({ status: { code: statusCode.FORBIDDEN }, queues: [] });
  });
});

describe('clients', () => {
  const beat = async (clientType: number, of: typeof group | null) =>
    decodeStatusResponse(
      await callUnary(
        heartbeat(edge.services, () => undefined),
        encodeHeartbeatRequest({ clientType, group: of }),
      ),
    ).code;

  it('knows a client by its heartbeat alone, and tells who delivers', async () => {
    expect(await beat(2, group)).toBe(statusCode.OK);
    expect(edge.registry.describe('c1')).toEqual({ clientType: 2, group: 'workers', topics: [] });
    expect(edge.messaging.seen).toEqual(['c1']);
  });

  it('takes the type from what is known, and refuses when nothing is', async () => {
    expect(await beat(0, null)).toBe(statusCode.UNRECOGNIZED_CLIENT_TYPE);
    expect(await beat(9, null)).toBe(statusCode.UNRECOGNIZED_CLIENT_TYPE);
    edge.registry.seen('c1', { clientType: 1 });
    expect(await beat(0, null)).toBe(statusCode.OK);
    expect(edge.messaging.seen).toEqual([]);
  });

  it('lets a client go once', async () => {
    edge.registry.seen('c1', { clientType: 2, group: 'workers' });
    const bye = async () =>
      decodeStatusResponse(
        await callUnary(
          notifyClientTermination(edge.services),
          encodeNotifyClientTerminationRequest(null),
        ),
      ).code;
    expect(await bye()).toBe(statusCode.OK);
    expect(edge.messaging.gone).toEqual(['c1']);
    expect(await bye()).toBe(statusCode.UNRECOGNIZED_CLIENT_TYPE);
  });
});
