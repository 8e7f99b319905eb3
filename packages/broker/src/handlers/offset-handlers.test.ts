import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  decodeOffsetResponse,
  decodeQueryRouteResponse,
  decodePullMessageResponse,
  decodeStatusResponse,
  encodeForwardToDeadLetterRequest,
  encodeGroupOffsetRequest,
  encodePullMessageRequest,
  encodeQueryRouteRequest,
  encodeQueryOffsetRequest,
  prepareStoredMessage,
  queryOffsetPolicy,
  statusCode,
  writeStoredMessage,
  type PullMessageRequest,
} from '@raftmq/protocol';
import { testMessage } from '../testing/service-fixture.js';
import { callContext, callStream, callUnary, EdgeFixture } from '../testing/edge-fixture.js';
import { forwardMessageToDeadLetterQueue } from './forward-to-dead-letter-queue.js';
import { getOffset, queryOffset, updateOffset } from './offset-calls.js';
import { queryRoute } from './query-route.js';
import { pullMessage } from './pull-message.js';

const queue = { topic: { namespace: '', name: 'orders' }, brokerName: 'broker-a', queueId: 1 };
const group = { namespace: '', name: 'workers' };

let edge: EdgeFixture;
beforeEach(() => {
  edge = new EdgeFixture();
  edge.addTopic({ name: 'orders' });
});
afterEach(() => {
  edge.registry.close();
  edge.forwarder.close();
});

function record(body: string, queueOffset: number): Buffer {
  const prepared = prepareStoredMessage(testMessage(body), 'orders');
  const bytes = Buffer.alloc(prepared.sizeBytes);
  const placement = { queueId: 1, queueOffset, physicalOffset: 0, storeTimestampMs: 5 };
  writeStoredMessage(bytes, 0, prepared, placement);
  return bytes;
}

async function pull(fields: Partial<PullMessageRequest> = {}, headers?: Record<string, string>) {
  const method = pullMessage(edge.services);
  const request = encodePullMessageRequest({
    group,
    ...queue,
    offset: 4,
    batchSize: 8,
    filterType: 1,
    filterExpression: '*',
    longPollingMs: 3_000,
    ...fields,
  });
  const context = headers === undefined ? undefined : callContext(method.path, headers);
  const parts = await callStream(method, request, context);
  return parts.map((part) => decodePullMessageResponse(part));
}

describe('PullMessage', () => {
  it('answers a status, the messages, and where to go on', async () => {
    const records = [record('a', 4), record('b', 5)];
    edge.messaging.nextPull = { records, nextOffset: 7, misplaced: null };
    const parts = await pull({ filterExpression: 'x || y' });
    expect(
      parts.map((part) => part.status?.code ?? part.message?.queueOffset ?? part.nextOffset),
    ).toEqual([statusCode.OK, 4, 5, 7]);
    expect(parts[1]!.message).toMatchObject({ receiptHandle: '', messageId: 'id-a' });
    expect(edge.messaging.pulled).toEqual([
      expect.objectContaining({
        group: 'workers',
        topic: 'orders',
        queueId: 1,
        offset: 4,
        batchSize: 8,
        pollingMs: 3_000,
        filter: expect.objectContaining({ tags: ['x', 'y'] }),
      }),
    ]);
  });

  it('fills in and cuts what is asked for', async () => {
    await pull({ batchSize: 0, longPollingMs: null });
    await pull({ batchSize: 99_999, longPollingMs: 3_600_000 });
    expect(edge.messaging.pulled.map(({ batchSize, pollingMs }) => [batchSize, pollingMs])).toEqual(
      [
        [32, 0],
        [1024, 20_000],
      ],
    );
  });

  it.each([
    ['nothing new', null, statusCode.MESSAGE_NOT_FOUND, 'JAVA'],
    ['an offset that retention took', 'before', statusCode.OFFSET_NOT_FOUND, 'JAVA'],
    ['an offset behind the end', 'behind', statusCode.ILLEGAL_OFFSET, 'JAVA'],
    ['the same to a client that does not know the code', 'behind', statusCode.BAD_REQUEST, 'RUST'],
  ] as const)('%s', async (_, misplaced, code, language) => {
    edge.messaging.nextPull = { records: [], nextOffset: 6, misplaced };
    const headers = { 'x-mq-client-id': 'c', 'x-mq-language': language };
    const parts = await pull({}, headers);
    expect(parts).toHaveLength(2);
    expect(parts[0]!.status?.code).toBe(code);
    expect(parts[1]!.nextOffset).toBe(6);
  });

  it('takes the queue by its broker and nothing else', async () => {
    expect((await pull({ brokerName: 'broker-x' }))[0]!.status).toMatchObject({
      code: statusCode.BAD_REQUEST,
      message: expect.stringContaining('broker-a'),
    });
    // One of the names under which a replica known by host name is listed; and none, when there is no doubt.
    await pull({ brokerName: 'broker-a@2' });
    await pull({ brokerName: '' });
    expect(edge.messaging.pulled).toHaveLength(2);
    const unknown = { topic: { namespace: '', name: 'nothing' } };
    expect((await pull(unknown))[0]!.status?.code).toBe(statusCode.TOPIC_NOT_FOUND);
  });

  it('answers empty while the process stops', async () => {
    edge.draining = true;
    edge.messaging.failures = [new Error('closing')];
    const parts = await pull({ offset: 9 });
    expect(parts[0]!.status?.code).toBe(statusCode.MESSAGE_NOT_FOUND);
    expect(parts[1]!.nextOffset).toBe(9);
  });
});

describe('UpdateOffset, GetOffset, QueryOffset', () => {
  const update = async (offset: number) =>
    decodeStatusResponse(
      await callUnary(
        updateOffset(edge.services),
        encodeGroupOffsetRequest({ group, ...queue, offset }),
      ),
    );
  const get = async () =>
    decodeOffsetResponse(
      await callUnary(
        getOffset(edge.services),
        encodeGroupOffsetRequest({ group, ...queue, offset: 0 }),
      ),
    );

  it('an offset is set, told, and not moved back', async () => {
    expect((await get()).status.code).toBe(statusCode.OFFSET_NOT_FOUND);
    expect(await update(9)).toMatchObject({ code: statusCode.OK, message: 'OK' });
    expect(await get()).toMatchObject({ status: { code: statusCode.OK }, offset: 9 });
    const back = await update(3);
    expect(back.code).toBe(statusCode.OK);
    expect(back.message).toContain('the group is at 9');
  });

  it('queries by policy', async () => {
    const query = async (policy: number, timestampMs: number | null) =>
      decodeOffsetResponse(
        await callUnary(
          queryOffset(edge.services),
          encodeQueryOffsetRequest({ ...queue, policy, timestampMs }),
        ),
      );
    expect(await query(queryOffsetPolicy.BEGINNING, null)).toMatchObject({ offset: 77 });
    await query(queryOffsetPolicy.END, 5);
    await query(queryOffsetPolicy.TIMESTAMP, 5);
    expect(edge.messaging.offsetQueries).toEqual([
      { topic: 'orders', queueId: 1, query: { kind: 'beginning' } },
      { topic: 'orders', queueId: 1, query: { kind: 'end' } },
      { topic: 'orders', queueId: 1, query: { kind: 'timestamp', timestampMs: 5 } },
    ]);
    expect((await query(queryOffsetPolicy.TIMESTAMP, null)).status.code).toBe(
      statusCode.BAD_REQUEST,
    );
    expect((await query(7, null)).status.code).toBe(statusCode.BAD_REQUEST);
  });

  it('needs a topic, and names that are allowed', async () => {
    const wrong = { ...queue, topic: { namespace: '', name: 'a b' } };
    const answer = await callUnary(
      getOffset(edge.services),
      encodeGroupOffsetRequest({ group, ...wrong, offset: 0 }),
    );
    expect(decodeStatusResponse(answer).code).toBe(statusCode.ILLEGAL_TOPIC);
  });
});

describe('the reason of a dead letter', () => {
  it.each([
    [{}, 3, 17, 'rejected by the consumer'],
    [{}, 17, 17, 'attempts used up'],
    [{ 'x-mq-dead-letter-reason': 'no%20such%20customer' }, 17, 17, 'no such customer'],
    [{ 'x-mq-dead-letter-reason': 'a%0Ab%00' }, 1, 0, 'a b'],
    [{ 'x-mq-dead-letter-reason': '%E0%A4%A' }, 1, 0, 'rejected by the consumer'],
    [{ 'x-mq-dead-letter-reason': 'x'.repeat(600) }, 1, 0, 'x'.repeat(512)],
  ])('%j, attempt %d of %d', async (headers, deliveryAttempt, maxDeliveryAttempts, reason) => {
    const method = forwardMessageToDeadLetterQueue(edge.services);
    const request = encodeForwardToDeadLetterRequest({
      group,
      topic: queue.topic,
      receiptHandle: 'handle',
      messageId: 'm',
      deliveryAttempt,
      maxDeliveryAttempts,
      liteTopic: null,
    });
    const context = callContext(method.path, { 'x-mq-client-id': 'c', ...headers });
    expect(decodeStatusResponse(await callUnary(method, request, context)).code).toBe(
      statusCode.OK,
    );
    expect(edge.messaging.deadLetterCauses).toEqual([{ reason, attempts: deliveryAttempt }]);
  });
});

describe('topics of a group', () => {
  const route = async (name: string) => {
    const request = encodeQueryRouteRequest({ namespace: '', name }, { scheme: 1, addresses: [] });
    return decodeQueryRouteResponse(await callUnary(queryRoute(edge.services), request));
  };

  it.each(['%DLQ%workers', '%RETRY%workers'])(
    '%s is there as soon as the group is',
    async (name) => {
      expect((await route(name)).status.code).toBe(statusCode.TOPIC_NOT_FOUND);
      edge.messaging.groupMap.set('workers', { name: 'workers', fifo: false, maxAttempts: 3 });
      expect((await route(name)).queues).toHaveLength(1);
      expect(edge.messaging.topic(name)).toEqual({
        name,
        type: 'NORMAL',
        queues: 1,
        permission: 6,
      });
      expect((await route('orders-of-nobody')).status.code).toBe(statusCode.TOPIC_NOT_FOUND);
    },
  );
});
