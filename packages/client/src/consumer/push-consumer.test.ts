import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { digestType, encodeStatusResponse, statusCode, statusWithName } from '@raftmq/protocol';
import { FakeBroker, fakeMessage, until } from '../testing/fake-broker.js';
import { type MessageView } from './message-view.js';
import { type MessageListener, PushConsumer, type PushConsumerOptions } from './push-consumer.js';

let broker: FakeBroker;
let consumer: PushConsumer;

beforeEach(async () => {
  broker = new FakeBroker();
  await broker.start();
});

afterEach(async () => {
  await consumer.close(0);
  await broker.stop();
});

async function start(
  listener: MessageListener,
  options: Partial<PushConsumerOptions> = {},
): Promise<void> {
  consumer = new PushConsumer({
    endpoints: broker.endpoints,
    group: 'group',
    subscriptions: { topic: 'TagA || TagB' },
    listener,
    ...options,
  });
  await consumer.start();
}

/** A customized policy in milliseconds. */
const policy = (maxAttempts: number, ...stepsMs: number[]): object => ({
  maxAttempts,
  customizedBackoff: { next: stepsMs.map((ms) => ({ seconds: 0, nanos: ms * 1e6 })) },
});

const ackedIds = (): string[] => broker.acked.map((entry) => entry.messageId);

describe('PushConsumer of a plain group', () => {
  test('delivers, acknowledges, and asks with its subscription', async () => {
    const seen: MessageView[] = [];
    broker.offer('topic', fakeMessage('m1', { userProperties: ['a', '1'], keys: ['k'] }));
    await start((message) => void seen.push(message));
    broker.offer('topic', fakeMessage('m2'));
    await until(() => broker.acked.length === 2);
    expect(seen.map((message) => message.messageId)).toEqual(['m1', 'm2']);
    expect(seen[0]!.properties.get('a')).toBe('1');
    expect(seen[0]!.body.toString()).toBe('body of m1');
    expect(broker.received[0]).toMatchObject({
      filterExpression: 'TagA || TagB',
      autoRenew: true,
      batchSize: 32,
      brokerName: 'broker-a',
    });
    expect(broker.settingsSeen[0]).toMatchObject({
      clientType: 2,
      subscription: { group: { name: 'group' } },
    });
  });

  test('a failed message is put off by the pause of its attempt', async () => {
    broker.settings = { backoffPolicy: policy(17, 100, 200, 300) };
    broker.offer('topic', fakeMessage('first'), 1);
    broker.offer('topic', fakeMessage('second'), 2);
    broker.offer('topic', fakeMessage('many'), 9);
    await start(() => {
      throw new Error('not today');
    });
    await until(() => broker.changed.length === 3);
    const pauses = Object.fromEntries(
      broker.changed.map((request) => [request.messageId, request.invisibleMs]),
    );
    expect(pauses).toEqual({ first: 100, second: 200, many: 300 });
    expect(broker.acked).toEqual([]);
  });

  test('works on as many messages at a time as it may, not more', async () => {
    let running = 0;
    let most = 0;
    const waiting: (() => void)[] = [];
    for (let i = 0; i < 10; i++) broker.offer('topic', fakeMessage(`m${i}`));
    await start(
      async () => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => waiting.push(resolve));
        running--;
      },
      { concurrency: 3 },
    );
    await until(() => waiting.length === 3);
    while (broker.acked.length < 10) {
      for (const wake of waiting.splice(0)) wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(most).toBe(3);
  });

  test('holds no more messages than its cache takes', async () => {
    const waiting: (() => void)[] = [];
    for (let i = 0; i < 20; i++) broker.offer('topic', fakeMessage(`m${i}`));
    await start(() => new Promise<void>((resolve) => waiting.push(resolve)), {
      cacheMessagesMax: 5,
    });
    await until(() => waiting.length === 5);
    expect(consumer.held).toBe(5);
    expect(broker.received).toHaveLength(1);
    waiting.shift()!();
    await until(() => waiting.length === 5);
    expect(broker.received[1]!.batchSize).toBe(1);
  });

  test('repeats an acknowledgement that failed, but not one that can never succeed', async () => {
    broker.onAck = (_, call) =>
      call === 1 ? encodeStatusResponse(statusWithName(statusCode.INTERNAL_SERVER_ERROR)) : null;
    broker.offer('topic', fakeMessage('m1'));
    await start(() => undefined);
    await until(() => ackedIds().includes('m1'));
    broker.onAck = () => encodeStatusResponse(statusWithName(statusCode.INVALID_RECEIPT_HANDLE));
    const before = broker.calls('ackMessage');
    broker.offer('topic', fakeMessage('m2'));
    await until(() => broker.calls('ackMessage') === before + 1);
    await consumer.close(5_000);
    expect(broker.calls('ackMessage')).toBe(before + 1);
  });

  test('does not show a damaged message to the listener', async () => {
    const seen: string[] = [];
    broker.offer(
      'topic',
      fakeMessage('bad', { bodyDigest: { type: digestType.MD5, checksum: '00' } }),
    );
    broker.offer('topic', fakeMessage('good'));
    await start((message) => void seen.push(message.messageId));
    await until(() => broker.changed.length === 1 && broker.acked.length === 1);
    expect(seen).toEqual(['good']);
    expect(broker.changed[0]!.messageId).toBe('bad');
  });

  test('close finishes what it holds, then says goodbye', async () => {
    const waiting: (() => void)[] = [];
    broker.offer('topic', fakeMessage('m1'));
    broker.offer('topic', fakeMessage('m2'));
    await start(() => new Promise<void>((resolve) => waiting.push(resolve)), { concurrency: 1 });
    await until(() => waiting.length === 1);
    const closing = consumer.close();
    waiting.shift()!();
    await until(() => waiting.length === 1);
    expect(broker.terminated).toEqual([]);
    waiting.shift()!();
    await closing;
    expect(ackedIds().sort()).toEqual(['m1', 'm2']);
    expect(broker.terminated).toHaveLength(1);
  });
});

describe('PushConsumer of a group in order mode', () => {
  test('keeps the order of a message group and works on groups side by side', async () => {
    broker.settings = { fifo: true };
    const seen: string[] = [];
    const waiting = new Map<string, () => void>();
    for (const id of ['a1', 'b1', 'a2', 'b2', 'a3']) {
      broker.offer('topic', fakeMessage(id, { messageGroup: id[0]! }));
    }
    await start((message) => {
      seen.push(message.messageId);
      if (message.messageGroup === 'b') return undefined;
      return new Promise<void>((resolve) => waiting.set(message.messageId, resolve));
    });
    await until(() => seen.includes('b2'));
    expect(seen).toEqual(['a1', 'b1', 'b2']);
    for (const id of ['a1', 'a2', 'a3']) {
      await until(() => waiting.has(id));
      waiting.get(id)!();
    }
    await until(() => broker.acked.length === 5);
    expect(ackedIds().filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
  });

  test('repeats a failed message before its successor, then gives it up', async () => {
    broker.settings = { fifo: true, backoffPolicy: policy(3, 1, 2) };
    const seen: string[] = [];
    broker.offer('topic', fakeMessage('bad', { messageGroup: 'g' }));
    broker.offer('topic', fakeMessage('next', { messageGroup: 'g' }));
    await start((message) => {
      seen.push(`${message.messageId} ${message.deliveryAttempt}`);
      if (message.messageId === 'bad') throw new Error('never');
    });
    await until(() => broker.acked.length === 1);
    expect(seen).toEqual(['bad 1', 'bad 2', 'bad 3', 'next 1']);
    expect(broker.deadLettered).toMatchObject([
      { messageId: 'bad', deliveryAttempt: 3, maxDeliveryAttempts: 3 },
    ]);
    expect(broker.changed).toEqual([]);
  });
});
