import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { loadMessage } from '@raftmq/rpc';
import { type PublishMessage } from '../model/message.js';
import { encodeStatusResponse, OK_STATUS } from '../status.js';
import { encodeReceiveMessagePart, encodeTopicResource } from './delivered-message.js';
import { decodeReceiveMessageRequest, encodeReceiveMessageRequest } from './receive-request.js';
import {
  decodeReceiveMessageResponse,
  encodeReceiveDeliveryTimestamp,
} from './receive-response.js';
import { parseStoredHost } from './stored-host.js';
import {
  prepareStoredMessage,
  type PrepareOptions,
  sysFlag,
  writeStoredMessage,
} from './stored-message.js';

const request = loadMessage<object>('apache.rocketmq.v2.ReceiveMessageRequest');
const response = loadMessage<Record<string, Record<string, unknown>>>(
  'apache.rocketmq.v2.ReceiveMessageResponse',
);

const sent: PublishMessage = {
  messageId: '01AB',
  body: Buffer.from('Hello'),
  tag: 'TagA',
  keys: ['k1', 'k2'],
  userProperties: ['name', 'wert ü', 'empty', ''],
  messageGroup: null,
  traceContext: null,
  bornTimestampMs: 1_700_000_000_005,
  bornHost: 'laptop',
  gzip: false,
};

function store(message: PublishMessage, topic = 'orders', options: PrepareOptions = {}): Buffer {
  const prepared = prepareStoredMessage(message, topic, {
    storeHost: parseStoredHost('10.1.2.3:10911'),
    ...options,
  });
  const record = Buffer.alloc(prepared.sizeBytes);
  writeStoredMessage(record, 0, prepared, {
    queueId: 3,
    queueOffset: 0,
    physicalOffset: 9,
    storeTimestampMs: 1_700_000_001_000,
  });
  return record;
}

function part(record: Buffer, topicResource: Buffer | null = null): Buffer {
  return encodeReceiveMessagePart(
    { record, receiptHandle: 'HANDLE', deliveryAttempt: 2, invisibleMs: 30_500 },
    topicResource,
  );
}

function deliver(message: PublishMessage, options: PrepareOptions = {}): Record<string, unknown> {
  return response.decode(part(store(message, 'orders', options)))['message']![
    'systemProperties'
  ] as Record<string, unknown>;
}

describe('ReceiveMessageResponse, message part', () => {
  test('carries everything that was sent, and the delivery', () => {
    expect(response.decode(part(store(sent)))).toEqual({
      content: 'message',
      message: {
        topic: { resourceNamespace: '', name: 'orders' },
        userProperties: { name: 'wert ü', empty: '' },
        systemProperties: expect.objectContaining({
          tag: 'TagA',
          keys: ['k1', 'k2'],
          messageId: '01AB',
          bodyDigest: {
            type: 2,
            checksum: createHash('md5').update('Hello').digest('hex').toUpperCase(),
          },
          bodyEncoding: 1,
          messageType: 1,
          bornTimestamp: { seconds: 1_700_000_000, nanos: 5_000_000 },
          bornHost: 'laptop',
          storeTimestamp: { seconds: 1_700_000_001, nanos: 0 },
          storeHost: '10.1.2.3:10911',
          receiptHandle: 'HANDLE',
          queueId: 3,
          queueOffset: 0,
          invisibleDuration: { seconds: 30, nanos: 500_000_000 },
          deliveryAttempt: 2,
        }),
        body: Buffer.from('Hello'),
      },
    });
    const absent = deliver({ ...sent, tag: null, keys: [] });
    for (const name of [
      'tag',
      'deliveryTimestamp',
      'messageGroup',
      'traceContext',
      'deadLetterQueue',
      'liteTopic',
      'priority',
    ]) {
      expect(absent[name] ?? null).toBeNull();
    }
    expect(absent['keys']).toEqual([]);
  });

  test('gives keys with spaces back as a list, and splits those of classic producers', () => {
    expect(deliver({ ...sent, keys: ['a b', ' c ', 'd'] })['keys']).toEqual(['a b', ' c ', 'd']);
    const classic = deliver({ ...sent, keys: [] }, { brokerProperties: ['KEYS', ' x  y '] });
    expect(classic['keys']).toEqual(['x', 'y']);
  });

  test('the message group is delivered twice: as a field and as a property', () => {
    const decoded = response.decode(part(store({ ...sent, messageGroup: 'g' })))['message']!;
    expect(decoded['userProperties']).toMatchObject({ __SHARDINGKEY: 'g', name: 'wert ü' });
    expect(decoded['systemProperties']).toMatchObject({ messageGroup: 'g', messageType: 2 });
  });

  test('properties of the broker stay inside', () => {
    const brokerProperties = [
      'TRAN_MSG',
      'true',
      'WAIT',
      'true',
      '1ST_POP_TIME',
      '5',
      '__CRC32#',
      '1',
      '__transactionId__',
      'T',
    ];
    const decoded = response.decode(part(store(sent, 'orders', { brokerProperties })))['message']!;
    expect(decoded['userProperties']).toEqual({
      name: 'wert ü',
      empty: '',
      __transactionId__: 'T',
    });
  });

  test.each([
    ['half message', { sysFlag: sysFlag.TRANSACTION_PREPARED }, { messageType: 4 }],
    ['committed message', { sysFlag: sysFlag.TRANSACTION_COMMIT }, { messageType: 1 }],
    [
      'timed message',
      { brokerProperties: ['TIMER_DELIVER_MS', '1700000009500'] },
      { messageType: 3, deliveryTimestamp: { seconds: 1_700_000_009, nanos: 500_000_000 } },
    ],
    ['classic delay level', { brokerProperties: ['DELAY', '3'] }, { messageType: 3 }],
    [
      'lite message',
      { brokerProperties: ['__LITE_TOPIC', 'l'] },
      { messageType: 5, liteTopic: 'l' },
    ],
    [
      'priority',
      { brokerProperties: ['_SYS_MSG_PRIORITY_', '0'] },
      { messageType: 6, priority: 0 },
    ],
    [
      'dead letter',
      { brokerProperties: ['DLQ_ORIGIN_TOPIC', 't', 'DLQ_ORIGIN_MESSAGE_ID', 'm'] },
      { deadLetterQueue: { topic: 't', messageId: 'm' } },
    ],
  ])('%s', (_what, options: PrepareOptions, expected) => {
    expect(deliver(sent, options)).toMatchObject(expected);
  });

  test('gzip, trace context, and a born host in the fixed part', () => {
    expect(
      deliver({ ...sent, gzip: true, traceContext: 'tc', bornHost: '10.0.0.1:80' }),
    ).toMatchObject({
      bodyEncoding: 2,
      traceContext: 'tc',
      bornHost: '10.0.0.1:80',
    });
  });

  test('the topic is echoed as the client spelled it, or split', () => {
    const topicOf = (topic: string, echo: Buffer | null): unknown =>
      response.decode(part(store(sent, topic), echo))['message']!['topic'];
    expect(topicOf('ns%orders', null)).toEqual({ resourceNamespace: 'ns', name: 'orders' });
    expect(topicOf('%DLQ%ns%g', null)).toEqual({ resourceNamespace: 'ns', name: '%DLQ%g' });
    expect(topicOf('%DLQ%g', null)).toEqual({ resourceNamespace: '', name: '%DLQ%g' });
    const echo = encodeTopicResource({ namespace: '', name: 'ns%orders' });
    expect(topicOf('ns%orders', echo)).toEqual({ resourceNamespace: '', name: 'ns%orders' });
  });

  test('large messages, many properties, long handles', () => {
    const userProperties = Array.from({ length: 128 }, (_, i) => [
      `name-${i}`,
      'v'.repeat(i),
    ]).flat();
    const record = store({ ...sent, body: Buffer.alloc(4 << 20, 1), userProperties });
    const receiptHandle = 'h'.repeat(400);
    const bytes = encodeReceiveMessagePart(
      { record, receiptHandle, deliveryAttempt: 1, invisibleMs: 0 },
      null,
    );
    const decoded = decodeReceiveMessageResponse(bytes).message!;
    expect(decoded.userProperties).toEqual(userProperties);
    expect(decoded.receiptHandle).toBe(receiptHandle);
    expect(decoded.body.equals(Buffer.alloc(4 << 20, 1))).toBe(true);
  });

  test('our own client reads it back', () => {
    const message = decodeReceiveMessageResponse(
      part(store({ ...sent, messageGroup: 'g' })),
    ).message;
    expect(message).toMatchObject({
      topic: { namespace: '', name: 'orders' },
      body: sent.body,
      userProperties: ['__SHARDINGKEY', 'g', 'name', 'wert ü', 'empty', ''],
      messageId: '01AB',
      tag: 'TagA',
      keys: ['k1', 'k2'],
      bodyDigest: { type: 2 },
      gzip: false,
      messageType: 2,
      bornTimestampMs: sent.bornTimestampMs,
      bornHost: 'laptop',
      storeTimestampMs: 1_700_000_001_000,
      storeHost: '10.1.2.3:10911',
      deliveryTimestampMs: null,
      receiptHandle: 'HANDLE',
      queueId: 3,
      queueOffset: 0,
      invisibleMs: 30_500,
      deliveryAttempt: 2,
      messageGroup: 'g',
      deadLetter: null,
    });
    const dead = {
      brokerProperties: [
        'DLQ_ORIGIN_TOPIC',
        't',
        'DLQ_ORIGIN_MESSAGE_ID',
        'm',
        '_SYS_MSG_PRIORITY_',
        '4',
      ],
    };
    expect(decodeReceiveMessageResponse(part(store(sent, 'orders', dead))).message).toMatchObject({
      deadLetter: { topic: 't', messageId: 'm' },
      priority: 4,
    });
  });
});

describe('ReceiveMessageResponse, other parts', () => {
  test('status', () => {
    expect(response.decode(encodeStatusResponse(OK_STATUS))).toEqual({
      content: 'status',
      status: { code: 20000, message: 'OK' },
    });
    const status = { code: 40401, message: 'no new message' };
    expect(decodeReceiveMessageResponse(encodeStatusResponse(status))).toEqual({
      status,
      message: null,
      deliveryTimestampMs: null,
    });
  });

  test('delivery timestamp', () => {
    const bytes = encodeReceiveDeliveryTimestamp(1_700_000_000_007);
    expect(response.decode(bytes)).toEqual({
      content: 'deliveryTimestamp',
      deliveryTimestamp: { seconds: 1_700_000_000, nanos: 7_000_000 },
    });
    expect(decodeReceiveMessageResponse(bytes).deliveryTimestampMs).toBe(1_700_000_000_007);
  });
});

describe('ReceiveMessageRequest', () => {
  const ours = {
    group: { namespace: 'ns', name: 'g' },
    topic: { namespace: '', name: 't' },
    brokerName: 'broker-a',
    queueId: -1,
    filterType: 1,
    filterExpression: 'a || b',
    batchSize: 32,
    invisibleMs: 10_000,
    autoRenew: true,
    longPollingMs: 0,
    attemptId: 'x',
  };
  const generic = {
    group: { resourceNamespace: 'ns', name: 'g' },
    messageQueue: {
      topic: { resourceNamespace: '', name: 't' },
      id: -1,
      broker: { name: 'broker-a' },
    },
    filterExpression: { type: 1, expression: 'a || b' },
    batchSize: 32,
    invisibleDuration: { seconds: 10, nanos: 0 },
    autoRenew: true,
    longPollingTimeout: { seconds: 0, nanos: 0 },
    attemptId: 'x',
  };

  test('both ways', () => {
    expect(request.decode(encodeReceiveMessageRequest(ours))).toMatchObject(generic);
    expect(decodeReceiveMessageRequest(request.encode(generic))).toEqual(ours);
  });

  test('absent fields are null, and absurd times do not overflow', () => {
    expect(decodeReceiveMessageRequest(Buffer.alloc(0))).toMatchObject({
      invisibleMs: null,
      longPollingMs: null,
      attemptId: null,
    });
    const absurd = decodeReceiveMessageRequest(
      request.encode({
        invisibleDuration: { seconds: 2 ** 53 - 1, nanos: 0 },
        longPollingTimeout: { seconds: -5, nanos: 0 },
      }),
    );
    expect(absurd.invisibleMs).toBe(8.64e15);
    expect(absurd.longPollingMs).toBe(-5000);
  });
});
