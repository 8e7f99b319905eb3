import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig, silentLogger } from '@raftmq/base';
import { Broker, brokerSettings } from '@raftmq/broker';
import { AdminClient } from '@raftmq/client';
import { runNode } from '@raftmq/testkit';

/*
 * The official Node.js SDK behind a relay that loses answers: the broker has stored the message and says so, the
 * connection breaks, and the SDK sends the message again with the same id.
 */

const COUNT = Number(process.env['RAFTMQ_TEST_REPEATS'] ?? 100);
/** Message ids of the SDKs. Of all that a broker sends to a producer, only the answer to a send has one. */
const MESSAGE_ID = /01[0-9A-F]{32}/;
const topics = { NORMAL: 'RepeatedNormal', FIFO: 'RepeatedFifo', DELAY: 'RepeatedDelay' } as const;

/** Passes bytes on in both directions, but swallows the first answer to each send, and breaks the connection. */
class Relay {
  /** Ids of the messages whose answer was lost. */
  readonly swallowed = new Set<string>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  target = 0;

  constructor() {
    this.#server = createServer((client) => this.#accept(client));
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(client: Socket): void {
    const broker = connect(this.target, '127.0.0.1');
    const cut = (): void => {
      client.destroy();
      broker.destroy();
    };
    for (const socket of [client, broker]) {
      this.#sockets.add(socket);
      socket.on('error', cut);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        cut();
      });
    }
    client.on('data', (bytes) => broker.write(bytes));
    broker.on('data', (bytes) => {
      const id = MESSAGE_ID.exec(bytes.toString('latin1'))?.[0];
      if (id === undefined || this.swallowed.has(id)) return void client.write(bytes);
      this.swallowed.add(id);
      cut();
    });
  }
}

let directory: string;
let broker: Broker;
let relay: Relay;
let admin: AdminClient;
let relayPort: number;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'raftmq-repeat-'));
  relay = new Relay();
  relayPort = await relay.listen();
  const flags = {
    dataDir: directory,
    host: '127.0.0.1',
    raftPort: '0',
    grpcPort: '0',
    metricsPort: '0',
    // Clients are told the port of the relay.
    peers: `0@127.0.0.1:1@127.0.0.1:${relayPort}`,
    segmentSizeBytes: '16MiB',
  };
  broker = await Broker.start({
    settings: loadConfig(brokerSettings, { flags }),
    logger: silentLogger,
    onFatal: (error) => {
      throw error;
    },
  });
  relay.target = broker.grpcPort;
  admin = new AdminClient({ endpoints: `127.0.0.1:${broker.grpcPort}` });
  const untilMs = Date.now() + 10_000;
  while (!broker.role.writable) {
    if (Date.now() > untilMs) throw new Error('the broker does not take writes');
    await new Promise((resolve) => setImmediate(resolve));
  }
}, 30_000);

afterAll(async () => {
  admin.close();
  relay.close();
  await broker.stop();
  await rm(directory, { recursive: true, force: true });
}, 30_000);

/** The number behind a metric's name. */
async function metric(name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${broker.metricsPort}/metrics`);
  const line = (await answer.text()).split('\n').find((each) => each.startsWith(`${name}{`));
  return Number(line?.split(' ').at(-1));
}

test.each(['NORMAL', 'FIFO', 'DELAY'] as const)(
  `${COUNT} %s messages whose answer is lost are stored once each`,
  async (type) => {
    const topic = topics[type];
    await admin.putTopic({ name: topic, type, queues: 4, permission: 6 }, true);
    const repeatedBefore = await metric('raftmq_send_repeated_total');
    const swallowedBefore = relay.swallowed.size;
    const result = await runNode(
      [
        join(__dirname, '..', 'conformance', 'node-sdk', 'send-each.cjs'),
        ...['--endpoints', `127.0.0.1:${relayPort}`, '--topic', topic],
        ...['--count', String(COUNT), '--groups', type === 'FIFO' ? '3' : '0'],
        // Some have been delivered when they are sent again, others wait.
        ...['--delay-ms', type === 'DELAY' ? '200' : '0'],
      ],
      50_000 + COUNT * 1_000,
    );
    expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 0, stderr: '' });
    const { resends, places } = JSON.parse(result.stdout) as { resends: number; places: number };
    const swallowed = relay.swallowed.size - swallowedBefore;
    const repeated = (await metric('raftmq_send_repeated_total')) - repeatedBefore;
    while ((await metric('raftmq_timers_pending')) > 0) await sleep(50);
    const [status] = await admin.topics(topic);
    const stored = status!.queues.reduce((sum, queue) => sum + queue.maxOffset, 0);
    process.stderr.write(
      `repeated sends, ${type}: ${COUNT} sent, ${swallowed} answers lost, ${resends} sent again by the SDK, ` +
        `${repeated} answered from memory, ${stored} stored\n`,
    );
    expect({ swallowed, resends, repeated, stored, places }).toEqual({
      swallowed: COUNT,
      resends: COUNT,
      repeated: COUNT,
      stored: COUNT,
      places: COUNT,
    });
  },
  60_000 + COUNT * 1_000,
);
