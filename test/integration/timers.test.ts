import { afterEach, expect, test } from '@jest/globals';
import { isMqError } from '@raftmq/base';
import { Producer, SimpleConsumer } from '@raftmq/client';
import { DevCluster, eventually } from '@raftmq/testkit';

const TOPIC = 'Later';

let cluster: DevCluster | undefined;
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await cluster?.stop();
  cluster = undefined;
}, 30_000);

async function producer(endpoints: string): Promise<Producer> {
  const one = new Producer({
    endpoints,
    topics: [TOPIC],
    attemptsMax: 1,
    requestTimeoutMs: 10_000,
  });
  await one.start();
  closing.push(() => one.close(1_000));
  return one;
}

/** Queue and offset of every message that arrives, and how early it was, by its body. */
async function arrivals(
  endpoints: string,
): Promise<Map<string, { place: string; atMs: number }[]>> {
  const found = new Map<string, { place: string; atMs: number }[]>();
  const subscriptions = { [TOPIC]: '*' };
  const consumer = new SimpleConsumer({
    endpoints,
    group: 'readers',
    subscriptions,
    awaitMs: 1_000,
  });
  await consumer.start();
  let open = true;
  const loop = async (): Promise<void> => {
    while (open) {
      const messages = await consumer.receive(32, 60_000).catch(() => []);
      for (const message of messages) {
        const place = `${message.queueId}/${message.queueOffset}`;
        const list = found.get(message.body.toString()) ?? [];
        // The same place again is a delivery whose acknowledgement was lost with the leader.
        if (!list.some((one) => one.place === place)) {
          list.push({ place, atMs: message.storeTimestampMs ?? 0 });
        }
        found.set(message.body.toString(), list);
      }
      if (messages.length > 0) await consumer.ackAll(messages);
    }
  };
  const running = Promise.all([loop(), loop()]);
  closing.unshift(async () => {
    open = false;
    await running;
    await consumer.close();
  });
  return found;
}

test('waiting messages survive the death of their leader: each comes once, none early, recalled ones never', async () => {
  cluster = await DevCluster.start();
  await cluster.admin('topic', 'create', TOPIC, '--type', 'DELAY', '--queues', '2');
  const { endpoints } = cluster;
  const sender = await producer(endpoints);
  const startMs = Date.now() + 6_000;
  const dues = Array.from({ length: 600 }, (_, i) => startMs + i * 20);
  const receipts = await Promise.all(
    dues.map((deliveryTimestampMs, i) =>
      sender.send({ topic: TOPIC, body: String(i), deliveryTimestampMs }),
    ),
  );
  const recalled = new Set<number>();
  for (let i = 100; i < 600; i += 50) {
    expect(await sender.recall(TOPIC, receipts[i]!.recallHandle)).toBe(receipts[i]!.messageId);
    recalled.add(i);
  }
  const found = await arrivals(endpoints);
  await eventually(() => found.size > 50, 60_000, 'the first messages arrive');
  await cluster.kill(await cluster.leader());
  // Also over to the next leader.
  const late = 599;
  const recall = await sender
    .recall(TOPIC, receipts[late]!.recallHandle)
    .then(() => 'recalled')
    .catch((error: unknown) => (isMqError(error) ? error.code : 'unexpected'));
  if (recall === 'recalled') recalled.add(late);
  // An answer that was lost leaves it open whether this one still comes.
  const open = recall === 'recalled' || recall === 'RECALL_FAILED' ? 0 : 1;
  const expected = dues.length - recalled.size - open;
  await eventually(() => found.size >= expected, 90_000, 'all messages arrived');
  await cluster.allUp();
  for (const [body, places] of found) {
    expect(places).toHaveLength(1);
    expect(places[0]!.atMs).toBeGreaterThanOrEqual(dues[Number(body)]!);
    if (Number(body) !== late) expect(recalled.has(Number(body))).toBe(false);
  }
  await expect(sender.recall(TOPIC, receipts[0]!.recallHandle)).rejects.toMatchObject({
    code: 'RECALL_FAILED',
  });
}, 180_000);
