import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { clientType, liteAction, OK_STATUS, statusCode, statusWithName } from '@raftmq/protocol';
import { FakeBroker } from '../testing/fake-broker.js';
import { PushConsumer } from './push-consumer.js';
import { SimpleConsumer } from './simple-consumer.js';

let broker: FakeBroker;

beforeEach(async () => {
  broker = new FakeBroker();
  await broker.start();
});

afterEach(() => broker.stop());

const common = (): { endpoints: string; group: string; subscriptions: { topic: '*' } } => ({
  endpoints: broker.endpoints,
  group: 'group',
  subscriptions: { topic: '*' },
});

test('a lite consumer tells what it takes from, first as a whole, then every change', async () => {
  const consumer = new SimpleConsumer({ ...common(), liteTopics: true });
  await consumer.start();
  await consumer.lite.subscribe(['a', 'b'], { kind: 'max' });
  await consumer.lite.unsubscribe(['a']);
  expect([...consumer.lite.names]).toEqual(['b']);
  expect(broker.liteChanges).toMatchObject([
    { action: liteAction.COMPLETE_ADD, liteTopics: [], group: { name: 'group' } },
    { action: liteAction.PARTIAL_ADD, liteTopics: ['a', 'b'], start: { kind: 'max' } },
    { action: liteAction.PARTIAL_REMOVE, liteTopics: ['a'], topic: { name: 'topic' } },
  ]);
  expect(broker.settingsSeen.at(-1)).toMatchObject({ clientType: clientType.LITE_SIMPLE_CONSUMER });
  await consumer.close();
});

test('what the server refuses is not subscribed', async () => {
  const consumer = new PushConsumer({ ...common(), liteTopics: true, listener: () => undefined });
  await consumer.start();
  broker.liteStatus = statusWithName(statusCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED);
  await expect(consumer.lite.subscribe(['a'])).rejects.toMatchObject({
    code: 'LITE_SUBSCRIPTION_QUOTA_EXCEEDED',
  });
  expect(consumer.lite.names.size).toBe(0);
  broker.liteStatus = OK_STATUS;
  await consumer.lite.subscribe(['a']);
  expect([...consumer.lite.names]).toEqual(['a']);
  await consumer.close(1);
});

test('lite topics belong to one topic, and only to consumers made for them', () => {
  const plain = new SimpleConsumer(common());
  expect(() => plain.lite).toThrow(/liteTopics/);
  const two = { topic: '*', other: '*' } as const;
  expect(() => new SimpleConsumer({ ...common(), subscriptions: two, liteTopics: true })).toThrow(
    /one subscription/,
  );
});
