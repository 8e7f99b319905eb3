/**
 * How late a message comes again after its invisible time of 5 s, and how late an empty receive of 1 s comes back, with
 * the official Node.js SDK and with our client, against a cluster of three replicas on this machine.
 *
 *   npm run build && node .build/test/bench/redelivery.js [--messages 400] [--rate 40] [--json]
 *
 * Each message is received, its invisible time changed to 5 s, and received again. Lateness counts from the moment the
 * change was asked for, so that it contains both calls. `waiting` holds long polls open, `polling` asks for messages 20
 * times a second.
 */
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { Producer, SimpleConsumer } from '@raftmq/client';
import { DevCluster } from '@raftmq/testkit';
import { SimpleConsumer as OfficialConsumer, type MessageView } from 'rocketmq-client-nodejs';

const INVISIBLE_MS = 5_000;
const RECEIVE_INVISIBLE_MS = 10_000;
const POLLERS = 4;
const EMPTY_RECEIVES = 10;
const EMPTY_AWAIT_MS = 1_000;
const LATE_BUDGET_MS = 100;
const EMPTY_TOPIC = 'RedeliveryBenchEmpty';

/** A received message, whoever's client it came with. */
interface Received {
  readonly id: string;
  readonly attempt: number;
  hide(): Promise<void>;
  ack(): Promise<void>;
}

interface Client {
  receive(): Promise<readonly Received[]>;
  close(): Promise<void>;
}

type Open = (endpoints: string, group: string, topic: string, awaitMs: number) => Promise<Client>;

const clients: Readonly<Record<string, Open>> = {
  'rocketmq-client-nodejs': openOfficial,
  '@raftmq/client': openOurs,
};

async function openOurs(
  endpoints: string,
  group: string,
  topic: string,
  awaitMs: number,
): Promise<Client> {
  const consumer = new SimpleConsumer({
    endpoints,
    group,
    subscriptions: { [topic]: '*' },
    awaitMs,
  });
  await consumer.start();
  return {
    receive: async () => {
      const messages = await consumer.receive(16, RECEIVE_INVISIBLE_MS);
      return messages.map((message) => ({
        id: message.messageId,
        attempt: message.deliveryAttempt,
        hide: () => consumer.changeInvisible(message, INVISIBLE_MS),
        ack: () => consumer.ack(message),
      }));
    },
    close: () => consumer.close(),
  };
}

async function openOfficial(
  endpoints: string,
  group: string,
  topic: string,
  awaitMs: number,
): Promise<Client> {
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const consumer = new OfficialConsumer({
    consumerGroup: group,
    // It takes one endpoint, whatever its documentation says.
    endpoints: endpoints.split(';')[0]!,
    namespace: '',
    subscriptions: new Map([[topic, '*']]),
    awaitDuration: awaitMs,
    logger: quiet,
  });
  await consumer.startup();
  return {
    receive: async () => {
      const messages: readonly MessageView[] = await consumer.receive(16, RECEIVE_INVISIBLE_MS);
      return messages.map((message) => ({
        id: message.messageId,
        attempt: message.deliveryAttempt ?? 0,
        hide: () => consumer.changeInvisibleDuration(message, INVISIBLE_MS),
        ack: () => consumer.ack(message),
      }));
    },
    close: async () => {
      await consumer.shutdown();
    },
  };
}

interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(
      (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN) * 10,
    ) / 10;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

async function redelivery(
  endpoints: string,
  open: Open,
  topic: string,
  awaitMs: number,
  messages: number,
  rate: number,
): Promise<{ readonly late: Percentiles; readonly change: Percentiles }> {
  const hiddenAtMs = new Map<string, number>();
  const lateMs: number[] = [];
  const changeMs: number[] = [];
  const done = new Set<string>();
  const consumer = await open(endpoints, `group-${topic}`, topic, awaitMs);
  const producer = new Producer({ endpoints, topics: [topic] });
  await producer.start();
  const handle = async (message: Received): Promise<void> => {
    const hidden = hiddenAtMs.get(message.id);
    if (hidden === undefined) {
      const askedAtMs = performance.now();
      hiddenAtMs.set(message.id, askedAtMs);
      await message.hide();
      changeMs.push(performance.now() - askedAtMs);
      return;
    }
    if (!done.has(message.id)) lateMs.push(performance.now() - hidden - INVISIBLE_MS);
    done.add(message.id);
    return message.ack();
  };
  const poll = async (): Promise<void> => {
    while (done.size < messages) {
      const received = await consumer.receive();
      await Promise.all(received.map(handle));
      if (awaitMs < EMPTY_AWAIT_MS) await sleep(50);
    }
  };
  const send = async (): Promise<void> => {
    for (let i = 0; i < messages; i++) {
      void producer.send({ topic, body: Buffer.from(String(i)) });
      await sleep(1_000 / rate);
    }
  };
  await Promise.all([send(), ...Array.from({ length: POLLERS }, poll)]);
  await producer.close();
  await consumer.close();
  return { late: percentiles(lateMs), change: percentiles(changeMs) };
}

async function emptyReceive(endpoints: string, open: Open, group: string): Promise<Percentiles> {
  const consumer = await open(endpoints, group, EMPTY_TOPIC, EMPTY_AWAIT_MS);
  const tookMs: number[] = [];
  for (let i = 0; i < EMPTY_RECEIVES; i++) {
    const startedMs = performance.now();
    await consumer.receive();
    tookMs.push(performance.now() - startedMs);
  }
  await consumer.close();
  return percentiles(tookMs);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      messages: { type: 'string', default: '400' },
      rate: { type: 'string', default: '40' },
      json: { type: 'boolean', default: false },
    },
  });
  const cluster = await DevCluster.start();
  let overBudget = false;
  try {
    await cluster.admin('topic', 'create', EMPTY_TOPIC, '--type', 'NORMAL');
    const { endpoints } = cluster;
    const print = (client: string, what: string, result: Percentiles, budgetMs: number): void => {
      overBudget ||= !(result.p99 <= budgetMs);
      const { count, p50, p99, max } = result;
      if (values.json)
        process.stdout.write(`${JSON.stringify({ client, what, ...result, budgetMs })}\n`);
      else {
        process.stdout.write(
          `${client.padEnd(24)} ${what.padEnd(34)} n=${count} p50=${p50} ms p99=${p99} ms max=${max} ms${budgetMs === Infinity ? '' : ` (p99 <= ${budgetMs})`}\n`,
        );
      }
    };
    for (const [name, open] of Object.entries(clients)) {
      const id = name.replaceAll(/[^a-z]/g, '');
      for (const [mode, awaitMs] of [
        ['waiting', 20_000],
        ['polling', 0],
      ] as const) {
        const topic = `Redelivery-${id}-${mode}`;
        await cluster.admin('topic', 'create', topic, '--type', 'NORMAL');
        const [count, rate] = [Number(values.messages), Number(values.rate)];
        const { late, change } = await redelivery(endpoints, open, topic, awaitMs, count, rate);
        print(name, `late after 5 s, ${mode}`, late, LATE_BUDGET_MS);
        print(name, `of that, the call that hides it`, change, Infinity);
      }
      const empty = await emptyReceive(endpoints, open, `empty-${id}`);
      print(name, 'empty receive of 1 s took', empty, EMPTY_AWAIT_MS + LATE_BUDGET_MS);
    }
  } finally {
    await cluster.stop();
  }
  process.exitCode = overBudget ? 1 : 0;
}

main().catch((error: unknown) => {
  process.stderr.write(`${String((error as Error).stack ?? error)}\n`);
  process.exitCode = 1;
});
