import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MqError } from '@raftmq/base';
import { encodeStoredMessage, prepareStoredMessage } from '@raftmq/protocol';
import { loadService, type RpcError } from '@raftmq/rpc';
import { callContext, callUnary, EdgeFixture } from '../testing/edge-fixture.js';
import { type DeadLetter } from '../messaging-service/dead-letter-desk.js';
import { adminMethods } from './admin-service.js';
import { type AdminSource } from './admin-source.js';

const service = loadService('raftmq.admin.v1.Admin');
const noAnswer = async () => ({ messages: [], nextPosition: null, missingBytes: 3 });
let edge: EdgeFixture;
let transfers: (number | null)[];
let source: AdminSource;
let deskCalls: unknown[][];
const letter: DeadLetter = {
  queueOffset: 7,
  messageId: 'm',
  originTopic: 'orders',
  originQueueId: 2,
  originQueueOffset: 40,
  reason: 'attempts used up',
  attempts: 17,
  firstDeliveryMs: 5,
  lastDeliveryMs: 6,
  storedMs: 8,
  tag: null,
  keys: ['k'],
  properties: new Map([['a', 'b']]),
  bodySizeBytes: 3,
  resent: true,
};
beforeEach(() => {
  edge = new EdgeFixture();
  transfers = [];
  deskCalls = [];
  source = {
    cluster: 'DefaultCluster',
    group: 'broker-a',
    nodeId: 0,
    voters: [0, 1, 2],
    replicas: () => [{ nodeId: 0, grpcAddress: '10.0.0.1:8081', raftAddress: '' }],
    messaging: edge.messaging,
    raft: {
      status: () =>
        ({
          role: 'leader',
          term: 4,
          leaderId: null,
          firstIndex: 1,
          lastIndex: 9,
          commitIndex: 8,
        }) as never,
      digest: () => ({ appliedIndex: 7, digest: 'abc' }),
      transferLeadership: async (target) => {
        transfers.push(target);
      },
    },
    queueStats: () => [{ queueId: 0, minOffset: 1, maxOffset: 5 }],
    queries: {
      messages: { byId: noAnswer, byKey: noAnswer, list: noAnswer },
      traces: { trace: () => Promise.reject(new MqError('MESSAGE_NOT_FOUND', 'no message')) },
    },
    groupProgress: () => [
      { topic: 'orders', queueId: 0, committedOffset: 3, maxOffset: 5, inFlight: 2, lag: 2 },
    ],
    deadLetterDesk: {
      page: (group, fromOffset, countMax) => {
        deskCalls.push(['page', group, fromOffset, countMax]);
        return Promise.resolve({ letters: [letter], nextOffset: 8, endOffset: 9 });
      },
      resend: (group, offsets) => {
        deskCalls.push(['resend', group, offsets]);
        return Promise.resolve([
          { queueOffset: 7, error: null, sent: true },
          { queueOffset: 8, error: new MqError('TOPIC_NOT_FOUND', 'gone'), sent: false },
        ]);
      },
    },
  };
});
afterEach(() => {
  edge.registry.close();
  edge.forwarder.close();
});

async function call<Answer = { code: number; message: string }>(
  name: string,
  request: object,
  headers = {},
): Promise<Answer> {
  const codec = service.get(name)!;
  const method = adminMethods(edge.services, source).find(
    (candidate) => candidate.path === codec.path,
  )!;
  const bytes = await callUnary(
    method,
    codec.request.encode(request),
    callContext(method.path, headers),
  );
  return codec.response.decode(bytes) as Answer;
}
const put = (topic: object, createOnly = false) => call('PutTopic', { topic, createOnly });

describe('topics', () => {
  it('are created with defaults, changed, and deleted', async () => {
    expect(await put({ name: 'orders' })).toMatchObject({ code: 20000 });
    expect(edge.messaging.topic('orders')).toEqual({
      name: 'orders',
      type: 'NORMAL',
      queues: 8,
      permission: 6,
    });
    expect((await put({ name: 'orders', queues: 16, permission: 4 })).code).toBe(20000);
    expect(edge.messaging.topic('orders')).toMatchObject({ queues: 16, permission: 4 });
    expect((await call('DeleteTopic', { name: 'orders' })).code).toBe(20000);
    expect((await call('DeleteTopic', { name: 'orders' })).code).toBe(40402);
  });

  it.each([
    [{ name: 'a/b' }, 40002],
    [{ name: 't', type: 'ODD' }, 40000],
    [{ name: 't', queues: -1 }, 40000],
    [{ name: 't', queues: 1_025 }, 40000],
    [{ name: 't', permission: 8 }, 40000],
  ])('are refused: %j', async (topic, code) => {
    expect((await put(topic)).code).toBe(code);
    expect(edge.messaging.topicMap.size).toBe(0);
  });

  it('do not shrink, and are not created a second time with other settings', async () => {
    await put({ name: 'orders', queues: 4 });
    expect((await put({ name: 'orders', queues: 2 })).code).toBe(42800);
    expect((await put({ name: 'orders', queues: 4 }, true)).code).toBe(20000);
    expect((await put({ name: 'orders', queues: 5 }, true)).code).toBe(42800);
    expect((await call('PutTopic', {})).code).toBe(40000);
  });

  it('are listed with their offsets', async () => {
    await put({ name: 'b' });
    await put({ name: 'a' });
    const all = await call<{ topics: { topic: { name: string }; queues: object[] }[] }>(
      'ListTopics',
      {},
    );
    expect(all.topics.map(({ topic }) => topic.name)).toEqual(['a', 'b']);
    expect(all.topics[0]?.queues).toEqual([{ queueId: 0, minOffset: 1, maxOffset: 5 }]);
    const none = await call<{ result: { code: number } }>('ListTopics', { name: 'c' });
    expect(none.result.code).toBe(40402);
  });
});

describe('groups', () => {
  it('are created with defaults, listed with progress one by one, and deleted', async () => {
    expect((await call('PutGroup', { group: { name: 'workers', fifo: true } })).code).toBe(20000);
    expect(edge.messaging.group('workers')).toEqual({
      name: 'workers',
      fifo: true,
      maxAttempts: 17,
    });
    const one = await call<{ groups: { progress: object[] }[] }>('ListGroups', { name: 'workers' });
    expect(one.groups[0]?.progress).toHaveLength(1);
    edge.services.subscriptions.used('c1', 'workers', 't', '*');
    edge.services.subscriptions.used('c2', 'workers', 't', 'TAG a');
    expect(await call('ListGroups', { name: 'workers' })).toMatchObject({
      groups: [
        {
          conflicts: [
            {
              topic: 't',
              choices: [
                { subscribed: true, filter: '*', clientCount: 1, clientIds: ['c1'] },
                { subscribed: true, filter: 'TAG a', clientCount: 1, clientIds: ['c2'] },
              ],
            },
          ],
        },
      ],
    });
    const all = await call<{ groups: { progress: object[] }[] }>('ListGroups', {});
    expect(all.groups[0]?.progress).toEqual([]);
    expect(
      (await call('PutGroup', { group: { name: 'workers', fifo: false }, createOnly: true })).code,
    ).toBe(42800);
    expect((await call('PutGroup', { group: { name: 'workers', maxAttempts: 1_001 } })).code).toBe(
      40000,
    );
    expect((await call('DeleteGroup', { name: 'workers' })).code).toBe(20000);
    expect((await call('DeleteGroup', { name: 'workers' })).code).toBe(40403);
    expect((await call('PutGroup', { group: { name: 'x y' } })).code).toBe(40003);
  });
});

describe('messages', () => {
  it('are asked for with what can be found', async () => {
    expect(await call('GetMessage', { messageId: 'x' })).toMatchObject({
      result: { code: 20000 },
      messages: [],
      missingBytes: 3,
    });
    const results = await Promise.all([
      call<{ result: { code: number } }>('GetMessage', { messageId: '' }),
      call<{ result: { code: number } }>('GetMessage', { messageId: 'x', topic: 'a/b' }),
      call<{ result: { code: number } }>('QueryMessages', { topic: 't' }),
      call<{ result: { code: number } }>('ListMessages', { topic: 't', start: 'SOMEWHERE' }),
      call<{ result: { code: number } }>('ListMessages', {
        topic: 't',
        start: 'TIME',
        startValue: -1,
      }),
      call<{ result: { code: number } }>('TraceMessage', { position: 5 }),
    ]);
    expect(results.map(({ result }) => result.code)).toEqual([
      40009, 40002, 40000, 40000, 40000, 40401,
    ]);
  });
});

describe('transactions', () => {
  const status = {
    transactionId: 't',
    topic: 'orders',
    state: 'pending',
    clientId: 'c',
    bodySizeBytes: 4,
    storedAtMs: 5,
    checks: 2,
    nextCheckAtMs: 9,
    parkedAtMs: null,
    decidedAtMs: null,
    decidedByCheck: false,
  } as const;

  it('are shown by id, open ones with their message', async () => {
    edge.messaging.transactions.statuses = [status];
    const message = {
      messageId: 't',
      body: Buffer.from('body'),
      tag: 'tag',
      keys: ['k'],
      userProperties: ['name', 'value'],
      messageGroup: null,
      traceContext: null,
      bornTimestampMs: 3,
      bornHost: 'h',
      gzip: false,
    };
    edge.messaging.transactions.stored = encodeStoredMessage(prepareStoredMessage(message, 'T'));
    expect(await call('GetTransaction', { transactionId: 't' })).toMatchObject({
      result: { code: 20000 },
      transactions: [
        {
          state: 'pending',
          nextCheckAtMs: 9,
          parkedAtMs: 0,
          message: { tag: 'tag', userProperties: { name: 'value' }, body: Buffer.from('body') },
        },
      ],
    });
    for (const transactionId of ['u', ' '])
      expect(await call('GetTransaction', { transactionId })).toMatchObject({
        result: { code: 40008 },
      });
  });

  it('are listed and resumed', async () => {
    edge.messaging.transactions.statuses = [status];
    expect(await call('ListTransactions', { state: 'parked', topic: 'orders' })).toMatchObject({
      transactions: [{ transactionId: 't', checks: 2 }],
    });
    await call('ListTransactions', { countMax: 7 });
    expect(edge.messaging.transactions.lists).toEqual([
      { topic: 'orders', state: 'parked', countMax: 100 },
      { topic: null, state: null, countMax: 7 },
    ]);
    for (const bad of [{ state: 'committed' }, { countMax: -1 }, { countMax: 10_001 }])
      expect(await call('ListTransactions', bad)).toMatchObject({ result: { code: 40000 } });
    expect(await call('ResumeTransactions', { topic: 'orders' })).toMatchObject({ count: 3 });
    await call('ResumeTransactions', { transactionId: 't' });
    expect(edge.messaging.transactions.resumed).toEqual([
      { topic: 'orders', id: null },
      { topic: null, id: 't' },
    ]);
  });
});

describe('Raft', () => {
  it('is described by the replica that was asked', async () => {
    edge.follow(1);
    expect(await call('GetRaftStatus', {})).toMatchObject({
      cluster: 'DefaultCluster',
      role: 'leader',
      term: 4,
      leaderId: -1,
      commitIndex: 8,
      appliedIndex: 7,
      digest: 'abc',
      voters: [0, 1, 2],
      replicas: [{ nodeId: 0, grpcAddress: '10.0.0.1:8081' }],
    });
  });

  it('hands leadership to anyone in the group, or to the best', async () => {
    expect((await call('TransferLeadership', { target: 2 })).code).toBe(20000);
    expect((await call('TransferLeadership', { target: -1 })).code).toBe(20000);
    expect((await call('TransferLeadership', { target: 0 })).code).toBe(20000);
    expect((await call('TransferLeadership', { target: 9 })).code).toBe(40000);
    expect(transfers).toEqual([2, null]);
  });
});

describe('failures', () => {
  it('tell the replica that passed the call on to look for another leader', async () => {
    edge.follow(1);
    await expect(call('ListTopics', {}, { 'x-raftmq-forwarded': '1' })).rejects.toMatchObject({
      status: 'UNAVAILABLE',
    } satisfies Partial<RpcError>);
  });

  it('that nobody foresaw are counted and tell nothing of the inside', async () => {
    edge.messaging.failures = [new TypeError('inside')];
    const answer = await put({ name: 'orders' });
    expect(answer.code).toBe(50001);
    expect(answer.message).not.toContain('inside');
    edge.messaging.failures = [new MqError('TOO_MANY_REQUESTS', 'busy')];
    expect(await put({ name: 'orders' })).toEqual({ code: 42900, message: 'busy' });
    expect(edge.probe.unexpectedErrors).toBe(1);
  });
});

describe('offsets and dead letters', () => {
  it.each([
    [{ target: 'BEGINNING', queueId: -1 }, null, { kind: 'beginning' }],
    [{ target: 1, queueId: 3 }, 3, { kind: 'end' }],
    [{ target: 2, value: 5, queueId: -1 }, null, { kind: 'timestamp', timestampMs: 5 }],
    [{ target: 3, value: 9, queueId: 0 }, 0, { kind: 'offset', offset: 9 }],
  ])('resets as asked: %j', async (fields, queueId, target) => {
    const answer = await call<{ result: object; queues: object[] }>('ResetOffset', {
      group: 'g',
      topic: 'orders',
      ...fields,
    });
    expect(answer.result).toMatchObject({ code: 20000 });
    expect(answer.queues).toEqual([{ queueId: queueId ?? 0, before: 5, after: 2 }]);
    expect(edge.messaging.resets).toEqual([
      { group: 'g', topic: 'orders', queueId, target, dryRun: false },
    ]);
  });

  it('refuses a reset without names, or with a target of the future', async () => {
    for (const wrong of [
      { topic: 'orders' },
      { group: 'g' },
      { group: 'g', topic: 'o', target: 9 },
    ]) {
      const answer = await call<{ result: { code: number } }>('ResetOffset', wrong);
      expect(answer.result.code).toBeGreaterThanOrEqual(40000);
    }
    expect(edge.messaging.resets).toEqual([]);
  });

  it('lists dead letters, and sends some again', async () => {
    const page = await call<{ letters: object[] }>('ListDeadLetters', {
      group: 'g',
      fromOffset: 4,
    });
    expect(page).toMatchObject({ nextOffset: 8, endOffset: 9 });
    expect(page.letters).toEqual([{ ...letter, tag: '', properties: { a: 'b' } }]);
    const resent = await call<{ outcomes: object[] }>('ResendDeadLetters', {
      group: 'g',
      offsets: [7, 8],
    });
    expect(resent.outcomes).toEqual([
      { queueOffset: 7, code: 20000, message: 'OK', sent: true },
      { queueOffset: 8, code: 40402, message: 'gone', sent: false },
    ]);
    expect(deskCalls).toEqual([
      ['page', 'g', 4, 256],
      ['resend', 'g', [7, 8]],
    ]);
  });

  it('groups keep their policy, start and pause', async () => {
    const group = {
      name: 'g',
      maxAttempts: 4,
      retryPolicy: { initialMs: 1_000, maxMs: 60_000, multiplier: 1.5 },
      consumeFrom: 'timestamp',
      consumeFromTimestampMs: 1_700_000_000_000,
      paused: true,
    };
    expect((await call('PutGroup', { group })).code).toBe(20000);
    expect(edge.messaging.group('g')).toEqual({
      name: 'g',
      fifo: false,
      maxAttempts: 4,
      retryPolicy: { kind: 'exponential', initialMs: 1_000, maxMs: 60_000, multiplier: 1.5 },
      consumeFrom: { kind: 'timestamp', timestampMs: 1_700_000_000_000 },
      consumeEnabled: false,
    });
    const { groups } = await call<{ groups: { group: object }[] }>('ListGroups', { name: 'g' });
    expect(groups[0]!.group).toMatchObject(group);
    expect((await call('PutGroup', { group, createOnly: true })).code).toBe(20000);
    const other = { ...group, retryPolicy: { waitsMs: [1] } };
    expect((await call('PutGroup', { group: other, createOnly: true })).code).toBe(42800);
    for (const wrong of [
      { retryPolicy: { waitsMs: [-1] } },
      { retryPolicy: { initialMs: 5, maxMs: 1, multiplier: 2 } },
      { consumeFrom: 'somewhere' },
      { consumeFrom: 'timestamp', consumeFromTimestampMs: -1 },
    ]) {
      expect((await call('PutGroup', { group: { ...group, ...wrong } })).code).toBe(40000);
    }
  });
});
