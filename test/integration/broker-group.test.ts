import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, silentLogger } from '@raftmq/base';
import { Broker, brokerSettings } from '@raftmq/broker';
import {
  decodeReceiveMessageResponse,
  decodeSendMessageResponse,
  encodeAckMessageRequest,
  encodeReceiveMessageRequest,
  encodeSendMessageRequest,
  decodeAckMessageResponse,
  messageType,
  statusCode,
  type ReceivedMessage,
} from '@raftmq/protocol';
import { isRpcError, RpcChannel } from '@raftmq/rpc';

/* Three replicas in this process: a client that knows one of them must not notice which of them leads. */

const SERVICE = '/apache.rocketmq.v2.MessagingService';
const topic = { namespace: '', name: 'group-test' };
const group = { namespace: '', name: 'workers' };
const headers = { 'x-mq-client-id': 'test@1' };

let directory: string;
let peers: string;
const brokers: (Broker | null)[] = [null, null, null];
const channels: RpcChannel[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftmq-group-'));
  const ports = await freePorts(6);
  peers = [0, 1, 2]
    .map((id) => `${id}@127.0.0.1:${ports[id]}@127.0.0.1:${ports[id + 3]}`)
    .join(';');
  await Promise.all([0, 1, 2].map(start));
  for (const id of [0, 1, 2]) {
    channels.push(
      new RpcChannel({ address: `127.0.0.1:${ports[id + 3]}`, tls: null, reconnectMaxMs: 200 }),
    );
  }
  await waitFor(() => leader() !== null);
}, 30_000);

afterAll(async () => {
  for (const channel of channels) channel.close();
  await Promise.all(brokers.map(async (broker) => broker?.stop()));
  await rm(directory, { recursive: true, force: true });
}, 30_000);

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
    autoCreateTopic: 'true',
    segmentSizeBytes: '16MiB',
  };
  brokers[id] = await Broker.start({
    settings: loadConfig(brokerSettings, { flags }),
    logger: silentLogger,
    onFatal: (error) => {
      throw error;
    },
  });
}

/** Ports that were free a moment ago: the replicas have to know each other's before they start. */
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

const follower = (): number => brokers.findIndex((broker) => broker?.role.writable === false);

async function send(channel: RpcChannel, messageId: string): Promise<number> {
  const request = encodeSendMessageRequest(topic, [
    {
      messageId,
      body: Buffer.from(messageId),
      tag: null,
      keys: [],
      userProperties: [],
      messageGroup: null,
      traceContext: null,
      bornTimestampMs: 1,
      bornHost: 'here',
      gzip: false,
      messageType: messageType.NORMAL,
      deliveryTimestampMs: null,
      liteTopic: null,
      priority: null,
    },
  ]);
  const answer = await channel.unary(`${SERVICE}/SendMessage`, request, {
    deadlineMs: Date.now() + 8_000,
    headers,
  });
  return decodeSendMessageResponse(answer).status.code;
}

async function receive(
  channel: RpcChannel,
  pollingMs: number,
  signal?: AbortSignal,
): Promise<ReceivedMessage[]> {
  const request = encodeReceiveMessageRequest({
    group,
    topic,
    brokerName: 'broker-a',
    queueId: 0,
    filterType: 1,
    filterExpression: '*',
    batchSize: 32,
    invisibleMs: 60_000,
    autoRenew: false,
    longPollingMs: pollingMs,
    attemptId: null,
  });
  const messages: ReceivedMessage[] = [];
  const parts = channel.serverStream(`${SERVICE}/ReceiveMessage`, request, {
    deadlineMs: Date.now() + pollingMs + 5_000,
    headers,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const part of parts) {
    const { message } = decodeReceiveMessageResponse(part);
    if (message !== null) messages.push(message);
  }
  return messages;
}

async function ack(channel: RpcChannel, messages: readonly ReceivedMessage[]): Promise<number> {
  const entries = messages.map(({ messageId, receiptHandle }) => ({
    messageId,
    receiptHandle,
    liteTopic: null,
  }));
  const answer = await channel.unary(
    `${SERVICE}/AckMessage`,
    encodeAckMessageRequest({ group, topic, entries }),
    { deadlineMs: Date.now() + 8_000, headers },
  );
  return decodeAckMessageResponse(answer).status.code;
}

async function drain(channel: RpcChannel): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const messages = await receive(channel, 300);
    if (messages.length === 0) return ids;
    ids.push(...messages.map((message) => message.messageId));
    expect(await ack(channel, messages)).toBe(statusCode.OK);
  }
}

test('a follower serves like the leader: send, poll, acknowledge', async () => {
  const channel = channels[follower()]!;
  expect(await send(channel, 'first')).toBe(statusCode.OK);
  const messages = await receive(channel, 1_000);
  expect(messages.map((message) => message.messageId)).toEqual(['first']);
  expect(await ack(channel, messages)).toBe(statusCode.OK);
  expect(await ack(channels[leader()!]!, messages)).toBe(statusCode.OK);
  expect(await receive(channel, 0)).toEqual([]);
});

test('a poll that waits at a follower is woken by a message from elsewhere', async () => {
  const poll = receive(channels[follower()]!, 10_000);
  expect(await send(channels[leader()!]!, 'woken')).toBe(statusCode.OK);
  const messages = await poll;
  expect(messages.map((message) => message.messageId)).toEqual(['woken']);
  await ack(channels[follower()]!, messages);
});

test('a poll that was cancelled at a follower takes nothing with it', async () => {
  const channel = channels[follower()]!;
  const leaderMetrics = `http://127.0.0.1:${brokers[leader()!]!.metricsPort}/metrics`;
  const waiting = async (count: number): Promise<boolean> =>
    (await (await fetch(leaderMetrics)).text()).includes(
      `raftmq_poll_waiting{group="broker-a"} ${count}`,
    );
  const client = new AbortController();
  const poll = receive(channel, 10_000, client.signal).catch((error: unknown) => error);
  await waitFor(() => waiting(1));
  client.abort();
  expect(isRpcError(await poll)).toBe(true);
  await waitFor(() => waiting(0));
  expect(await send(channel, 'not lost')).toBe(statusCode.OK);
  expect(await drain(channel)).toEqual(['not lost']);
});

test('leadership moves with a clean stop, and neither a send nor a message is lost', async () => {
  const old = leader()!;
  const at = follower();
  const channel = channels[at]!;
  const acknowledged: string[] = [];
  const failures: number[] = [];
  let stopping = false;
  const load = async (): Promise<void> => {
    while (!stopping) {
      const id = randomUUID();
      const code = await send(channel, id);
      if (code === statusCode.OK) acknowledged.push(id);
      else failures.push(code);
    }
  };
  const senders = [load(), load(), load(), load()];
  await waitFor(() => acknowledged.length >= 50);
  await brokers[old]!.stop();
  brokers[old] = null;
  const before = acknowledged.length;
  await waitFor(() => leader() !== null && acknowledged.length >= before + 50);
  stopping = true;
  await Promise.all(senders);
  expect(failures).toEqual([]);
  const received = await drain(channel);
  expect(acknowledged.filter((id) => !received.includes(id))).toEqual([]);
}, 60_000);

test('a replica that comes back catches up and serves', async () => {
  const id = brokers.indexOf(null);
  await start(id);
  await waitFor(async () => {
    const response = await fetch(`http://127.0.0.1:${brokers[id]!.metricsPort}/readyz`);
    return response.status === 200;
  });
  await waitFor(async () => (await send(channels[id]!, 'again')) === statusCode.OK);
  expect(await drain(channels[id]!)).toEqual(['again']);
}, 60_000);
