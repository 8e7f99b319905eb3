/**
 * Messages with a delivery time, on a cluster of three real processes:
 *
 *   lateness   100,000 messages due within 100 s, one a millisecond; the leader is killed in between (SIGKILL). Prints how
 *              late they entered their queues and reached a consumer; none may be early, missing, or there twice
 *   memory     resident memory of the brokers with none, 10,000 and 1,000,000 waiting messages
 *
 *   npm run build && node .build/test/bench/timers.js [lateness|memory] [--count 100000] [--seconds 100] [--no-kill] [--pending 1000000]
 */
import { parseArgs } from 'node:util';
import { Producer, SimpleConsumer, type MessageView } from '@raftmq/client';
import { DevCluster } from '@raftmq/testkit';
import { brokerMemory } from './broker-memory.js';

const TOPIC = 'Timers';
const BATCH = 250;
const CONSUMERS = 4;

interface Settings {
  readonly count: number;
  readonly seconds: number;
  readonly kill: boolean;
  readonly pending: number;
}

/** What is known of one message. */
class Seen {
  readonly dueMs: Float64Array;
  readonly storedMs: Float64Array;
  readonly arrivedMs: Float64Array;
  readonly places = new Map<number, string>();
  twice = 0;
  redelivered = 0;

  constructor(count: number) {
    this.dueMs = new Float64Array(count);
    this.storedMs = new Float64Array(count);
    this.arrivedMs = new Float64Array(count);
  }

  take(message: MessageView): void {
    const index = Number(message.body.toString());
    const place = `${message.queueId}/${message.queueOffset}`;
    const before = this.places.get(index);
    if (before !== undefined) {
      if (before === place) this.redelivered++;
      else this.twice++;
      return;
    }
    this.places.set(index, place);
    this.arrivedMs[index] = Date.now();
    this.storedMs[index] = message.storeTimestampMs ?? 0;
  }
}

async function lateness(settings: Settings): Promise<boolean> {
  const { count, seconds } = settings;
  const cluster = await DevCluster.start();
  try {
    await cluster.admin('topic', 'create', TOPIC, '--type', 'DELAY', '--queues', '8');
    const seen = new Seen(count);
    const startMs = Date.now() + 20_000 + count / 10;
    await load(cluster, count, (i) => {
      const dueMs = startMs + Math.floor((i * seconds * 1000) / count);
      seen.dueMs[i] = dueMs;
      return dueMs;
    });
    print(`${count} messages wait; the first is due in ${startMs - Date.now()} ms`);
    const stop = new AbortController();
    const consumers = Array.from({ length: CONSUMERS }, () => consume(cluster, seen, stop.signal));
    let gap: readonly [number, number] | null = null;
    if (settings.kill) {
      await sleepUntil(startMs + seconds * 500);
      const leader = await cluster.leader();
      const killedMs = Date.now();
      await cluster.kill(leader);
      await cluster.leader();
      gap = [killedMs, Date.now()];
      print(`leader ${leader.id} killed; another one was known ${gap[1] - gap[0]} ms later`);
    }
    const endMs = startMs + seconds * 1000 + 60_000;
    while (seen.places.size < count && Date.now() < endMs) await sleepUntil(Date.now() + 500);
    // Whatever comes twice has time to do so.
    await sleepUntil(Date.now() + 5_000);
    stop.abort();
    await Promise.all(consumers);
    await cluster.allUp();
    return report(seen, count, gap);
  } finally {
    await cluster.stop();
  }
}

function report(seen: Seen, count: number, gap: readonly [number, number] | null): boolean {
  const stored: number[] = [];
  const arrived: number[] = [];
  const calm: number[] = [];
  let early = 0;
  for (const index of seen.places.keys()) {
    const dueMs = seen.dueMs[index]!;
    const lateMs = seen.storedMs[index]! - dueMs;
    if (lateMs < 0 || seen.arrivedMs[index]! < dueMs) early++;
    stored.push(lateMs);
    arrived.push(seen.arrivedMs[index]! - dueMs);
    if (gap === null || dueMs < gap[0] - 1_000 || dueMs > gap[1] + 1_000) calm.push(lateMs);
  }
  const missing = count - seen.places.size;
  print(`late, into the queue:                 ${percentiles(stored)}`);
  print(`late, into the queue, away from kill: ${percentiles(calm)}`);
  print(`late, at the consumer:                ${percentiles(arrived)}`);
  print(
    `early ${early}, missing ${missing}, fired twice ${seen.twice}, delivered again ${seen.redelivered}`,
  );
  return early === 0 && missing === 0 && seen.twice === 0;
}

function percentiles(values: number[]): string {
  values.sort((a, b) => a - b);
  const at = (share: number): number =>
    values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
  return (
    `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, p99.9 ${at(0.999)} ms, ` +
    `max ${at(1)} ms (${values.length} messages)`
  );
}

async function memory(settings: Settings): Promise<boolean> {
  const cluster = await DevCluster.start();
  try {
    await cluster.admin('topic', 'create', TOPIC, '--type', 'DELAY', '--queues', '8');
    const soonMs = Date.now() + 30 * 86_400_000;
    await sleepUntil(Date.now() + 15_000);
    await printMemory(cluster, 'none wait');
    await load(cluster, 10_000, (i) => soonMs + i);
    await sleepUntil(Date.now() + 30_000);
    await printMemory(cluster, '10,000 wait');
    const startedMs = Date.now();
    await load(cluster, settings.pending - 10_000, (i) => soonMs + 10_000 + i * 7);
    print(
      `${settings.pending - 10_000} more were stored in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`,
    );
    await printMemory(cluster, `${settings.pending} wait, right after`);
    await sleepUntil(Date.now() + 60_000);
    await printMemory(cluster, `${settings.pending} wait, a minute later`);
    const busiest = await cluster.leader();
    await cluster.kill(busiest);
    await cluster.allUp();
    await sleepUntil(Date.now() + 30_000);
    await printMemory(cluster, `the same, after a kill of the leader (broker ${busiest.id})`);
    return true;
  } finally {
    await cluster.stop();
  }
}

async function printMemory(cluster: DevCluster, when: string): Promise<void> {
  print(`MiB ${when.padEnd(44)} ${await brokerMemory(cluster)}`);
}

/** Sends messages whose bodies are their numbers, from 0. */
async function load(
  cluster: DevCluster,
  count: number,
  dueMs: (index: number) => number,
): Promise<void> {
  const producer = new Producer({ endpoints: cluster.endpoints, topics: [TOPIC] });
  await producer.start();
  const sends = new Set<Promise<unknown>>();
  for (let from = 0; from < count; from += BATCH) {
    const size = Math.min(BATCH, count - from);
    const batch = Array.from({ length: size }, (_, i) => ({
      topic: TOPIC,
      body: String(from + i),
      deliveryTimestampMs: dueMs(from + i),
    }));
    const send = producer.sendBatch(batch).finally(() => sends.delete(send));
    sends.add(send);
    if (sends.size >= 8) await Promise.race(sends);
  }
  await Promise.all(sends);
  await producer.close();
}

async function consume(cluster: DevCluster, seen: Seen, signal: AbortSignal): Promise<void> {
  const consumer = new SimpleConsumer({
    endpoints: cluster.endpoints,
    group: 'timers-bench',
    subscriptions: { [TOPIC]: '*' },
    awaitMs: 2_000,
  });
  await consumer.start();
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        const messages = await consumer.receive(32, 60_000);
        for (const message of messages) seen.take(message);
        if (messages.length > 0) await consumer.ackAll(messages);
      } catch {
        await sleepUntil(Date.now() + 50);
      }
    }
  };
  await Promise.all([loop(), loop()]);
  await consumer.close();
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function sleepUntil(timeMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, timeMs - Date.now())));
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      count: { type: 'string', default: '100000' },
      seconds: { type: 'string', default: '100' },
      'no-kill': { type: 'boolean', default: false },
      pending: { type: 'string', default: '1000000' },
    },
  });
  const settings: Settings = {
    count: Number(values.count),
    seconds: Number(values.seconds),
    kill: !values['no-kill'],
    pending: Number(values.pending),
  };
  const parts = positionals.length === 0 ? ['lateness', 'memory'] : positionals;
  let good = true;
  if (parts.includes('lateness')) good = (await lateness(settings)) && good;
  if (parts.includes('memory')) good = (await memory(settings)) && good;
  process.exitCode = good ? 0 : 1;
}

void main();
