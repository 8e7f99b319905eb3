import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { crc32 } from '@raftmq/base';
import { loadMessage } from '@raftmq/rpc';
import { decodeSendMessageRequest } from './codec/send-request.js';
import { reservedPropertyNames } from './codec/properties.js';
import { protocolLimits, type SendLimits } from './limits.js';
import { type TopicType } from './model/topic.js';
import { validateSend } from './validate-send.js';

const request = loadMessage<object>('apache.rocketmq.v2.SendMessageRequest');
const nowMs = 1_700_000_000_000;
const body = Buffer.from('Hello');

interface Overrides {
  topic?: string;
  body?: Buffer;
  userProperties?: Record<string, string>;
  system?: Record<string, unknown>;
}

function one(overrides: Overrides): object {
  return {
    topic: { name: overrides.topic ?? 'orders' },
    body: overrides.body ?? body,
    userProperties: overrides.userProperties ?? {},
    systemProperties: { messageId: '01', ...overrides.system },
  };
}

function validate(messages: object[], type: TopicType | null = 'NORMAL'): void {
  const frame = request.encode({ messages });
  validateSend(decodeSendMessageRequest(frame, { peer: 'p', nowMs }), type, protocolLimits, nowMs);
}

function expectCode(code: string, messages: object[], type: TopicType | null = 'NORMAL'): void {
  expect(() => validate(messages, type)).toThrow(expect.objectContaining({ code }));
}

const seconds = (ms: number): object => ({
  seconds: Math.floor(ms / 1000),
  nanos: (ms % 1000) * 1e6,
});
const manyProperties = Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`p${i}`, '']));

/** Each with a fault of its own; in the order of the checks. */
const faults: [string, Overrides][] = [
  ['ILLEGAL_TOPIC', { topic: 'a b' }],
  ['MESSAGE_BODY_EMPTY', { body: Buffer.alloc(0) }],
  ['MESSAGE_BODY_TOO_LARGE', { body: Buffer.alloc(protocolLimits.bodySizeBytesMax + 1) }],
  ['MESSAGE_PROPERTIES_TOO_LARGE', { userProperties: manyProperties }],
  ['ILLEGAL_MESSAGE_PROPERTY_KEY', { userProperties: { TAGS: 'x' } }],
  ['ILLEGAL_MESSAGE_PROPERTY_KEY', { userProperties: { RAFTMQ_TTL: 'soon' } }],
  ['ILLEGAL_MESSAGE_TAG', { system: { tag: 'a|b' } }],
  ['ILLEGAL_MESSAGE_KEY', { system: { keys: ['ok', ' '] } }],
  ['ILLEGAL_MESSAGE_ID', { system: { messageId: ' ' } }],
  [
    'BAD_REQUEST',
    { system: { messageType: 4, orphanedTransactionRecoveryDuration: { seconds: 3601 } } },
  ],
  [
    'ILLEGAL_DELIVERY_TIME',
    { system: { deliveryTimestamp: seconds(nowMs + 40 * 86_400_000 + 1) } },
  ],
  ['ILLEGAL_MESSAGE_GROUP', { system: { messageGroup: 'x'.repeat(64) } }],
  ['MESSAGE_CORRUPTED', { system: { bodyDigest: { type: 2, checksum: '00' } } }],
  ['MESSAGE_PROPERTY_CONFLICT_WITH_TYPE', { system: { messageGroup: 'g' } }],
];

describe('each check', () => {
  test.each(faults)('%s', (code, overrides) => expectCode(code, [one(overrides)]));

  test.each(faults)('%s in the second message of a call', (code, overrides) => {
    expectCode(code === 'ILLEGAL_TOPIC' ? 'MESSAGE_CORRUPTED' : code, [one({}), one(overrides)]);
  });

  test('a message without fault passes', () =>
    expect(() => validate([one({}), one({})])).not.toThrow());
});

describe('order of the checks', () => {
  for (let i = 0; i + 1 < faults.length; i++) {
    const [code, first] = faults[i]!;
    const [laterCode, second] = faults[i + 1]!;
    // Two faults of one field cannot meet.
    if (code === 'MESSAGE_BODY_EMPTY' || code === 'MESSAGE_PROPERTIES_TOO_LARGE') continue;
    test(`${code} comes before ${laterCode}`, () => {
      expectCode(code, [
        one({ ...second, ...first, system: { ...second.system, ...first.system } }),
      ]);
    });
  }

  test('no message, mixed topics, unknown topic', () => {
    expectCode('MESSAGE_CORRUPTED', []);
    expectCode('ILLEGAL_TOPIC', [one({ topic: '' }), one({})]);
    expectCode('MESSAGE_CORRUPTED', [one({ topic: 'other', body: Buffer.alloc(0) }), one({})]);
    expectCode('TOPIC_NOT_FOUND', [one({})], null);
    expectCode('TOPIC_NOT_FOUND', [one({ system: { messageGroup: 'g' } })], null);
  });
});

describe('properties', () => {
  test.each([...reservedPropertyNames])('%s is reserved', (name) => {
    expectCode('ILLEGAL_MESSAGE_PROPERTY_KEY', [one({ userProperties: { [name]: 'x' } })]);
  });

  test.each([
    '__SHARDINGKEY',
    '__transactionId__',
    'TRACE_CONTEXT',
    'INNER_NUM',
    '__proto__',
    'constructor',
    'a b',
  ])('%s is not', (name) => {
    const userProperties: Record<string, string> = Object.create(null) as Record<string, string>;
    userProperties[name] = 'x';
    expect(() => validate([one({ userProperties })])).not.toThrow();
  });

  test('control characters and empty names are refused', () => {
    for (const userProperties of [
      { 'a\x01': 'x' },
      { a: '\x02' },
      { a: '\0' },
      { a: '\u0085' },
      { '': 'x' },
    ]) {
      expectCode('ILLEGAL_MESSAGE_PROPERTY_KEY', [one({ userProperties })]);
    }
  });

  test('the size of names, values, tag and keys counts in UTF-8', () => {
    const value = 'ä'.repeat(8190);
    expect(() =>
      validate([one({ userProperties: { a: value }, system: { tag: 'b', keys: ['c'] } })]),
    ).not.toThrow();
    expectCode('MESSAGE_PROPERTIES_TOO_LARGE', [
      one({ userProperties: { a: value }, system: { tag: 'bb', keys: ['ä'] } }),
    ]);
  });
});

test('other limits count, but none lets properties get lost', () => {
  const check = (limits: Partial<SendLimits>, overrides: Overrides) => () =>
    validateSend(
      decodeSendMessageRequest(request.encode({ messages: [one(overrides)] }), {
        peer: 'p',
        nowMs,
      }),
      'NORMAL',
      { ...protocolLimits, ...limits },
      nowMs,
    );
  expect(check({ bodySizeBytesMax: 4 }, {})).toThrow(
    expect.objectContaining({ code: 'MESSAGE_BODY_TOO_LARGE' }),
  );
  expect(check({ bodySizeBytesMax: 5 }, {})).not.toThrow();
  const tooMany = expect.objectContaining({ code: 'MESSAGE_PROPERTIES_TOO_LARGE' });
  expect(check({ userPropertiesMax: 1 }, { userProperties: { a: '', b: '' } })).toThrow(tooMany);
  expect(check({ userPropertiesMax: 1000 }, { userProperties: manyProperties })).toThrow(tooMany);
});

describe('texts', () => {
  test.each([
    ['ILLEGAL_MESSAGE_TAG', { tag: '  ' }],
    ['ILLEGAL_MESSAGE_TAG', { tag: 'a\0' }],
    ['ILLEGAL_MESSAGE_KEY', { keys: ['a\x7f'] }],
    ['ILLEGAL_MESSAGE_KEY', { keys: [''] }],
    ['ILLEGAL_MESSAGE_ID', { messageId: '' }],
    ['ILLEGAL_MESSAGE_ID', { messageId: 'a\x02' }],
    ['ILLEGAL_MESSAGE_ID', { messageId: 'x'.repeat(256) }],
    ['ILLEGAL_MESSAGE_GROUP', { messageGroup: ' ' }],
    ['ILLEGAL_MESSAGE_GROUP', { messageGroup: 'a\n' }],
    ['ILLEGAL_MESSAGE_GROUP', { messageGroup: 'ä'.repeat(32) }],
    ['BAD_REQUEST', { bornHost: 'a\x01' }],
    ['BAD_REQUEST', { bornHost: 'x'.repeat(256) }],
    ['BAD_REQUEST', { traceContext: 'a\x02' }],
    ['BAD_REQUEST', { traceContext: 'x'.repeat(4097) }],
    ['ILLEGAL_LITE_TOPIC', { liteTopic: 'x'.repeat(65) }],
  ])('%s for %j', (code, system) => expectCode(code, [one({ system })], 'MIXED'));

  test('63 bytes of message group are legal', () => {
    expect(() =>
      validate([one({ system: { messageGroup: 'x'.repeat(63) } })], 'FIFO'),
    ).not.toThrow();
  });
});

describe('times', () => {
  test('a delivery time may lie in the past, and up to 40 days ahead', () => {
    for (const ms of [0, nowMs - 1000, nowMs + 40 * 86_400_000]) {
      expect(() =>
        validate([one({ system: { deliveryTimestamp: seconds(ms) } })], 'DELAY'),
      ).not.toThrow();
    }
  });
  test('the limit is in the text, in days too', () => {
    const late = one({ system: { deliveryTimestamp: seconds(nowMs + 2 ** 40) } });
    expect(() => validate([late], 'DELAY')).toThrow(/3456000000 ms \(40 days\)/);
  });
  test('a message of a message group has none', () => {
    const system = { messageGroup: 'g', deliveryTimestamp: seconds(nowMs + 1000) };
    expectCode('MESSAGE_PROPERTY_CONFLICT_WITH_TYPE', [one({ system })], 'MIXED');
  });
  test('a transactional message has none', () => {
    const system = { messageType: 4, messageGroup: 'g', deliveryTimestamp: seconds(nowMs) };
    expectCode('MESSAGE_PROPERTY_CONFLICT_WITH_TYPE', [one({ system })], 'MIXED');
  });
});

describe('topic types', () => {
  const typed: [TopicType, Record<string, unknown>][] = [
    ['NORMAL', {}],
    ['FIFO', { messageGroup: 'g' }],
    ['DELAY', { deliveryTimestamp: seconds(nowMs) }],
    ['TRANSACTION', { messageType: 4 }],
    ['LITE', { liteTopic: 'l' }],
    ['PRIORITY', { priority: 1 }],
  ];
  test.each(typed)('%s', (type, system) => {
    expect(() => validate([one({ system })], type)).not.toThrow();
    expect(() => validate([one({ system })], 'MIXED')).not.toThrow();
    expect(() => validate([one({ topic: '%DLQ%g', system })], 'NORMAL')).not.toThrow();
    const [other] = typed.find(([candidate]) => candidate !== type)!;
    expectCode('MESSAGE_PROPERTY_CONFLICT_WITH_TYPE', [one({ system })], other);
  });
});

describe('digests', () => {
  const md5 = createHash('md5').update(body).digest('hex');
  const sha1 = createHash('sha1').update(body).digest('hex');
  const zeros = Buffer.from([0x9d, 0x0a, 0xd9, 0x6d]);
  test.each([
    ['MD5', { type: 2, checksum: md5 }],
    ['MD5, upper case', { type: 2, checksum: md5.toUpperCase() }],
    ['SHA1', { type: 3, checksum: sha1.toUpperCase() }],
    ['CRC32, hex', { type: 1, checksum: 'f7d18982' }],
    ['CRC32, decimal', { type: 1, checksum: String(0xf7d18982) }],
    ['no digest in it', { type: 0, checksum: '' }],
  ])('%s passes', (_what, bodyDigest) => {
    expect(() => validate([one({ system: { bodyDigest } })])).not.toThrow();
  });

  test('a CRC32 with leading zeros may leave them out', () => {
    const sum = crc32(zeros);
    for (const checksum of [
      sum.toString(16),
      sum.toString(16).padStart(8, '0').toUpperCase(),
      String(sum),
    ]) {
      expect(() =>
        validate([one({ body: zeros, system: { bodyDigest: { type: 1, checksum } } })]),
      ).not.toThrow();
    }
  });

  test.each([
    ['wrong MD5', { type: 2, checksum: sha1 }],
    ['empty MD5', { type: 2, checksum: '' }],
    ['wrong CRC32', { type: 1, checksum: 'f7d18983' }],
    ['CRC32 with a sign', { type: 1, checksum: '+4157704578' }],
    ['empty CRC32', { type: 1, checksum: '' }],
    ['wrong SHA1', { type: 3, checksum: md5 }],
    ['unknown type', { type: 9, checksum: md5 }],
    ['unspecified type', { type: 0, checksum: md5 }],
  ])('%s is MESSAGE_CORRUPTED', (_what, bodyDigest) =>
    expectCode('MESSAGE_CORRUPTED', [one({ system: { bodyDigest } })]),
  );
});
