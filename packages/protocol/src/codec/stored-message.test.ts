import { describe, expect, test } from '@jest/globals';
import { type PublishMessage } from '../model/message.js';
import { decodeProperties, encodeProperties } from './properties.js';
import {
  decodeStoredMessage,
  isStoredMessage,
  storedBody,
  storedBodySizeBytes,
  storedBodyStart,
  storedBornTimestampMs,
  storedMessageId,
  storedPhysicalOffset,
  storedProperty,
  storedQueueId,
  storedQueueOffset,
  storedReconsumeTimes,
  storedSizeBytes,
  storedStoreHost,
  storedStoreTimestampMs,
  storedTag,
  storedTopic,
} from './stored-fields.js';
import { canonicalIpv4Host, formatStoredHost, parseStoredHost } from './stored-host.js';
import {
  placeStoredMessage,
  prepareStoredMessage,
  type PrepareOptions,
  storedMessageSizeBytes,
  sysFlag,
  writeStoredMessage,
} from './stored-message.js';

const plain: PublishMessage = {
  messageId: '7F00000100002A139A2F6B3C00000000',
  body: Buffer.from('Hello'),
  tag: 'TagA',
  keys: [],
  userProperties: [],
  messageGroup: null,
  traceContext: null,
  bornTimestampMs: 1_700_000_000_000,
  bornHost: '127.0.0.1:50000',
  gzip: false,
};
const placement = {
  queueId: 2,
  queueOffset: 5,
  physicalOffset: 1024,
  storeTimestampMs: 1_700_000_000_001,
};

function record(
  message: PublishMessage,
  topic = 'TopicTest',
  options: PrepareOptions = {},
): Buffer {
  const prepared = prepareStoredMessage(message, topic, options);
  expect(storedMessageSizeBytes(message, topic, options)).toBe(prepared.sizeBytes);
  const target = Buffer.alloc(prepared.sizeBytes + 20, 0xee);
  expect(writeStoredMessage(target, 7, prepared, placement)).toBe(7 + prepared.sizeBytes);
  expect(target.subarray(0, 7)).toEqual(Buffer.alloc(7, 0xee));
  expect(target.subarray(7 + prepared.sizeBytes)).toEqual(Buffer.alloc(13, 0xee));
  return target.subarray(7, 7 + prepared.sizeBytes);
}

/** A record as the Apache codec writes it. */
const apacheRecord = (
  '0000009d daa320a7 77d18982 00000002 00000000 0000000000000005 0000000000000400 00000000 0000018bcfe56800' +
  '7f000001 0000c350 0000018bcfe56801 7f000001 00002a9f 00000000 0000000000000000 00000005 48656c6c6f' +
  '09 546f70696354657374 0034 554e49515f4b455901 3746303030303031303030303241313339413246364233433030303030303030 02' +
  '5441475301 54616741 02'
).replaceAll(' ', '');

describe('stored message', () => {
  test('has the bytes of the Apache codec', () => {
    const storeHost = parseStoredHost('127.0.0.1:10911');
    expect(record(plain, 'TopicTest', { storeHost }).toString('hex')).toBe(apacheRecord);
  });

  test('single fields are read from the Apache bytes', () => {
    const bytes = Buffer.from(apacheRecord, 'hex');
    expect(isStoredMessage(bytes)).toBe(true);
    expect(storedSizeBytes(bytes)).toBe(157);
    expect(storedQueueId(bytes)).toBe(2);
    expect(storedQueueOffset(bytes)).toBe(5);
    expect(storedPhysicalOffset(bytes)).toBe(1024);
    expect(storedBornTimestampMs(bytes)).toBe(1_700_000_000_000);
    expect(storedStoreTimestampMs(bytes)).toBe(1_700_000_000_001);
    expect(storedStoreHost(bytes)).toBe('127.0.0.1:10911');
    expect(storedReconsumeTimes(bytes)).toBe(0);
    expect(storedBodyStart(bytes)).toBe(88);
    expect(storedBodySizeBytes(bytes)).toBe(5);
    expect(storedBody(bytes).toString()).toBe('Hello');
    expect(storedTopic(bytes)).toBe('TopicTest');
    expect(storedTag(bytes)).toBe('TagA');
    expect(storedMessageId(bytes)).toBe('7F00000100002A139A2F6B3C00000000');
    expect(storedProperty(bytes, 'KEYS')).toBeNull();
  });

  test('comes back as it was sent, with every field in use', () => {
    const message: PublishMessage = {
      messageId: 'id-ü',
      body: Buffer.from([0, 1, 2, 255]),
      tag: '标签',
      keys: ['a key', 'b', 'ключ'],
      userProperties: ['name', 'värde', 'empty', '', '__transactionId__', 'x'],
      messageGroup: 'group 7',
      traceContext: '00-4bf9-01',
      bornTimestampMs: -1,
      bornHost: 'laptop.local',
      gzip: true,
    };
    const bytes = record(message, '%DLQ%g', {
      reconsumeTimes: 3,
      preparedTransactionOffset: 77,
      sysFlag: sysFlag.TRANSACTION_COMMIT,
      storeHost: parseStoredHost('[2001:db8::1]:10911'),
      brokerProperties: ['DLQ_ORIGIN_TOPIC', 'T'],
    });
    const read = decodeStoredMessage(bytes);
    expect(read).toMatchObject({ ...message, topic: '%DLQ%g', reconsumeTimes: 3, ...placement });
    expect(read.storeHost).toBe('[2001:db8:0:0:0:0:0:1]:10911');
    expect(read.sysFlag).toBe(
      sysFlag.COMPRESSED | sysFlag.TRANSACTION_COMMIT | sysFlag.STORE_HOST_IPV6,
    );
    expect(read.properties.get('DLQ_ORIGIN_TOPIC')).toBe('T');
    expect(read.properties.get('KEYS')).toBe('a key b ключ');
    expect(storedProperty(bytes, 'empty')).toBeNull();
  });

  test("a user's own sharding key gives way to the message group", () => {
    const own = ['__SHARDINGKEY', 'mine'];
    expect(
      decodeStoredMessage(record({ ...plain, userProperties: own, messageGroup: 'g' }))
        .messageGroup,
    ).toBe('g');
    expect(decodeStoredMessage(record({ ...plain, userProperties: own })).messageGroup).toBe(
      'mine',
    );
  });

  test('refuses what its length fields cannot say', () => {
    expect(() => record({ ...plain, userProperties: ['p', 'x'.repeat(32_767)] })).toThrow(
      /limit is 32767/,
    );
    expect(() => record(plain, 'x'.repeat(128))).toThrow(/limit is 127/);
  });
});

describe('properties text', () => {
  test('is read as the Apache clients read it', () => {
    expect([...decodeProperties('A\x01\x02B\x01x\x02')]).toEqual([['B', 'x']]);
    expect([...decodeProperties('\x02\x02A\x011\x01z\x02A\x012')]).toEqual([['A', '2']]);
    expect([...decodeProperties('name\x02\x01value\x02')]).toEqual([]);
  });

  test('is written with a final separator, and refuses separators inside', () => {
    expect(encodeProperties(['a', '1', 'b', ''])).toBe('a\x011\x02b\x01\x02');
    for (const pairs of [
      ['', 'x'],
      ['a\x01', 'x'],
      ['a', '\x02'],
    ]) {
      expect(() => encodeProperties(pairs)).toThrow(
        expect.objectContaining({ code: 'ILLEGAL_MESSAGE_PROPERTY_KEY' }),
      );
    }
  });
});

describe('hosts', () => {
  test('IPv4 and IPv6 literals', () => {
    expect(parseStoredHost('1.2.3.4:65535').bytes.toString('hex')).toBe('010203040000ffff');
    expect(parseStoredHost('[::1]:10911').bytes.toString('hex')).toBe(
      '0000000000000000000000000000000100002a9f',
    );
    expect(parseStoredHost('[::ffff:1.2.3.4]:1').bytes.toString('hex')).toBe(
      '00000000000000000000ffff0102030400000001',
    );
    expect(parseStoredHost('[1:2:3:4:5:6:7:8]:0').bytes.readUInt16BE(14)).toBe(8);
    for (const wrong of [
      '',
      'host:1',
      '1.2.3.4',
      '1.2.3.4:65536',
      '::1:5',
      '[::1]',
      '[fe80::1%eth0]:1',
      '1.2.3.4:-1',
    ]) {
      expect(() => parseStoredHost(wrong)).toThrow(
        expect.objectContaining({ code: 'BAD_REQUEST' }),
      );
    }
  });

  test('only a canonical IPv4 text goes into the fixed part', () => {
    expect(formatStoredHost(canonicalIpv4Host('10.0.0.1:80')!.bytes, 0, false)).toBe('10.0.0.1:80');
    for (const other of [
      '10.0.0.1',
      '10.0.0.01:80',
      '256.0.0.1:80',
      '1.1.1.1:70000',
      'host',
      '',
      '1host:2',
    ]) {
      expect(canonicalIpv4Host(other)).toBeNull();
    }
  });
});

test.each([
  ['IPv4 hosts', plain, {}],
  ['an IPv6 store host', plain, { storeHost: parseStoredHost('[::1]:10911') }],
  ['a born host that is a name', { ...plain, bornHost: 'host:1' }, {}],
])('a copy gets a place of its own: %s', (_name, message, options) => {
  const waiting = record(message, 'T', options);
  const there = { queueId: 7, queueOffset: 2 ** 33, physicalOffset: 2 ** 40, storeTimestampMs: 42 };
  const target = Buffer.alloc(waiting.length + 20, 0xee);
  expect(placeStoredMessage(waiting, target, 7, there)).toBe(7 + waiting.length);
  const prepared = prepareStoredMessage(message, 'T', options);
  const direct = Buffer.alloc(prepared.sizeBytes);
  writeStoredMessage(direct, 0, prepared, there);
  expect(target.subarray(7, 7 + waiting.length).equals(direct)).toBe(true);
  expect(target.subarray(7 + waiting.length)).toEqual(Buffer.alloc(13, 0xee));
});
