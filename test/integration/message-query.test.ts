import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, silentLogger } from '@raftmq/base';
import { Broker, brokerSettings } from '@raftmq/broker';
import { AdminClient, Producer, SimpleConsumer, type MessageTrace } from '@raftmq/client';

/* Messages are found, and traced, at any replica of a group of three: after a failover, and after the index was lost. */

let directory: string;
let grpcPorts: number[];
let raftPorts: number[];
const brokers: (Broker | null)[] = [null, null, null];
let admin: AdminClient;
const ids: string[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftmq-query-'));
  const ports = await freePorts(6);
  raftPorts = ports.slice(0, 3);
  grpcPorts = ports.slice(3);
  await Promise.all([0, 1, 2].map(start));
  await waitFor(() => leader() !== null);
  admin = new AdminClient({ endpoints: endpoints() });
  await admin.putTopic({ name: 'orders', type: 'NORMAL', queues: 4, permission: 6 }, true);
  const producer = new Producer({ endpoints: endpoints(), topics: ['orders'] });
  await producer.start();
  for (let i = 0; i < 60; i++) {
    const keys = [`order-${i}`, i % 2 === 0 ? 'even' : 'odd'];
    const properties = { number: String(i) };
    const { messageId } = await producer.send({ topic: 'orders', body: `m${i}`, keys, properties });
    ids.push(messageId);
  }
  await producer.close();
}, 60_000);

afterAll(async () => {
  admin.close();
  await Promise.all(brokers.map(async (broker) => broker?.stop()));
  await rm(directory, { recursive: true, force: true });
}, 60_000);

const endpoints = (): string => grpcPorts.map((port) => `127.0.0.1:${port}`).join(';');

async function start(id: number): Promise<void> {
  const peers = raftPorts.map((port, i) => `${i}@127.0.0.1:${port}@127.0.0.1:${grpcPorts[i]}`);
  const flags = {
    peers: peers.join(';'),
    nodeId: String(id),
    raftPort: String(raftPorts[id]),
    grpcPort: String(grpcPorts[id]),
    metricsPort: '0',
    host: '127.0.0.1',
    dataDir: join(directory, String(id)),
  };
  brokers[id] = await Broker.start({
    settings: loadConfig(brokerSettings, { flags }),
    logger: silentLogger,
    onFatal: (error) => {
      throw error;
    },
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => new Promise((done) => server.once('listening', done))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

async function waitFor(holds: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > untilMs) throw new Error('it did not become true within 20 s');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function leader(): number | null {
  const id = brokers.findIndex((broker) => broker?.role.writable === true);
  return id < 0 ? null : id;
}

/** Asks one replica only, whoever leads. */
async function at<T>(id: number, work: (client: AdminClient) => Promise<T>): Promise<T> {
  const client = new AdminClient({ endpoints: `127.0.0.1:${grpcPorts[id]}` });
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

const told = ({ events, groups, message }: MessageTrace): unknown => ({
  state: message.state,
  events: events.map(({ what, group, attempt }) => `${what} ${group} ${attempt}`),
  groups,
});

describe('queries', () => {
  test('are answered by every replica, by id, offset id, key, offset and time', async () => {
    for (const id of [0, 1, 2]) {
      const { messages } = await at(id, (client) => client.findMessages(ids[7]!));
      expect(messages).toHaveLength(1);
      const [message] = messages;
      expect(message).toMatchObject({
        brokerGroup: 'broker-a',
        state: 'VISIBLE',
        topic: 'orders',
        messageId: ids[7],
        keys: ['order-7', 'odd'],
        userProperties: { number: '7' },
      });
      expect(message!.body.toString()).toBe('m7');
      const again = await at(id, (client) => client.findMessages(message!.offsetMessageId));
      expect(again.messages).toEqual(messages);
    }
    const even = await admin.queryMessages({ topic: 'orders', key: 'even', count: 12 });
    expect(even.messages.map(({ body }) => body.toString()).slice(0, 3)).toEqual([
      'm58',
      'm56',
      'm54',
    ]);
    expect(even).toMatchObject({ more: true, missingBytes: 0 });
    const newest = await admin.listMessages({
      topic: 'orders',
      start: { kind: 'newest' },
      count: 3,
    });
    expect(newest.messages.map(({ body }) => body.toString())).toEqual(['m57', 'm58', 'm59']);
    const since = newest.messages[1]!.storeTimestamp;
    const late = await admin.listMessages({
      topic: 'orders',
      start: { kind: 'time', value: since },
    });
    expect(late.messages.map(({ messageId }) => messageId)).toContain(ids[58]);
    expect(late.messages.every(({ storeTimestamp }) => storeTimestamp >= since)).toBe(true);
    await expect(admin.queryMessages({ topic: 'nothing', key: 'even' })).rejects.toMatchObject({
      code: 'TOPIC_NOT_FOUND',
    });
    await expect(admin.traceMessage('no-such-id')).rejects.toMatchObject({
      code: 'MESSAGE_NOT_FOUND',
    });
  });

  test('and traces are the same after a failover, and after the index directories were deleted', async () => {
    const consumer = new SimpleConsumer({
      endpoints: endpoints(),
      group: 'workers',
      subscriptions: { orders: '*' },
      awaitMs: 1_000,
    });
    await consumer.start();
    let acked = '';
    const held: string[] = [];
    await waitFor(async () => {
      for (const message of await consumer.receive(16, 60_000)) {
        if (acked === '') {
          await consumer.ack(message);
          acked = message.messageId;
        } else held.push(message.messageId);
      }
      return acked !== '' && held.length > 0;
    });
    await consumer.close();
    const before = told((await admin.traceMessage(acked))[0]!);
    expect(before).toEqual({
      state: 'VISIBLE',
      events: ['DELIVERED workers 1', 'ACKED workers 1'],
      groups: [{ group: 'workers', status: 'CONSUMED' }],
    });
    expect(told((await admin.traceMessage(held[0]!))[0]!)).toMatchObject({
      groups: [{ group: 'workers', status: 'IN_FLIGHT' }],
    });

    const old = leader()!;
    await brokers[old]!.stop();
    brokers[old] = null;
    await waitFor(() => leader() !== null);
    expect(told((await admin.traceMessage(acked))[0]!)).toEqual(before);
    expect((await admin.queryMessages({ topic: 'orders', key: 'odd' })).messages).toHaveLength(30);

    await Promise.all(brokers.map(async (broker) => broker?.stop()));
    for (const id of [0, 1, 2]) rmSync(join(directory, String(id), 'index'), { recursive: true });
    await Promise.all([0, 1, 2].map(start));
    await waitFor(() => leader() !== null);
    await waitFor(async () => {
      const { missingBytes, messages } = await admin.queryMessages({ topic: 'orders', key: 'odd' });
      // Never an answer that claims to be complete and is not.
      if (missingBytes === 0) expect(messages).toHaveLength(30);
      return missingBytes === 0;
    });
    for (const id of ids) expect((await admin.findMessages(id)).messages).toHaveLength(1);
    expect(told((await admin.traceMessage(acked))[0]!)).toEqual(before);
  }, 60_000);
});
