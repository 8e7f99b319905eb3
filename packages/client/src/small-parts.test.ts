import { describe, expect, test } from '@jest/globals';
import { createHmac } from 'node:crypto';
import { addressScheme } from '@raftmq/protocol';
import { addressesOf, parseEndpoints } from './endpoints.js';
import { CallHeaders } from './headers.js';
import { createClientId, MessageIdGenerator } from './ids.js';
import { compileClientOptions } from './options.js';
import { compileRoute } from './route-cache.js';
import {
  backoffMs,
  defaultConsumerSettings,
  defaultProducerSettings,
  readServerSettings,
} from './settings.js';
import { callFailure, statusToError } from './status-error.js';

describe('parseEndpoints', () => {
  test.each([
    ['127.0.0.1:8081', addressScheme.IPV4, ['127.0.0.1:8081']],
    ['10.0.0.1:1; 10.0.0.2:2,', addressScheme.IPV4, ['10.0.0.1:1', '10.0.0.2:2']],
    ['[::1]:8081', addressScheme.IPV6, ['[::1]:8081']],
    ['broker.example:8081', addressScheme.DOMAIN_NAME, ['broker.example:8081']],
    ['http://127.0.0.1:8081', addressScheme.IPV4, ['127.0.0.1:8081']],
    ['ipv4:127.0.0.1:8081', addressScheme.IPV4, ['127.0.0.1:8081']],
  ])('%s', (text, scheme, addresses) => {
    const endpoints = parseEndpoints(text);
    expect(endpoints.scheme).toBe(scheme);
    expect(addressesOf(endpoints)).toEqual(addresses);
  });

  test.each(['', ';', 'localhost', 'localhost:', ':8081', 'a:0', 'a:65536', '::1:8081', 'a b:1x'])(
    'refuses "%s"',
    (text) => {
      expect(() => parseEndpoints(text)).toThrow(
        expect.objectContaining({ code: 'CONFIG_INVALID' }),
      );
    },
  );

  test('takes the prefix off that is made for another client', () => {
    const endpoints = { scheme: 1, addresses: [{ host: 'ipv4:127.0.0.1', port: 1 }] };
    expect(addressesOf(endpoints)).toEqual(['127.0.0.1:1']);
  });
});

describe('ids', () => {
  test('message ids are 17 bytes in hex: version, machine, pid, seconds, counter', () => {
    const generator = new MessageIdGenerator(Date.UTC(2021, 0, 1, 0, 0, 5));
    const first = Buffer.from(generator.next(), 'hex');
    const second = Buffer.from(generator.next(), 'hex');
    expect(first).toHaveLength(17);
    expect(first[0]).toBe(1);
    expect(first.readUInt16BE(7)).toBe(process.pid & 0xffff);
    expect(first.readUInt32BE(9)).toBe(5);
    expect((second.readUInt32BE(13) - first.readUInt32BE(13)) >>> 0).toBe(1);
    expect(generator.next()).toMatch(/^[0-9A-F]{34}$/);
  });

  test('ids of clients differ', () => {
    expect(createClientId()).not.toBe(createClientId());
    expect(createClientId()).toMatch(new RegExp(`@${process.pid}@\\d+@[0-9a-f]+$`));
  });
});

describe('CallHeaders', () => {
  test('signs the date, in the form that servers check', () => {
    const options = compileClientOptions({
      endpoints: 'a:1',
      namespace: 'ns',
      credentials: { accessKey: 'AK', secretKey: 'SK' },
    });
    const headers = new CallHeaders(options, 'client').at(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
    const signature = createHmac('sha1', 'SK').update('20260102T030405Z').digest('hex');
    expect(headers).toEqual({
      'x-mq-client-id': 'client',
      'x-mq-language': 'RAFTMQ_NODE',
      'x-mq-client-version': '5.1.0',
      'x-mq-protocol': 'v2',
      'x-mq-namespace': 'ns',
      'x-mq-date-time': '20260102T030405Z',
      authorization: `MQv2-HMAC-SHA1 Credential=AK, SignedHeaders=x-mq-date-time, Signature=${signature.toUpperCase()}`,
    });
  });

  test('are the same object within a second', () => {
    const headers = new CallHeaders(compileClientOptions({ endpoints: 'a:1' }), 'client');
    expect(headers.at(5_000)).toBe(headers.at(5_999));
    expect(headers.at(6_000)).not.toBe(headers.at(5_999));
    expect(headers.at(6_000)).not.toHaveProperty('authorization');
  });
});

describe('server settings', () => {
  test('an exponential policy becomes a list of pauses', () => {
    const settings = readServerSettings(defaultProducerSettings, {
      backoffPolicy: {
        maxAttempts: 7,
        exponentialBackoff: {
          initial: { seconds: 0, nanos: 10e6 },
          max: { seconds: 0, nanos: 50e6 },
          multiplier: 2,
        },
      },
      publishing: { maxBodySize: 99, validateMessageType: true },
    });
    expect(settings).toMatchObject({
      maxAttempts: 7,
      bodySizeBytesMax: 99,
      validateMessageType: true,
    });
    expect([1, 2, 3, 4, 5, 90].map((attempt) => backoffMs(settings, attempt))).toEqual([
      10, 20, 40, 50, 50, 50,
    ]);
  });

  test('a list of pauses is taken as it is', () => {
    const settings = readServerSettings(defaultConsumerSettings, {
      backoffPolicy: { customizedBackoff: { next: [{ seconds: 1, nanos: 0 }] } },
      subscription: {
        fifo: true,
        receiveBatchSize: 8,
        longPollingTimeout: { seconds: 7, nanos: 0 },
      },
    });
    expect(settings).toMatchObject({
      backoffMs: [1_000],
      fifo: true,
      receiveBatchSize: 8,
      longPollingMs: 7_000,
      maxAttempts: 17,
    });
  });

  test('absent and senseless values change nothing', () => {
    expect(readServerSettings(defaultConsumerSettings, {})).toEqual(defaultConsumerSettings);
    const senseless = readServerSettings(defaultConsumerSettings, {
      backoffPolicy: { maxAttempts: 0, exponentialBackoff: { initial: null, multiplier: 0 } },
      publishing: { maxBodySize: 0 },
      subscription: { receiveBatchSize: -1, longPollingTimeout: null },
    });
    expect(senseless).toEqual(defaultConsumerSettings);
  });
});

describe('compileRoute', () => {
  const queue = (brokerName: string, port: number, changes: object = {}): never =>
    ({
      topic: { namespace: '', name: 't' },
      queueId: 0,
      permission: 4,
      brokerName,
      brokerId: 0,
      endpoints: { scheme: 3, addresses: [{ host: 'h', port }] },
      acceptMessageTypes: [1],
      ...changes,
    }) as never;

  test('replicas that are listed as brokers of their own are one target', () => {
    const route = compileRoute('t', [queue('b@1', 2), queue('b', 1), queue('b', 1), queue('a', 9)]);
    expect(route.writable.map(({ name, addresses, queues }) => [name, addresses, queues])).toEqual([
      ['a', ['h:9'], 1],
      ['b', ['h:1', 'h:2'], 2],
    ]);
  });

  test('permission and mastership decide what a queue is for', () => {
    const route = compileRoute('t', [
      queue('r', 1, { permission: 2 }),
      queue('w', 2, { permission: 3 }),
      queue('none', 3, { permission: 1 }),
      queue('slave', 4, { brokerId: 1 }),
    ]);
    expect(route.writable.map(({ name }) => name)).toEqual(['w']);
    expect(route.readable.map(({ name }) => name)).toEqual(['r']);
  });
});

describe('failures', () => {
  test.each([
    [40402, 'TOPIC_NOT_FOUND'],
    [42901, 'LITE_TOPIC_QUOTA_EXCEEDED'],
    [42999, 'TOO_MANY_REQUESTS'],
    [40404, 'OFFSET_NOT_FOUND'],
    [40999, 'BAD_REQUEST'],
    [50000, 'INTERNAL_ERROR'],
    [50401, 'REQUEST_TIMEOUT'],
    [50502, 'UNSUPPORTED'],
    [43100, 'MESSAGE_PROPERTIES_TOO_LARGE'],
    [77777, 'INTERNAL_ERROR'],
  ])('status %i is %s', (code, expected) => {
    const error = statusToError({ code, message: 'what happened' });
    expect(error.code).toBe(expected);
    expect(error.message).toContain('what happened');
  });

  test('keeps what nobody foresaw apart', () => {
    expect(callFailure(new TypeError('odd')).code).toBe('INTERNAL_ERROR');
  });
});
