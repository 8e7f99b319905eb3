import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, silentLogger } from '@raftmq/base';
import { Broker, brokerSettings } from '@raftmq/broker';
import {
  AdminClient,
  Producer,
  SimpleConsumer,
  type MessageView,
  type Transaction,
  type TransactionResolution,
} from '@raftmq/client';

/* Three replicas in this process, and producers that know one of them each: whichever leads must not matter. */

const CHECK_MAX = 3;

let directory: string;
let peers: string;
let grpcPorts: number[];
const brokers: (Broker | null)[] = [null, null, null];
let admin: AdminClient;
let consumer: SimpleConsumer;
/** Every body that was received, in order. */
const received: string[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftmq-transactions-'));
  const ports = await freePorts(6);
  grpcPorts = ports.slice(3);
  peers = [0, 1, 2]
    .map((id) => `${id}@127.0.0.1:${ports[id]}@127.0.0.1:${ports[id + 3]}`)
    .join(';');
  await Promise.all([0, 1, 2].map(start));
  await waitFor(() => leader() !== null);
  admin = new AdminClient({ endpoints: grpcPorts.map((port) => `127.0.0.1:${port}`).join(';') });
  await admin.putTopic({ name: 'orders', type: 'TRANSACTION', queues: 2, permission: 6 }, true);
  consumer = new SimpleConsumer({
    endpoints: endpoint(0),
    group: 'workers',
    subscriptions: { orders: '*' },
    awaitMs: 200,
  });
  await consumer.start();
}, 60_000);

afterAll(async () => {
  await consumer?.close();
  admin?.close();
  await Promise.all(brokers.map(async (broker) => broker?.stop()));
  await rm(directory, { recursive: true, force: true });
}, 60_000);

async function start(id: number): Promise<void> {
  const ports = peers.split(';')[id]!.split(/[:@]/);
  const flags = {
    peers,
    nodeId: String(id),
    raftPort: ports[2]!,
    grpcPort: ports[4]!,
    metricsPort: '0',
    host: '127.0.0.1',
    dataDir: join(directory, String(id)),
    segmentSizeBytes: '16MiB',
    transactionCheckFirstMs: '500',
    transactionCheckIntervalMs: '500',
    transactionCheckMax: String(CHECK_MAX),
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
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
  );
  return ports;
}

async function waitFor(holds: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > untilMs) throw new Error('it did not become true within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const endpoint = (id: number): string => `127.0.0.1:${grpcPorts[id]}`;

function leader(): number | null {
  const id = brokers.findIndex((broker) => broker?.role.writable === true);
  return id < 0 ? null : id;
}

interface Answers {
  readonly producer: Producer;
  readonly asked: string[];
}

/** A producer at one replica, and what it was asked. */
async function producerAt(
  id: number,
  check: (message: MessageView) => TransactionResolution,
): Promise<Answers> {
  const asked: string[] = [];
  const producer = new Producer({
    endpoints: endpoint(id),
    topics: ['orders'],
    checker: {
      check: (message) => {
        asked.push(message.body.toString());
        return check(message);
      },
    },
  });
  await producer.start();
  return { producer, asked };
}

async function begin(producer: Producer, body: string): Promise<Transaction> {
  const transaction = producer.beginTransaction();
  await producer.send({ topic: 'orders', body, properties: { name: 'värde' } }, transaction);
  return transaction;
}

/** Receives until nothing comes any more. */
async function drain(): Promise<void> {
  for (;;) {
    const messages = await consumer.receive(32, 30_000);
    if (messages.length === 0) return;
    for (const message of messages) {
      received.push(message.body.toString());
      expect(message.properties.get('__transactionId__')).toBe(message.messageId);
      expect(message.properties.get('name')).toBe('värde');
      await consumer.ack(message);
    }
  }
}

const countOf = (body: string): number => received.filter((other) => other === body).length;

async function parkedOrPending(): Promise<readonly string[]> {
  return (await admin.transactions()).map((transaction) => transaction.transactionId);
}

describe('transactions of a group of three', () => {
  test('commit and rollback, through every replica', async () => {
    for (const id of [0, 1, 2]) {
      const { producer, asked } = await producerAt(id, () => 'unknown');
      const committed = await begin(producer, `committed at ${id}`);
      const rolledBack = await begin(producer, `rolled back at ${id}`);
      await drain();
      expect(countOf(`committed at ${id}`)).toBe(0);
      await committed.commit();
      await rolledBack.rollback();
      await committed.commit();
      await expect(rolledBack.commit()).rejects.toThrow(/first decision stands/);
      await drain();
      expect(countOf(`committed at ${id}`)).toBe(1);
      expect(countOf(`rolled back at ${id}`)).toBe(0);
      expect(asked).toEqual([]);
      await producer.close();
    }
    expect(await parkedOrPending()).toEqual([]);
  }, 60_000);

  test('another producer, at another replica, answers for one that is gone', async () => {
    const { producer: first } = await producerAt(leader()!, () => 'unknown');
    await begin(first, 'left to be committed');
    await begin(first, 'left to be rolled back');
    await first.close();
    const other = await producerAt((leader()! + 1) % 3, (message) =>
      message.body.toString().endsWith('committed') ? 'commit' : 'rollback',
    );
    await waitFor(async () => (await parkedOrPending()).length === 0);
    await drain();
    expect([...other.asked].sort()).toEqual(['left to be committed', 'left to be rolled back']);
    expect(countOf('left to be committed')).toBe(1);
    expect(countOf('left to be rolled back')).toBe(0);
    await other.producer.close();
  }, 60_000);

  test('parked after the last question, resumed by an operator', async () => {
    let resolution: TransactionResolution = 'unknown';
    const { producer, asked } = await producerAt(0, () => resolution);
    const receipt = await producer.send(
      { topic: 'orders', body: 'parked', properties: { name: 'värde' } },
      producer.beginTransaction(),
    );
    const id = receipt.transactionId;
    await waitFor(async () => (await admin.transactions({ state: 'parked' })).length === 1);
    expect(asked).toHaveLength(CHECK_MAX);
    const [parked] = await admin.transaction(id);
    expect(parked).toMatchObject({ state: 'parked', checks: CHECK_MAX, topic: 'orders' });
    expect(parked!.message!.body.toString()).toBe('parked');
    const [topic] = await admin.topics('TRANS_CHECK_MAX_TIME_TOPIC');
    expect(topic!.queues[0]!.maxOffset).toBe(1);
    resolution = 'commit';
    expect(await admin.resumeTransactions({ transactionId: id })).toBe(1);
    await waitFor(async () => (await admin.transaction(id))[0]!.state === 'committed');
    await drain();
    expect(countOf('parked')).toBe(1);
    expect(asked).toHaveLength(CHECK_MAX + 1);
    expect((await admin.transaction(id))[0]).toMatchObject({ decidedByCheck: true });
    await producer.close();
  }, 60_000);

  test('the leader goes between message and decision', async () => {
    const { producer, asked } = await producerAt((leader()! + 1) % 3, (message) =>
      message.body.toString() === 'decided by check' ? 'commit' : 'unknown',
    );
    const committed = await begin(producer, 'committed at the next leader');
    const rolledBack = await begin(producer, 'rolled back at the next leader');
    await begin(producer, 'decided by check');
    const old = leader()!;
    await brokers[old]!.stop();
    brokers[old] = null;
    await committed.commit();
    await rolledBack.rollback();
    await waitFor(async () => (await parkedOrPending()).length === 0);
    await start(old);
    await drain();
    expect(countOf('committed at the next leader')).toBe(1);
    expect(countOf('rolled back at the next leader')).toBe(0);
    expect(countOf('decided by check')).toBe(1);
    expect(asked).toContain('decided by check');
    await producer.close();
    await waitFor(async () => {
      const [group] = await admin.raftStatus();
      const digests = group!.replicas.map(
        ({ appliedIndex, digest }) => `${appliedIndex} ${digest}`,
      );
      return new Set(digests).size === 1;
    });
    expect(received.length).toBe(new Set(received).size);
  }, 90_000);
});
