import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AdminClient,
  type MessageView,
  Producer,
  PullConsumer,
  PushConsumer,
  type PushConsumerOptions,
  RejectedMessage,
} from '@raftmq/client';
import { DevCluster, eventually } from '@raftmq/testkit';

/* Three replicas as processes, and consumers of our package: pull, push, broadcasting, resets, dead letters. */

let cluster: DevCluster;
let admin: AdminClient;
let producer: Producer;
let directory: string;
let endpoints: string;

beforeAll(async () => {
  cluster = await DevCluster.start();
  endpoints = [0, 1, 2].map((n) => cluster.endpointOf(n)).join(';');
  admin = new AdminClient({ endpoints });
  producer = new Producer({ endpoints });
  await producer.start();
  directory = await mkdtemp(join(tmpdir(), 'raftmq-consuming-'));
}, 60_000);

afterAll(async () => {
  await producer?.close();
  admin?.close();
  await cluster?.stop();
  await rm(directory, { recursive: true, force: true });
}, 60_000);

async function createTopic(name: string, queues: number): Promise<void> {
  await admin.putTopic({ name, type: 'NORMAL', queues, permission: 6 }, true);
}

async function sendAll(topic: string, from: number, count: number): Promise<void> {
  const bodies = Array.from({ length: count }, (_, i) => String(from + i));
  for (let at = 0; at < bodies.length; at += 50) {
    await Promise.all(
      bodies.slice(at, at + 50).map((body) => producer.send({ topic, body: Buffer.from(body) })),
    );
  }
}

function push(options: Partial<PushConsumerOptions> & Pick<PushConsumerOptions, 'group'>) {
  return new PushConsumer({ endpoints, subscriptions: {}, ...options });
}

const text = (message: MessageView): string => message.body.toString();

/** Kills the leader with SIGKILL and waits until another one is there. */
async function killLeader(): Promise<void> {
  const old = await cluster.leader();
  await cluster.kill(old);
  await eventually(
    async () => {
      const now = await cluster.leader().catch(() => undefined);
      return now !== undefined && now.id !== old.id;
    },
    30_000,
    'another replica leads',
  );
}

describe('pull', () => {
  test('offsets move on through a leader’s death, and every message comes once, in order', async () => {
    await createTopic('pulled', 4);
    const sentFromMs = Date.now();
    await sendAll('pulled', 0, 120);
    const consumer = new PullConsumer({ endpoints, group: 'pullers', batchSize: 16 });
    await consumer.start();
    const queues = await consumer.queues('pulled');
    expect(queues).toHaveLength(4);
    consumer.assign(queues);
    const seen: string[] = [];
    const next = new Map<number, number>();
    const take = async (count: number): Promise<void> => {
      while (seen.length < count) {
        const messages = await consumer.poll(2_000, 10).catch(() => []);
        for (const message of messages) {
          expect(message.queueOffset).toBe(next.get(message.queueId) ?? 0);
          next.set(message.queueId, message.queueOffset + 1);
          seen.push(text(message));
        }
      }
    };
    await take(60);
    await consumer.commit();
    const committed = await Promise.all(queues.map((queue) => consumer.committed(queue)));
    expect(committed.reduce((sum: number, offset) => sum + offset!, 0)).toBe(seen.length);
    await killLeader();
    const after = await Promise.all(queues.map((queue) => consumer.committed(queue)));
    expect(after).toEqual(committed);
    await sendAll('pulled', 120, 80);
    await take(200);
    await consumer.commit();
    expect(new Set(seen).size).toBe(200);
    // A late commit of somebody else does not move the group back.
    const rival = new PullConsumer({ endpoints, group: 'pullers' });
    await rival.start();
    rival.assign([queues[0]!]);
    rival.seek(queues[0]!, 1);
    await rival.commit();
    expect(await rival.committed(queues[0]!)).toBe(next.get(queues[0]!.queueId));
    const times = await rival.offsetsForTimes(
      new Map([
        [queues[0]!, sentFromMs - 1_000],
        [queues[1]!, Date.now() + 60_000],
      ]),
    );
    expect([...times.values()]).toEqual([0, next.get(queues[1]!.queueId)]);
    await rival.close();
    await consumer.close();
    await cluster.allUp();
  }, 120_000);
});

describe('reset', () => {
  test('members that run get everything again; a leader kill does not undo it', async () => {
    await createTopic('again', 2);
    const seen: string[] = [];
    const consumer = push({
      group: 'again-group',
      subscriptions: { again: '*' },
      listener: (message) => void seen.push(text(message)),
    });
    await consumer.start();
    await sendAll('again', 0, 40);
    await eventually(() => seen.length >= 40, 20_000, 'all are consumed');
    const lag = async (): Promise<number> => {
      const [status] = await admin.consumerGroups('again-group');
      return status!.progress.reduce((sum, queue) => sum + queue.lag, 0);
    };
    await eventually(async () => (await lag()) === 0, 10_000, 'all are acknowledged');
    const queues = await admin.resetOffset({
      group: 'again-group',
      topic: 'again',
      target: { kind: 'beginning' },
    });
    expect(queues.map(({ after }) => after)).toEqual([0, 0]);
    expect(queues.reduce((sum, { before }) => sum + before, 0)).toBe(40);
    await killLeader();
    await eventually(() => seen.length >= 80, 30_000, 'all are consumed again');
    for (let i = 0; i < 40; i++)
      expect(seen.filter((body) => body === String(i)).length).toBeGreaterThanOrEqual(2);
    await consumer.close();
    await cluster.allUp();
  }, 120_000);
});

describe('graceful drain', () => {
  test('100 in flight: what is worked on is finished, the rest goes to the other member, nothing twice', async () => {
    await createTopic('drained', 2);
    const handled: string[] = [];
    let working = 0;
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const leaving = push({
      group: 'drain-group',
      subscriptions: { drained: '*' },
      concurrency: 30,
      listener: async (message) => {
        working++;
        await gate;
        handled.push(text(message));
      },
    });
    await leaving.start();
    await sendAll('drained', 0, 100);
    await eventually(() => working === 30, 20_000, 'all places are taken');
    await eventually(
      async () =>
        (await admin.consumerGroups('drain-group'))[0]!.progress.reduce(
          (sum, queue) => sum + queue.inFlight,
          0,
        ) === 100,
      20_000,
      'all are in flight',
    );
    const closing = leaving.close();
    const staying = push({
      group: 'drain-group',
      subscriptions: { drained: '*' },
      listener: (message) => {
        expect(message.deliveryAttempt).toBe(1);
        handled.push(text(message));
      },
    });
    await staying.start();
    // What was given back comes while the others are still worked on.
    await eventually(() => handled.length >= 70, 20_000, 'the rest is consumed elsewhere');
    release();
    await closing;
    await eventually(
      async () =>
        (await admin.consumerGroups('drain-group'))[0]!.progress.every((queue) => queue.lag === 0),
      20_000,
      'all are acknowledged',
    );
    expect(handled).toHaveLength(100);
    expect(new Set(handled).size).toBe(100);
    await staying.close();
  }, 90_000);
});

describe('broadcasting', () => {
  test('three members get all messages each; a file remembers how far one was', async () => {
    await createTopic('news', 2);
    const progressFile = join(directory, 'progress.json');
    const seen: string[][] = [[], [], []];
    const member = (n: number, more: Partial<PushConsumerOptions> = {}) =>
      push({
        group: 'readers',
        subscriptions: { news: '*' },
        messageModel: 'broadcasting',
        listener: (message) => {
          seen[n]!.push(text(message));
          if (n === 1 && text(message) === '7') throw new Error('not tried again');
        },
        ...more,
      });
    const members = [member(0, { progressFile }), member(1), member(2)];
    await Promise.all(members.map((one) => one.start()));
    await sendAll('news', 0, 100);
    await eventually(() => seen.every((own) => own.length >= 100), 20_000, 'all got all');
    await members[0]!.close();
    const { offsets } = JSON.parse(await readFile(progressFile, 'utf8')) as {
      offsets: Record<string, number>;
    };
    expect(Object.values(offsets).reduce((sum, offset) => sum + offset, 0)).toBe(100);
    await sendAll('news', 100, 10);
    const back = member(0, { progressFile });
    await back.start();
    await eventually(() => seen.every((own) => own.length >= 110), 20_000, 'all got the rest');
    for (const own of seen) {
      expect(own).toHaveLength(110);
      expect(new Set(own).size).toBe(110);
    }
    await Promise.all([back, members[1]!, members[2]!].map((one) => one.close()));
  }, 90_000);
});

describe('batches, failures, dead letters', () => {
  test('a listener gets up to N; failures follow the group’s policy; rejects go to the DLQ, and back once', async () => {
    await createTopic('work', 1);
    await admin.putGroup(
      {
        name: 'workers',
        fifo: false,
        maxAttempts: 3,
        retryPolicy: { kind: 'list', waitsMs: [200] },
      },
      true,
    );
    const batches: number[] = [];
    const attempts = new Map<string, number[]>();
    let healed = false;
    const consumer = push({
      group: 'workers',
      subscriptions: { work: '*' },
      batchSizeMax: 4,
      batchListener: (messages) => {
        batches.push(messages.length);
        for (const message of messages) {
          const body = text(message);
          attempts.set(body, [...(attempts.get(body) ?? []), message.deliveryAttempt]);
        }
        if (healed) return;
        if (messages.some((message) => text(message) === 'bad'))
          throw new RejectedMessage('kein Kunde 😀');
        if (messages.some((message) => text(message) === 'flaky')) throw new Error('again');
      },
    });
    await producer.send({ topic: 'work', body: Buffer.from('bad'), properties: { shop: '1' } });
    await consumer.start();
    await eventually(() => attempts.has('bad'), 20_000, 'the first is seen');
    await producer.send({ topic: 'work', body: Buffer.from('flaky') });
    const letters = async () => {
      const found = [];
      for await (const letter of admin.deadLetters('workers')) found.push(letter);
      return found;
    };
    await eventually(async () => (await letters()).length === 2, 30_000, 'two are dead');
    expect(attempts.get('bad')).toEqual([1]);
    expect(attempts.get('flaky')).toEqual([1, 2, 3]);
    const [bad, flaky] = await letters();
    expect(bad).toMatchObject({
      originTopic: 'work',
      originQueueId: 0,
      originQueueOffset: 0,
      reason: 'kein Kunde 😀',
      attempts: 1,
      properties: { shop: '1' },
      resent: false,
    });
    expect(flaky).toMatchObject({ reason: 'attempts used up', attempts: 3, resent: false });
    expect(flaky!.lastDeliveryMs - flaky!.firstDeliveryMs).toBeGreaterThanOrEqual(400);

    // Readable as a topic.
    const reader = new PullConsumer({ endpoints, group: 'dlq-readers' });
    await reader.start();
    reader.assign(await reader.queues('%DLQ%workers'));
    const read: MessageView[] = [];
    while (read.length < 2) read.push(...(await reader.poll(5_000)));
    expect(read[0]!.deadLetter).toEqual({ topic: 'work', messageId: bad!.messageId });
    expect(read[1]!.properties.get('DLQ_ATTEMPTS')).toBe('3');
    await reader.close();

    healed = true;
    const resend = await cluster.admin('dlq', 'resend', 'workers', '--all', '--json');
    expect(JSON.parse(resend)).toMatchObject({ sent: 2, sentBefore: 0, failed: 0 });
    const second = await cluster.admin('dlq', 'resend', 'workers', '--all', '--json');
    expect(JSON.parse(second)).toMatchObject({ sent: 0, sentBefore: 2, failed: 0 });
    await eventually(
      () => attempts.get('bad')!.length === 2 && attempts.get('flaky')!.length === 4,
      20_000,
      'both are consumed',
    );
    const before = batches.length;
    await consumer.close();
    await sendAll('work', 0, 20);
    const fresh = push({
      group: 'workers',
      subscriptions: { work: '*' },
      batchSizeMax: 4,
      batchListener: (messages) => void batches.push(messages.length),
    });
    await fresh.start();
    const total = (): number => batches.slice(before).reduce((sum, size) => sum + size, 0);
    await eventually(() => total() === 20, 20_000, 'all are consumed');
    expect(Math.max(...batches)).toBe(4);
    await fresh.close();
  }, 120_000);

  test('a paused group gets nothing until it is resumed', async () => {
    await createTopic('paused', 1);
    await cluster.admin('group', 'create', 'sleepers', '--consume-enable', 'false');
    const seen: string[] = [];
    const consumer = push({
      group: 'sleepers',
      subscriptions: { paused: '*' },
      listener: (message) => void seen.push(text(message)),
    });
    await consumer.start();
    await sendAll('paused', 0, 5);
    expect(seen).toEqual([]);
    await cluster.admin('group', 'update', 'sleepers', '--consume-enable', 'true');
    await eventually(() => seen.length === 5, 20_000, 'the group goes on');
    await consumer.close();
  }, 60_000);
});
