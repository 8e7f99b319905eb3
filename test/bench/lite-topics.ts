/**
 * What lite topics cost: memory of the brokers and the time of plain sends, without any and with 100,000 of them, each
 * subscribed to and with messages consumed. A real 3-replica cluster, real clients.
 *
 *   npm run build && node .build/test/bench/lite-topics.js [--topics 100000] [--per-client 2000] [--messages 1] [--sends 3000]
 *     [--settle-seconds 60]
 */
import { parseArgs } from 'node:util';
import { AdminClient, Producer, SimpleConsumer } from '@raftmq/client';
import { DevCluster } from '@raftmq/testkit';
import { brokerMemory } from './broker-memory.js';

const { values } = parseArgs({
  options: {
    topics: { type: 'string', default: '100000' },
    'per-client': { type: 'string', default: '2000' },
    messages: { type: 'string', default: '1' },
    sends: { type: 'string', default: '3000' },
    'settle-seconds': { type: 'string', default: '60' },
  },
});
const topics = Number(values.topics);
const perClient = Number(values['per-client']);
const messagesEach = Number(values.messages);
const sends = Number(values.sends);
const settleSeconds = Number(values['settle-seconds']);

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function printMemory(cluster: DevCluster, when: string): Promise<void> {
  print(`MiB ${when.padEnd(24)} ${await brokerMemory(cluster)}`);
}

function name(i: number): string {
  return `session-${i}`;
}

/** Sends one after the other, so that each has the brokers to itself. */
async function sendTimes(producer: Producer, count: number): Promise<string> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedAtMs = performance.now();
    await producer.send({ topic: 'plain', body: Buffer.alloc(1_024, 1) });
    times.push(performance.now() - startedAtMs);
  }
  times.sort((a, b) => a - b);
  const at = (part: number): string => times[Math.floor(part * (times.length - 1))]!.toFixed(2);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`;
}

async function inParallel(
  count: number,
  width: number,
  work: (i: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}

/** As many messages as the lite topics will get, through a plain topic: what traffic costs by itself is no news. */
async function plainTraffic(endpoints: string, producer: Producer): Promise<void> {
  const count = topics * messagesEach;
  await inParallel(count, 256, async (i) => {
    await producer.send({ topic: 'plain', body: name(i) });
  });
  const consumer = new SimpleConsumer({
    endpoints,
    group: 'plain-bench',
    subscriptions: { plain: '*' },
    awaitMs: 1_000,
  });
  await consumer.start();
  let left = count;
  await inParallel(8, 8, async () => {
    while (left > 0) {
      const messages = await consumer.receive(32, 30_000);
      if (messages.length === 0) return;
      left -= messages.length;
      await consumer.ackAll(messages);
    }
  });
  await consumer.close();
  print(`${count} plain messages sent and received`);
}

async function main(): Promise<void> {
  const cluster = await DevCluster.start();
  const { endpoints } = cluster;
  const admin = new AdminClient({ endpoints });
  const producer = new Producer({ endpoints, topics: ['plain', 'parent'] });
  const consumers: SimpleConsumer[] = [];
  try {
    await admin.putTopic({ name: 'plain', type: 'NORMAL', queues: 8, permission: 6 }, true);
    await admin.putTopic({ name: 'parent', type: 'LITE', queues: 8, permission: 6 }, true);
    await producer.start();
    await plainTraffic(endpoints, producer);
    await printMemory(cluster, 'before');
    print(`sends before: ${await sendTimes(producer, sends)}`);

    const startedAtMs = performance.now();
    for (let from = 0; from < topics; from += perClient) {
      const consumer = new SimpleConsumer({
        endpoints,
        group: 'lite-bench',
        subscriptions: { parent: '*' },
        liteTopics: true,
        awaitMs: 1_000,
      });
      await consumer.start();
      const names = Array.from({ length: Math.min(perClient, topics - from) }, (_, i) =>
        name(from + i),
      );
      await consumer.lite.subscribe(names);
      consumers.push(consumer);
    }
    const seconds = (): string => ((performance.now() - startedAtMs) / 1_000).toFixed(1);
    print(`${topics} lite topics, ${consumers.length} clients subscribed after ${seconds()} s`);
    await printMemory(cluster, 'subscribed');

    await inParallel(topics * messagesEach, 256, async (i) => {
      const liteTopic = name(i % topics);
      await producer.send({ topic: 'parent', liteTopic, body: liteTopic });
    });
    print(`${topics * messagesEach} messages sent after ${seconds()} s`);
    let received = 0;
    let foreign = 0;
    await inParallel(consumers.length, 8, async (i) => {
      const consumer = consumers[i]!;
      for (let left = consumer.lite.names.size * messagesEach; left > 0;) {
        const messages = await consumer.receive(32, 30_000);
        if (messages.length === 0) break;
        for (const { liteTopic } of messages) if (!consumer.lite.names.has(liteTopic!)) foreign++;
        for (const failure of await consumer.ackAll(messages)) if (failure !== null) throw failure;
        left -= messages.length;
        received += messages.length;
      }
    });
    print(
      `${received} of ${topics * messagesEach} received by their subscribers after ${seconds()} s, ${foreign} by others`,
    );
    await printMemory(cluster, 'with all of them used');
    print(`sends after: ${await sendTimes(producer, sends)}`);
    await printMemory(cluster, 'after the sends');
    await new Promise((resolve) => setTimeout(resolve, settleSeconds * 1_000));
    await printMemory(cluster, `${settleSeconds} s later`);
    process.exitCode = received === topics * messagesEach && foreign === 0 ? 0 : 1;
  } finally {
    await Promise.all([producer.close(), ...consumers.map((consumer) => consumer.close())]);
    admin.close();
    await cluster.stop();
  }
}

void main();
