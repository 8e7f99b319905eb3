import { describe, expect, test } from '@jest/globals';
import { loadMessage } from '@raftmq/rpc';
import { parseClientLanguage } from './language.js';
import { durationMessage, durationMs, mergeSettings, type SettingsMessage } from './settings.js';

const settings = loadMessage<SettingsMessage>('apache.rocketmq.v2.Settings');
/** What a server sees of what a client wrote. */
const arrive = (sent: SettingsMessage): SettingsMessage => settings.decode(settings.encode(sent));

const common = {
  accessPoint: { scheme: 1, addresses: [{ host: '10.0.0.1', port: 8081 }] },
  requestTimeout: { seconds: 3, nanos: 0 },
  userAgent: { language: 1, version: '5.2.0', platform: 'Linux', hostname: 'h' },
};
const topics = [{ resourceNamespace: 'ns', name: 't' }];
const producer = arrive({
  ...common,
  clientType: 1,
  publishing: { topics, maxBodySize: 1, validateMessageType: false },
});
const subscriptions = [
  { topic: { resourceNamespace: '', name: 't' }, expression: { type: 1, expression: '*' } },
];
const consumerOf = (clientType: number): SettingsMessage =>
  arrive({
    ...common,
    clientType,
    subscription: { group: { resourceNamespace: 'ns', name: 'g' }, subscriptions },
  });

describe('the reply to a producer', () => {
  test('echoes, and sets limits and exponential back-off', () => {
    const reply = arrive(mergeSettings(producer, { language: 'JAVA', group: null }));
    expect(reply).toMatchObject({
      ...common,
      clientType: 1,
      backoffPolicy: {
        maxAttempts: 3,
        exponentialBackoff: {
          initial: { seconds: 0, nanos: 10_000_000 },
          max: { seconds: 1, nanos: 0 },
          multiplier: 2,
        },
      },
      publishing: { topics, maxBodySize: 4_194_304, validateMessageType: true },
      metric: { on: false },
    });
    expect(reply.subscription).toBeUndefined();
  });

  test('speaks the milliseconds of the Node.js client', () => {
    expect(
      mergeSettings(producer, { language: 'NODE_JS', group: null }).backoffPolicy
        ?.exponentialBackoff,
    ).toEqual({
      initial: { seconds: 10, nanos: 0 },
      max: { seconds: 1000, nanos: 0 },
      multiplier: 2,
    });
  });
});

describe('the reply to a consumer', () => {
  test('echoes, and tells the order and attempts of its group', () => {
    const reply = arrive(
      mergeSettings(consumerOf(2), { language: 'GO', group: { fifo: true, maxAttempts: 5 } }),
    );
    expect(reply).toMatchObject({
      clientType: 2,
      backoffPolicy: { maxAttempts: 5 },
      subscription: {
        group: { resourceNamespace: 'ns', name: 'g' },
        subscriptions,
        fifo: true,
        receiveBatchSize: 32,
        longPollingTimeout: { seconds: 20, nanos: 0 },
      },
    });
    expect(
      reply.backoffPolicy?.customizedBackoff?.next.map(durationMs).map((ms) => ms / 1000),
    ).toEqual([
      1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200,
    ]);
    expect(reply.subscription?.liteSubscriptionQuota).toBeUndefined();
  });

  test('of a group that does not exist yet has the defaults', () => {
    expect(mergeSettings(consumerOf(3), { language: 'OTHER', group: null })).toMatchObject({
      backoffPolicy: { maxAttempts: 17 },
      subscription: { fifo: false },
    });
  });

  test('is exponential for the Node.js client, from 1 s to 2 h as it counts them', () => {
    const policy = mergeSettings(consumerOf(2), { language: 'NODE_JS', group: null }).backoffPolicy;
    expect(policy).toEqual({
      maxAttempts: 17,
      exponentialBackoff: {
        initial: { seconds: 1000, nanos: 0 },
        max: { seconds: 7_200_000, nanos: 0 },
        multiplier: 2,
      },
    });
  });

  test('shows the policy of the group: a list for everyone but the Node.js client', () => {
    const group = {
      fifo: false,
      maxAttempts: 4,
      retryPolicy: { kind: 'exponential', initialMs: 500, maxMs: 60_000, multiplier: 3 },
    } as const;
    expect(mergeSettings(consumerOf(2), { language: 'JAVA', group }).backoffPolicy).toEqual({
      maxAttempts: 4,
      customizedBackoff: { next: [500, 1_500, 4_500].map(durationMessage) },
    });
    expect(mergeSettings(consumerOf(2), { language: 'NODE_JS', group }).backoffPolicy).toEqual({
      maxAttempts: 4,
      exponentialBackoff: {
        initial: { seconds: 500, nanos: 0 },
        max: { seconds: 60_000, nanos: 0 },
        multiplier: 3,
      },
    });
    const listed = { ...group, retryPolicy: { kind: 'list', waitsMs: [7_000, 1_000] } } as const;
    expect(
      mergeSettings(consumerOf(2), { language: 'NODE_JS', group: listed }).backoffPolicy,
    ).toMatchObject({
      exponentialBackoff: { initial: { seconds: 7_000 }, max: { seconds: 7_000 } },
    });
  });

  test.each([5, 6])('of client type %d has a lite quota', (clientType) => {
    expect(
      mergeSettings(consumerOf(clientType), { language: 'PYTHON', group: null }).subscription,
    ).toMatchObject({
      liteSubscriptionQuota: 2000,
      maxLiteTopicSize: 64,
    });
  });
});

test('settings of neither kind are refused', () => {
  expect(() => mergeSettings(arrive({ clientType: 1 }), { language: 'JAVA', group: null })).toThrow(
    expect.objectContaining({ code: 'BAD_REQUEST' }),
  );
});

test('durations', () => {
  for (const ms of [0, 1, 10, 999, 1000, 1500, 7_200_000])
    expect(durationMs(durationMessage(ms))).toBe(ms);
});

test('languages by header', () => {
  expect(
    ['JAVA', 'HTTP', 'RUST', '', undefined, 'RAFTMQ_NODE', '__proto__'].map((header) =>
      parseClientLanguage(header),
    ),
  ).toEqual(['JAVA', 'NODE_JS', 'RUST', 'OTHER', 'OTHER', 'RAFTMQ', 'OTHER']);
});
