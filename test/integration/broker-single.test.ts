import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, silentLogger } from '@raftmq/base';
import { Broker, brokerSettings } from '@raftmq/broker';

/* One replica, driven as any gRPC client would: with the interface files and nothing else of ours. */

interface Status {
  readonly code: number;
  readonly message: string;
}

type Unary = (
  request: object,
  metadata: Metadata,
  options: object,
  done: (error: Error | null, answer: Record<string, unknown>) => void,
) => void;

const OK = 20000;
const OVER_4_MIB = 4 * 1024 * 1024 + 1;
const protoDirectory = join(__dirname, '..', '..', 'proto');
const definition = loadPackageDefinition(
  loadSync('apache/rocketmq/v2/service.proto', {
    includeDirs: [protoDirectory],
    keepCase: false,
    longs: Number,
    defaults: true,
    oneofs: true,
  }),
) as never as {
  apache: {
    rocketmq: {
      v2: { MessagingService: new (address: string, of: object, options: object) => Client };
    };
  };
};

let directory: string;
let broker: Broker;
let client: Client;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftmq-single-'));
  broker = await startBroker();
  client = newClient();
  await waitFor(() => broker.role.writable);
}, 20_000);

afterAll(async () => {
  client.close();
  await broker.stop();
  await rm(directory, { recursive: true, force: true });
}, 20_000);

function startBroker(): Promise<Broker> {
  const flags = {
    dataDir: directory,
    host: '127.0.0.1',
    grpcPort: '0',
    metricsPort: '0',
    autoCreateTopic: 'true',
    segmentSizeBytes: '16MiB',
  };
  return Broker.start({
    settings: loadConfig(brokerSettings, { flags }),
    logger: silentLogger,
    onFatal: (error) => {
      throw error;
    },
  });
}

function newClient(): Client {
  return new definition.apache.rocketmq.v2.MessagingService(
    `127.0.0.1:${broker.grpcPort}`,
    credentials.createInsecure(),
    { 'grpc.max_send_message_length': -1 },
  );
}

async function waitFor(holds: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = Date.now() + 10_000;
  while (!(await holds())) {
    if (Date.now() > untilMs) throw new Error('it did not become true within 10 s');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function headers(clientId = 'test@1'): Metadata {
  const metadata = new Metadata();
  if (clientId !== '') metadata.set('x-mq-client-id', clientId);
  metadata.set('x-mq-client-version', '5.0.7');
  metadata.set('x-mq-language', 'JAVA');
  return metadata;
}

function call(
  method: string,
  request: object,
  metadata = headers(),
): Promise<Record<string, unknown> & { status: Status }> {
  return new Promise((resolve, reject) => {
    const unary = (client as never as Record<string, Unary>)[method]!;
    unary.call(client, request, metadata, { deadline: Date.now() + 10_000 }, (error, answer) =>
      error === null ? resolve(answer as never) : reject(error),
    );
  });
}

const resource = (name: string) => ({ resourceNamespace: '', name });

function message(
  topic: string,
  overrides: { body?: Buffer; system?: object; properties?: object } = {},
): object {
  return {
    topic: resource(topic),
    userProperties: overrides.properties ?? {},
    systemProperties: {
      messageId: randomUUID(),
      bodyEncoding: 1,
      messageType: 1,
      bornTimestamp: { seconds: 1_700_000_000, nanos: 0 },
      bornHost: 'here',
      ...overrides.system,
    },
    body: overrides.body ?? Buffer.from('hello'),
  };
}

async function send(
  ...messages: object[]
): Promise<{ status: Status; entries: { offset: number }[] }> {
  return (await call('sendMessage', { messages })) as never;
}

interface Part {
  readonly content: 'status' | 'message' | 'deliveryTimestamp';
  readonly status?: Status;
  readonly message?: {
    readonly body: Buffer;
    readonly userProperties: Record<string, string>;
    readonly systemProperties: {
      readonly messageId: string;
      readonly receiptHandle: string;
      readonly deliveryAttempt: number;
      readonly bodyDigest: { readonly type: number; readonly checksum: string };
      readonly bodyEncoding: number;
      readonly tag?: string;
      readonly keys: readonly string[];
    };
  };
}

function startReceive(
  topic: string,
  overrides: object = {},
  deadlineMs = 30_000,
): ClientReadableStream<Part> {
  const request = {
    group: resource('workers'),
    messageQueue: { topic: resource(topic), id: 0, broker: { name: 'broker-a', id: 0 } },
    filterExpression: { type: 1, expression: '*' },
    batchSize: 32,
    invisibleDuration: { seconds: 10, nanos: 0 },
    autoRenew: false,
    longPollingTimeout: { seconds: 0, nanos: 100_000_000 },
    ...overrides,
  };
  const receive = (
    client as never as Record<string, (...args: unknown[]) => ClientReadableStream<Part>>
  )['receiveMessage']!;
  return receive.call(client, request, headers(), { deadline: Date.now() + deadlineMs });
}

async function receive(
  topic: string,
  overrides: object = {},
  deadlineMs?: number,
): Promise<Part[]> {
  const parts: Part[] = [];
  for await (const part of startReceive(topic, overrides, deadlineMs)) parts.push(part as Part);
  return parts;
}

const messagesOf = (parts: readonly Part[]) =>
  parts.flatMap((part) => (part.message ? [part.message] : []));

describe('sending and receiving', () => {
  test('a message comes back as it was sent, once', async () => {
    const body = Buffer.from('a body with \u{1f600}');
    const system = { messageId: 'ID-1', tag: 'a', keys: ['k1', 'k 2'] };
    const sent = await send(message('orders', { body, system, properties: { city: 'Bonn' } }));
    expect(sent.status.code).toBe(OK);
    expect(sent.entries).toMatchObject([
      { messageId: 'ID-1', transactionId: 'ID-1', offset: 0, status: { code: OK } },
    ]);

    const parts = await receive('orders');
    expect(parts.map((part) => part.content)).toEqual(['status', 'message', 'deliveryTimestamp']);
    const [got] = messagesOf(parts);
    expect(got?.body.equals(body)).toBe(true);
    expect(got?.userProperties).toEqual({ city: 'Bonn' });
    expect(got?.systemProperties).toMatchObject({
      messageId: 'ID-1',
      tag: 'a',
      keys: ['k1', 'k 2'],
      deliveryAttempt: 1,
      bodyEncoding: 1,
      bodyDigest: { type: 2, checksum: createHash('md5').update(body).digest('hex').toUpperCase() },
    });

    const entries = [{ messageId: 'ID-1', receiptHandle: got!.systemProperties.receiptHandle }];
    const ack = { group: resource('workers'), topic: resource('orders'), entries };
    expect((await call('ackMessage', ack)).status.code).toBe(OK);
    expect((await call('ackMessage', ack)).status.code).toBe(OK);
    expect((await receive('orders')).map((part) => part.status?.code)).toEqual([40401, undefined]);
  });

  test('a poll is held, and ends with the message that comes meanwhile', async () => {
    await send(message('held'));
    expect(messagesOf(await receive('held'))).toHaveLength(1);
    const poll = receive('held', { longPollingTimeout: { seconds: 20, nanos: 0 } });
    await waitFor(async () =>
      (await metrics()).includes('raftmq_poll_waiting{group="broker-a"} 1'),
    );
    await send(message('held', { body: Buffer.from('second') }));
    expect(messagesOf(await poll).map((got) => got.body.toString())).toEqual(['second']);
  });

  test('an empty poll ends before the deadline of its call', async () => {
    await send(message('short'));
    await receive('short');
    const parts = await receive('short', { longPollingTimeout: { seconds: 20, nanos: 0 } }, 800);
    expect(parts.map((part) => part.status?.code)).toEqual([40401, undefined]);
  });

  test('a cancelled poll takes nothing with it', async () => {
    await send(message('cancelled'));
    expect(messagesOf(await receive('cancelled'))).toHaveLength(1);
    const poll = startReceive('cancelled', { longPollingTimeout: { seconds: 20, nanos: 0 } });
    const ended = new Promise((resolve) => poll.on('error', resolve));
    poll.resume();
    await waitFor(async () =>
      (await metrics()).includes('raftmq_poll_waiting{group="broker-a"} 1'),
    );
    poll.cancel();
    await ended;
    await waitFor(async () =>
      (await metrics()).includes('raftmq_poll_waiting{group="broker-a"} 0'),
    );
    await send(message('cancelled', { body: Buffer.from('second') }));
    expect(messagesOf(await receive('cancelled'))).toHaveLength(1);
  });

  test('tags choose, a nack brings back at once with the next attempt', async () => {
    await send(
      message('tags', { system: { tag: 'a' } }),
      message('tags', { system: { tag: 'b' } }),
    );
    const onlyB = { filterExpression: { type: 1, expression: 'b || c' } };
    const [first] = messagesOf(await receive('tags', onlyB));
    expect(first?.systemProperties.tag).toBe('b');
    const answer = await call('changeInvisibleDuration', {
      group: resource('workers'),
      topic: resource('tags'),
      receiptHandle: first!.systemProperties.receiptHandle,
      invisibleDuration: { seconds: 0, nanos: 0 },
      messageId: first!.systemProperties.messageId,
    });
    expect(answer.status.code).toBe(OK);
    const [again] = messagesOf(
      await receive('tags', { ...onlyB, longPollingTimeout: { seconds: 5, nanos: 0 } }),
    );
    expect(again?.systemProperties).toMatchObject({
      messageId: first!.systemProperties.messageId,
      deliveryAttempt: 2,
    });
  });

  test('what was stored survives a clean restart, and what was acknowledged stays acknowledged', async () => {
    await send(message('kept', { system: { messageId: 'acked' } }));
    const [got] = messagesOf(await receive('kept'));
    await call('ackMessage', {
      group: resource('workers'),
      topic: resource('kept'),
      entries: [{ messageId: 'acked', receiptHandle: got!.systemProperties.receiptHandle }],
    });
    await send(message('kept', { system: { messageId: 'open' } }));
    client.close();
    await broker.stop();
    broker = await startBroker();
    client = newClient();
    await waitFor(() => broker.role.writable);
    expect(
      messagesOf(await receive('kept')).map((left) => left.systemProperties.messageId),
    ).toEqual(['open']);
  });
});

describe('bad input is answered, and stores nothing', () => {
  const stored = async (): Promise<number> => {
    const match = /^raftmq_state_messages_total\{.*\} (\d+)$/m.exec(await metrics());
    return Number(match?.[1]);
  };
  const bad = (overrides: Parameters<typeof message>[1], topic = 'orders') => [
    message(topic, overrides),
  ];

  test.each<[string, object[], number]>([
    ['no message', [], 40016],
    ['an empty body', bad({ body: Buffer.alloc(0) }), 41302],
    ['a body over 4 MiB', bad({ body: Buffer.alloc(OVER_4_MIB, 1) }), 41301],
    ['a wrong digest', bad({ system: { bodyDigest: { type: 2, checksum: '00' } } }), 40016],
    [
      'an unknown kind of digest',
      bad({ system: { bodyDigest: { type: 9, checksum: '00' } } }),
      40016,
    ],
    ['half a surrogate pair', bad({ system: { tag: '\ud800' } }), 40004],
    ['a NUL in a key', bad({ system: { keys: ['a\0'] } }), 40005],
    ['a path as topic', bad({}, '../../etc'), 40002],
    ['a slash in the topic', bad({}, 'a/b'), 40002],
    ['a long topic', bad({}, 'x'.repeat(128)), 40002],
    ['an emoji as topic', bad({}, '\u{1f600}'), 40002],
    ['no topic', bad({}, ''), 40002],
    ['a system topic', bad({}, 'SCHEDULE_TOPIC_XXXX'), 40002],
    ['a tag with a bar', bad({ system: { tag: 'a|b' } }), 40004],
    ['a blank key', bad({ system: { keys: [' '] } }), 40005],
    ['a long message group', bad({ system: { messageGroup: 'g'.repeat(64) } }), 40006],
    ['a reserved property', bad({ properties: { UNIQ_KEY: 'x' } }), 40007],
    [
      'too many properties',
      bad({ properties: Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`p${i}`, ''])) }),
      43101,
    ],
    ['too large properties', bad({ properties: { p: 'x'.repeat(16_385) } }), 43101],
    ['a blank message id', bad({ system: { messageId: ' ' } }), 40009],
    [
      'a delivery time beyond 24 h',
      bad({ system: { deliveryTimestamp: { seconds: 99_999_999_999, nanos: 0 } } }),
      40012,
    ],
    ['two topics in a call', [message('orders'), message('other')], 40016],
    ['a message of another type', bad({ system: { messageGroup: 'g', messageType: 2 } }), 40014],
  ])('%s', async (_, messages, code) => {
    await send(message('orders'));
    const before = await stored();
    const answer = await send(...messages);
    expect({ code: answer.status.code, entries: answer.entries }).toEqual({ code, entries: [] });
    expect(answer.status.message).not.toBe('');
    expect(await stored()).toBe(before);
  });

  test('names that an object would treat specially are names like others', async () => {
    expect((await send(message('__proto__'))).status.code).toBe(OK);
    expect((await send(message('constructor'))).status.code).toBe(OK);
    expect(messagesOf(await receive('__proto__'))).toHaveLength(1);
  });

  test('more messages than one call may have', async () => {
    const many = Array.from({ length: 8_193 }, () => message('orders'));
    expect((await send(...many)).status.code).toBe(41300);
  });

  test('receipt handles that are garbage, of another group or topic, or edited', async () => {
    await send(message('receipts'));
    const [got] = messagesOf(await receive('receipts'));
    const handle = got!.systemProperties.receiptHandle;
    const edited = handle.slice(0, -1) + (handle.endsWith('A') ? 'B' : 'A');
    const ack = async (receiptHandle: string, group = 'workers', topic = 'receipts') => {
      const entries = [{ messageId: 'x', receiptHandle }];
      return (await call('ackMessage', { group: resource(group), topic: resource(topic), entries }))
        .status.code;
    };
    await send(message('orders'));
    expect(await ack('garbage')).toBe(40013);
    expect(await ack('')).toBe(40013);
    expect(await ack(edited)).toBe(40013);
    expect(await ack(handle, 'strangers')).toBe(40013);
    expect(await ack(handle, 'workers', 'orders')).toBe(40013);
    expect(await ack(handle)).toBe(OK);
  });

  test.each<[string, object, number]>([
    ['an invisible time below 10 s', { invisibleDuration: { seconds: 9, nanos: 0 } }, 40011],
    ['a negative invisible time', { invisibleDuration: { seconds: -10, nanos: 0 } }, 40011],
    ['no invisible time', { invisibleDuration: null }, 40011],
    ['a broken SQL filter', { filterExpression: { type: 2, expression: 'a = ' } }, 40010],
    ['a long filter', { filterExpression: { type: 1, expression: 'x'.repeat(1 << 20) } }, 40010],
    ['a group with a slash', { group: resource('a/b') }, 40003],
    ['a long group', { group: resource('g'.repeat(121)) }, 40003],
  ])('receiving with %s', async (_, overrides, code) => {
    const parts = await receive('orders', overrides);
    expect(parts.map((part) => [part.content, part.status?.code])).toEqual([
      ['status', code],
      ['deliveryTimestamp', undefined],
    ]);
  });

  test.each([-1, 0, 2 ** 31 - 1])('a batch size of %d is clamped', async (batchSize) => {
    await send(message('batch'));
    const parts = await receive('batch', { batchSize, group: resource(`batch-${batchSize}`) });
    expect(parts[0]?.status?.code).toBe(OK);
  });

  test('a missing client id, on every call', async () => {
    const none = headers('');
    expect((await call('queryRoute', { topic: resource('orders') }, none)).status.code).toBe(40017);
    expect((await call('sendMessage', { messages: [message('orders')] }, none)).status.code).toBe(
      40017,
    );
    expect((await call('heartbeat', { clientType: 1 }, none)).status.code).toBe(40017);
    expect((await call('heartbeat', { clientType: 0 })).status.code).toBe(40015);
  });

  test('random bytes as a request; the same connection serves the next call', async () => {
    const raw = (bytes: Buffer): Promise<Buffer> =>
      new Promise((resolve, reject) => {
        const same = (value: Buffer): Buffer => value;
        client.makeUnaryRequest(
          '/apache.rocketmq.v2.MessagingService/SendMessage',
          same,
          same,
          bytes,
          headers(),
          (error, answer) => (error === null ? resolve(answer!) : reject(error)),
        );
      });
    const nested = Buffer.concat([
      ...Array<Buffer>(10_000).fill(Buffer.from([0x0a, 0x7f])),
      Buffer.from([0]),
    ]);
    for (const bytes of [
      Buffer.from([0xff, 0xff, 0xff]),
      Buffer.from([0x0a, 0x80]),
      Buffer.from([0x0d, 1, 2]),
      nested,
    ]) {
      const answer = await raw(bytes);
      // Status { code: 40000 } first, whatever the text.
      expect(answer.subarray(answer.indexOf(0x08)).subarray(0, 4)).toEqual(
        Buffer.from([0x08, 0xc0, 0xb8, 0x02]),
      );
    }
    const unknownField = Buffer.from([0xa2, 0x06, 0x01, 0x41]);
    const answer = await raw(unknownField);
    expect(answer.subarray(answer.indexOf(0x08)).subarray(0, 4)).toEqual(
      Buffer.from([0x08, 0xd0, 0xb8, 0x02]),
    );
    expect((await call('queryRoute', { topic: resource('orders') })).status.code).toBe(OK);
  });

  test('methods that do not exist', async () => {
    const path = '/apache.rocketmq.v2.MessagingService/Nothing';
    const same = (bytes: Buffer): Buffer => bytes;
    const answer = new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, same, same, Buffer.alloc(0), headers(), (error, bytes) =>
        error === null ? resolve(bytes) : reject(error),
      );
    });
    await expect(answer).rejects.toMatchObject({ code: 12 });
  });

  test('bytes that are no HTTP/2 at all end their own connection only', async () => {
    const socket: Socket = connect(broker.grpcPort, '127.0.0.1');
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await closed;
    expect((await call('queryRoute', { topic: resource('orders') })).status.code).toBe(OK);
  });
});

describe('telemetry', () => {
  const open = (): ClientDuplexStream<object, Record<string, never>> =>
    (
      client as never as Record<
        string,
        (metadata: Metadata) => ClientDuplexStream<object, Record<string, never>>
      >
    )['telemetry']!.call(client, headers());

  test('headers come at once, settings are echoed with the values of the server', async () => {
    const stream = open();
    await new Promise((resolve) => stream.on('metadata', resolve));
    const answer = new Promise<Record<string, never>>((resolve) => stream.on('data', resolve));
    stream.write({
      settings: {
        clientType: 3,
        subscription: {
          group: resource('workers'),
          subscriptions: [
            {
              topic: { resourceNamespace: 'ns', name: 'orders' },
              expression: { type: 1, expression: '*' },
            },
          ],
        },
      },
    });
    expect(await answer).toMatchObject({
      status: { code: OK },
      settings: {
        clientType: 3,
        subscription: {
          fifo: false,
          receiveBatchSize: 32,
          longPollingTimeout: { seconds: 20 },
          subscriptions: [{ topic: { resourceNamespace: 'ns', name: 'orders' } }],
        },
        backoffPolicy: { maxAttempts: 17, strategy: 'customizedBackoff' },
        metric: { on: false },
      },
    });
    const ended = new Promise((resolve) => stream.on('status', resolve));
    stream.end();
    expect(await ended).toMatchObject({ code: 0 });
  });

  test('settings that make no sense end the stream', async () => {
    const stream = open();
    const failed = new Promise<Error>((resolve) => stream.on('error', resolve));
    stream.on('data', () => undefined);
    stream.write({ settings: { clientType: 1 } });
    expect(await failed).toMatchObject({
      code: 3,
      details: expect.stringMatching(/^process client telemetryCommand failed\. /),
    });
  });
});

test('health and metrics are served, names of RocketMQ included', async () => {
  const ready = await fetch(`http://127.0.0.1:${broker.metricsPort}/readyz`);
  expect([ready.status, await ready.json()]).toEqual([200, { ready: true, reasons: [] }]);
  const text = await metrics();
  expect(text).toMatch(/^rocketmq_messages_in_total\{.*topic="orders"\} \d+$/m);
  expect(text).toMatch(/^raftmq_rpc_requests_total\{method="SendMessage",code="OK"\} \d+$/m);
  expect(text).toMatch(/^raftmq_rpc_connections_ended_total\{reason="unknown_protocol"\} \d+$/m);
  expect(text).toMatch(/^raftmq_rpc_calls_refused_total\{reason="malformed"\} \d+$/m);
});

async function metrics(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`)).text();
}
