import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { silentLogger } from '@raftmq/base';
import { type BrokerRegistration, NAMESRV_SERVICE, type RegistrationAck } from '@raftmq/protocol';
import { RpcServer, type RpcStream } from '@raftmq/rpc';
import { RegistrationClient } from './registration-client.js';

type Stream = RpcStream<BrokerRegistration, RegistrationAck>;

/** A NameServer that notes what it gets and answers what the test wants. */
class FakeNameserver {
  readonly received: BrokerRegistration[] = [];
  readonly streams: Stream[] = [];
  closed = 0;
  refuse: (registration: BrokerRegistration) => string = () => '';
  #server: RpcServer;

  constructor(port = 0) {
    this.#server = new RpcServer({ host: '127.0.0.1', port, tls: null, logger: silentLogger });
    this.#server.registerProto(NAMESRV_SERVICE, {
      Register: {
        bidi: (untyped) => {
          const stream = untyped as Stream;
          this.streams.push(stream);
          stream.listen({
            message: (registration) => {
              this.received.push(registration);
              stream.write({
                topicsVersion: registration.topicsVersion,
                refused: this.refuse(registration),
              });
            },
            ended: () => stream.end(),
            closed: () => void this.closed++,
          });
        },
      },
    });
  }

  get port(): number {
    return this.#server.port;
  }

  start(): Promise<void> {
    return this.#server.start();
  }

  stop(): Promise<void> {
    return this.#server.close(0);
  }
}

const topics = [{ name: 't', type: 'NORMAL', readQueues: 4, writeQueues: 4, permission: 6 }];
let now: BrokerRegistration;
let nameservers: FakeNameserver[] = [];
let client: RegistrationClient;

beforeEach(async () => {
  now = {
    cluster: 'c',
    group: 'g',
    nodeId: 1,
    startedAtMs: 1,
    grpcAddress: 'h:1',
    remotingAddress: '',
    metricsAddress: '',
    raftAddress: '',
    term: 3,
    leaderId: -1,
    topicsVersion: 7,
    topics,
    topicsUnchanged: false,
  };
  nameservers = [new FakeNameserver(), new FakeNameserver()];
  for (const nameserver of nameservers) await nameserver.start();
});

afterEach(async () => {
  client.close();
  for (const nameserver of nameservers) await nameserver.stop();
});

function start(intervalMs?: number): void {
  client = new RegistrationClient({
    addresses: nameservers.map(({ port }) => `127.0.0.1:${port}`),
    registration: () => now,
    logger: silentLogger,
    ...(intervalMs === undefined ? {} : { intervalMs }),
  });
  client.start();
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const endsAt = Date.now() + 8_000;
  while (!holds()) {
    if (Date.now() > endsAt) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('registers with all NameServers, and again after the interval, without the topics they have', async () => {
  start(20);
  const unchanged = ({ received }: FakeNameserver): boolean =>
    received.at(-1)?.topicsUnchanged === true;
  await until(() => nameservers.every(unchanged), 'registered again');
  for (const { received, streams } of nameservers) {
    expect(received[0]).toEqual(now);
    expect(received.at(-1)).toEqual({ ...now, topics: [], topicsUnchanged: true });
    expect(streams).toHaveLength(1);
  }
  expect(client.registeredCount).toBe(2);
});

test('tells changes at once and together, with the topics when they changed', async () => {
  start();
  await until(() => client.registeredCount === 2, 'registered');
  now = { ...now, term: 4, leaderId: 1 };
  client.changed();
  client.changed();
  await until(() => nameservers[0]!.received.length === 2, 'the change arrived');
  expect(nameservers[0]!.received[1]).toEqual({ ...now, topics: [], topicsUnchanged: true });
  now = { ...now, topicsVersion: 8, topics: [] };
  client.changed();
  await until(() => nameservers[0]!.received.length === 3, 'the second change arrived');
  expect(nameservers[0]!.received[2]).toEqual(now);
});

test('sends the topics again when a NameServer does not have them', async () => {
  nameservers[0]!.refuse = ({ topicsUnchanged }) =>
    topicsUnchanged ? 'send the list of topics' : '';
  start();
  await until(() => client.registeredCount === 2, 'registered');
  client.changed();
  await until(() => nameservers[0]!.received.length === 3, 'sent again');
  expect(nameservers[0]!.received.map(({ topicsUnchanged }) => topicsUnchanged)).toEqual([
    false,
    true,
    false,
  ]);
  await until(() => client.registeredCount === 2, 'registered again');
});

test('does not ask again and again when it is refused for good', async () => {
  nameservers[0]!.refuse = () => 'a newer start is registered';
  start();
  await until(
    () => nameservers[0]!.received.length === 1 && client.registeredCount === 1,
    'refused by one',
  );
  client.changed();
  await until(() => nameservers[1]!.received.length === 2, 'the other one goes on');
  await until(() => nameservers[0]!.received.length === 2, 'the change was told');
  expect(client.registeredCount).toBe(1);
});

test('comes back when a NameServer was away, with everything', async () => {
  start();
  await until(() => client.registeredCount === 2, 'registered');
  const { port } = nameservers[0]!;
  await nameservers[0]!.stop();
  await until(() => client.registeredCount === 1, 'one lost');
  nameservers[0] = new FakeNameserver(port);
  await nameservers[0].start();
  await until(() => client.registeredCount === 2, 'registered again');
  expect(nameservers[0].received[0]).toEqual(now);
});

test('close ends the streams', async () => {
  start();
  await until(() => client.registeredCount === 2, 'registered');
  client.close();
  await until(() => nameservers.every(({ closed }) => closed === 1), 'both streams closed');
  expect(client.registeredCount).toBe(0);
});
