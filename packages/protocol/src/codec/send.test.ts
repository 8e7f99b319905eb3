import { describe, expect, test } from '@jest/globals';
import { loadMessage } from '@raftmq/rpc';
import { protocolLimits } from '../limits.js';
import { messageType } from '../model/topic.js';
import { OK_STATUS } from '../status.js';
import { encodeSendMessageRequest, type OutgoingMessage } from './send-encode.js';
import { decodeSendMessageRequest } from './send-request.js';
import {
  commonStatus,
  decodeSendMessageResponse,
  encodeSendMessageResponse,
  encodeSendOkResponse,
} from './send-response.js';

const request = loadMessage<Record<string, unknown>>('apache.rocketmq.v2.SendMessageRequest');
const response = loadMessage<Record<string, unknown>>('apache.rocketmq.v2.SendMessageResponse');
const context = { peer: '10.0.0.9:4000', nowMs: 1_700_000_000_123 };
const topic = { resourceNamespace: 'ns', name: 'orders' };
const empty = Buffer.alloc(0);

const full = {
  topic,
  userProperties: { a: '1', имя: 'значение 😀', empty: '' },
  systemProperties: {
    tag: 'TagA',
    keys: ['k 1', 'k2'],
    messageId: '01ABCD',
    bodyDigest: { type: 2, checksum: 'AB' },
    bodyEncoding: 2,
    messageType: 2,
    bornTimestamp: { seconds: 1_600_000_000, nanos: 5_000_000 },
    bornHost: 'laptop',
    storeTimestamp: { seconds: 9, nanos: 0 },
    storeHost: 'ignored',
    deliveryTimestamp: { seconds: 1_700_000_100, nanos: 999_999_999 },
    receiptHandle: 'ignored',
    queueId: -5,
    queueOffset: 2 ** 52,
    invisibleDuration: { seconds: 1, nanos: 1 },
    deliveryAttempt: -1,
    messageGroup: 'g',
    traceContext: 'trace',
    orphanedTransactionRecoveryDuration: { seconds: 7, nanos: 0 },
    deadLetterQueue: { topic: 't', messageId: 'm' },
    liteTopic: 'lite',
    priority: -3,
  },
  body: Buffer.from('body'),
};

describe('SendMessageRequest', () => {
  test('is read like the generic codec reads it', () => {
    const frame = request.encode({ messages: [full, { topic, body: Buffer.from('x') }] });
    const decoded = decodeSendMessageRequest(frame, context);
    expect(decoded).toMatchObject({ topicName: 'orders', namespace: 'ns', mixedTopics: false });
    expect(decoded.messages[0]).toEqual({
      messageId: '01ABCD',
      body: Buffer.from('body'),
      tag: 'TagA',
      keys: ['k 1', 'k2'],
      userProperties: ['a', '1', 'имя', 'значение 😀', 'empty', ''],
      messageGroup: 'g',
      traceContext: 'trace',
      bornTimestampMs: 1_600_000_000_005,
      bornHost: 'laptop',
      gzip: true,
      messageType: messageType.DELAY,
      userPropertyCount: 3,
      bodyDigest: { type: 2, checksum: 'AB' },
      bodyEncoding: 2,
      deliveryTimestampMs: 1_700_000_100_999,
      liteTopic: 'lite',
      priority: -3,
      transactionRecoveryMs: 7000,
    });
    expect(decoded.messages[1]).toMatchObject({
      messageId: '',
      tag: null,
      bornHost: '10.0.0.9:4000',
      bornTimestampMs: 1_700_000_000_123,
      messageType: messageType.NORMAL,
      bodyDigest: null,
    });
  });

  test('bodies are views of the frame', () => {
    const frame = request.encode({ messages: [full] });
    const body = decodeSendMessageRequest(frame, context).messages[0]!.body;
    frame[frame.indexOf('body')] = 0x42;
    expect(body.toString()).toBe('Body');
  });

  test.each([
    [{ messageType: 4, deliveryTimestamp: { seconds: 1 } }, messageType.TRANSACTION],
    [{ messageType: 1, deliveryTimestamp: { seconds: 1 }, messageGroup: 'g' }, messageType.DELAY],
    [{ messageType: 99, messageGroup: 'g', liteTopic: 'l', priority: 1 }, messageType.FIFO],
    [{ liteTopic: 'l', priority: 0 }, messageType.LITE],
    [{ priority: 0, messageGroup: '', liteTopic: '' }, messageType.PRIORITY],
    [{ messageType: 3 }, messageType.NORMAL],
  ])('the type of %j is %d', (systemProperties, type) => {
    const frame = request.encode({ messages: [{ topic, systemProperties, body: empty }] });
    expect(decodeSendMessageRequest(frame, context).messages[0]!.messageType).toBe(type);
  });

  test('sees different topics, however they are written', () => {
    const mixed = (...topics: object[]): boolean =>
      decodeSendMessageRequest(
        request.encode({ messages: topics.map((one) => ({ topic: one })) }),
        context,
      ).mixedTopics;
    expect(mixed(topic, topic, topic)).toBe(false);
    expect(mixed(topic, { ...topic, name: 'other' })).toBe(true);
    expect(mixed(topic, { name: 'orders' })).toBe(true);
    const namespaceLast = Buffer.from(
      '0a0e0a0c1206' + Buffer.from('orders').toString('hex') + '0a026e73',
      'hex',
    );
    const frame = Buffer.concat([request.encode({ messages: [{ topic }] }), namespaceLast]);
    expect(decodeSendMessageRequest(frame, context)).toMatchObject({
      mixedTopics: false,
      messages: [{}, {}],
    });
    const absent = Buffer.concat([
      request.encode({ messages: [{ topic }] }),
      Buffer.from('0a00', 'hex'),
    ]);
    expect(decodeSendMessageRequest(absent, context).mixedTopics).toBe(true);
  });

  test('of equal property names the last one wins', () => {
    const pair = (name: string, value: string): string =>
      Buffer.concat([
        Buffer.from([18, 6, 10, 1]),
        Buffer.from(name),
        Buffer.from([18, 1]),
        Buffer.from(value),
      ]).toString('hex');
    const inner = Buffer.from(pair('a', '1') + pair('b', '2') + pair('a', '3'), 'hex');
    const frame = Buffer.concat([Buffer.from([10, inner.length]), inner]);
    const message = decodeSendMessageRequest(frame, context).messages[0]!;
    expect(message.userProperties).toEqual(['a', '3', 'b', '2']);
    expect(message.userPropertyCount).toBe(2);
  });

  test('counts, but does not keep, properties beyond the limit', () => {
    const userProperties = Object.fromEntries(
      Array.from({ length: 500 }, (_, i) => [`p${i}`, 'v']),
    );
    const message = decodeSendMessageRequest(
      request.encode({ messages: [{ topic, userProperties }] }),
      context,
    ).messages[0]!;
    expect(message.userPropertyCount).toBe(500);
    expect(message.userProperties).toHaveLength(2 * protocolLimits.userPropertiesMax);
  });

  test('refuses too many messages, and too many bytes', () => {
    const many = Buffer.alloc(2 * (protocolLimits.messagesPerSendMax + 1));
    for (let i = 0; i < many.length; i += 2) many[i] = 10;
    expect(() => decodeSendMessageRequest(many, context)).toThrow(
      expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE' }),
    );
    expect(decodeSendMessageRequest(many.subarray(2), context).messages).toHaveLength(
      protocolLimits.messagesPerSendMax,
    );
    const body = Buffer.alloc(protocolLimits.bodySizeBytesMax);
    const big = request.encode({ messages: Array.from({ length: 9 }, () => ({ topic, body })) });
    expect(() => decodeSendMessageRequest(big, context)).toThrow(
      expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE' }),
    );
  });

  test.each([
    ['topic', 'ILLEGAL_TOPIC', '0a050a03' + '1201ff'],
    ['tag', 'ILLEGAL_MESSAGE_TAG', '0a051a030a01c0'],
    ['key, overlong form', 'ILLEGAL_MESSAGE_KEY', '0a061a041202c080'],
    ['message id, half a surrogate pair', 'ILLEGAL_MESSAGE_ID', '0a071a051a03eda080'],
    ['message group', 'ILLEGAL_MESSAGE_GROUP', '0a061a048a0101fe'],
    ['property value', 'ILLEGAL_MESSAGE_PROPERTY_KEY', '0a0612041202e282'],
    ['digest', 'MESSAGE_CORRUPTED', '0a071a0522031201ff'],
    ['trace context', 'BAD_REQUEST', '0a061a04920101ff'],
  ])('a %s that is no UTF-8 is %s', (_what, code, hex) => {
    expect(() => decodeSendMessageRequest(Buffer.from(hex, 'hex'), context)).toThrow(
      expect.objectContaining({ code }),
    );
  });

  test('cut off at any byte it is refused', () => {
    const frame = request.encode({ messages: [full] });
    for (let end = 1; end < frame.length; end++) {
      expect(() => decodeSendMessageRequest(frame.subarray(0, end), context)).toThrow(
        expect.objectContaining({ code: 'BAD_REQUEST' }),
      );
    }
  });

  test('any changed byte is read or refused with a code', () => {
    const frame = request.encode({ messages: [full] });
    for (let at = 0; at < frame.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = Buffer.from(frame);
        damaged[at]! ^= flip;
        try {
          expect(decodeSendMessageRequest(damaged, context).messages.length).toBeLessThanOrEqual(2);
        } catch (error) {
          expect(error).toMatchObject({ name: 'MqError' });
        }
      }
    }
  });

  test('what a client encodes is what the generic codec reads, and our decoder gives it back', () => {
    const message: OutgoingMessage = {
      messageId: '01FF',
      body: Buffer.alloc(3000, 7),
      tag: 'größe',
      keys: ['k1', 'x'.repeat(100)],
      userProperties: ['p', 'v', 'long', 'ä'.repeat(80)],
      messageGroup: 'g',
      traceContext: 'tc',
      bornTimestampMs: 1_600_000_000_005,
      bornHost: 'h',
      gzip: true,
      messageType: messageType.FIFO,
      deliveryTimestampMs: null,
      liteTopic: null,
      priority: 0,
    };
    const plain = {
      ...message,
      tag: null,
      keys: [],
      userProperties: [],
      messageGroup: null,
      deliveryTimestampMs: 1500,
      gzip: false,
    };
    const frame = encodeSendMessageRequest({ namespace: 'ns', name: 'orders' }, [message, plain]);
    expect(request.decode(frame)).toMatchObject({
      messages: [
        {
          topic,
          userProperties: { p: 'v', long: 'ä'.repeat(80) },
          systemProperties: {
            tag: 'größe',
            keys: message.keys,
            bodyEncoding: 2,
            messageType: 2,
            priority: 0,
            messageGroup: 'g',
          },
          body: message.body,
        },
        {
          topic,
          systemProperties: {
            keys: [],
            deliveryTimestamp: { seconds: 1, nanos: 500_000_000 },
            bodyEncoding: 1,
          },
        },
      ],
    });
    const [first, second] = decodeSendMessageRequest(frame, context).messages;
    const { messageType: _type, ...fields } = message;
    expect(first).toMatchObject(fields);
    expect(second).toMatchObject({
      tag: null,
      deliveryTimestampMs: 1500,
      messageType: messageType.DELAY,
    });
  });
});

describe('SendMessageResponse', () => {
  test('of a success has an entry per message, with the id twice', () => {
    const bytes = encodeSendOkResponse([{ messageId: 'a' }, { messageId: 'ü'.repeat(60) }], 41);
    const status = { code: 20000, message: 'OK' };
    expect(response.decode(bytes)).toMatchObject({
      status,
      entries: [
        { status, messageId: 'a', transactionId: 'a', offset: 41, recallHandle: '' },
        { status, messageId: 'ü'.repeat(60), offset: 42 },
      ],
    });
    expect(decodeSendMessageResponse(bytes).status).toBe(OK_STATUS);
  });

  test('of any outcome reads back', () => {
    const bad = { code: 42900, message: 'slow down' };
    const entries = [
      { status: OK_STATUS, messageId: 'a', transactionId: 'b', offset: 2 ** 40, recallHandle: 'r' },
      { status: bad, messageId: '', transactionId: '', offset: 0, recallHandle: '' },
    ];
    const bytes = encodeSendMessageResponse({ status: commonStatus([OK_STATUS, bad]), entries });
    expect(response.decode(bytes)).toMatchObject({
      status: { code: 30000 },
      entries: [{ offset: 2 ** 40 }, { status: bad }],
    });
    expect(decodeSendMessageResponse(bytes)).toEqual({
      status: { code: 30000, message: 'MULTIPLE_RESULTS' },
      entries,
    });
  });

  test('common status', () => {
    const busy = { code: 42900, message: 'busy' };
    expect(commonStatus([busy, { ...busy, message: 'other words' }])).toBe(busy);
    expect(commonStatus([])).toEqual({ code: 50001, message: 'INTERNAL_SERVER_ERROR' });
  });
});
