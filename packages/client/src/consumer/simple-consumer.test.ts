import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { encodeAckMessageResponse, statusCode, statusWithName } from '@raftmq/protocol';
import { FakeBroker, fakeMessage, until } from '../testing/fake-broker.js';
import { SimpleConsumer, type SimpleConsumerOptions } from './simple-consumer.js';

let broker: FakeBroker;
let consumer: SimpleConsumer;

beforeEach(async () => {
  broker = new FakeBroker();
  await broker.start();
});

afterEach(async () => {
  await consumer.close();
  await broker.stop();
});

async function start(options: Partial<SimpleConsumerOptions> = {}): Promise<void> {
  consumer = new SimpleConsumer({
    endpoints: broker.endpoints,
    group: 'group',
    subscriptions: { topic: '*' },
    awaitMs: 100,
    ...options,
  });
  await consumer.start();
}

describe('SimpleConsumer', () => {
  test('receives, acknowledges many in one call', async () => {
    for (let i = 0; i < 3; i++) broker.offer('topic', fakeMessage(`m${i}`));
    await start();
    const messages = await consumer.receive(10, 15_000);
    expect(messages.map((message) => message.messageId)).toEqual(['m0', 'm1', 'm2']);
    expect(await consumer.ackAll(messages)).toEqual([null, null, null]);
    expect(broker.calls('ackMessage')).toBe(1);
    expect(broker.acked.map((entry) => entry.receiptHandle)).toEqual([
      'handle-0',
      'handle-1',
      'handle-2',
    ]);
    expect(broker.received[0]).toMatchObject({
      batchSize: 10,
      invisibleMs: 15_000,
      autoRenew: false,
      longPollingMs: 100,
    });
    expect(await consumer.ackAll([])).toEqual([]);
  });

  test('nothing to receive is an empty list', async () => {
    await start();
    expect(await consumer.receive(1, 15_000, 5)).toEqual([]);
  });

  test('a changed invisible time gives a new receipt', async () => {
    broker.offer('topic', fakeMessage('m'));
    await start();
    const [message] = await consumer.receive(1, 15_000);
    await consumer.changeInvisible(message!, 60_000);
    await consumer.ack(message!);
    expect(broker.changed).toMatchObject([{ invisibleMs: 60_000, receiptHandle: 'handle-0' }]);
    expect(broker.acked[0]!.receiptHandle).toBe('handle-0-changed');
  });

  test('says which acknowledgement failed', async () => {
    for (let i = 0; i < 2; i++) broker.offer('topic', fakeMessage(`m${i}`));
    broker.onAck = (entries) =>
      encodeAckMessageResponse(
        entries,
        entries.map((_, i) => (i === 1 ? statusWithName(statusCode.INVALID_RECEIPT_HANDLE) : null)),
      );
    await start();
    const messages = await consumer.receive(10, 15_000);
    const outcomes = await consumer.ackAll(messages);
    expect(outcomes.map((outcome) => outcome?.code ?? null)).toEqual([
      null,
      'INVALID_RECEIPT_HANDLE',
    ]);
  });

  test('takes its topics in turn', async () => {
    broker.topics.add('other');
    await start({ subscriptions: { topic: 'A', other: { sql: 'a > 1' } } });
    for (let i = 0; i < 4; i++) await consumer.receive(1, 15_000, 1);
    expect(broker.received.map((request) => request.topic.name)).toEqual([
      'topic',
      'other',
      'topic',
      'other',
    ]);
    expect(broker.received[1]).toMatchObject({ filterType: 2, filterExpression: 'a > 1' });
  });

  test('subscriptions may change', async () => {
    await start({ subscriptions: {} });
    await expect(consumer.receive(1, 15_000)).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    });
    await expect(consumer.subscribe('nowhere')).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' });
    await consumer.subscribe('topic', 'A');
    await until(() => broker.settingsSeen.length > 0);
    expect(await consumer.receive(1, 15_000, 1)).toEqual([]);
    consumer.unsubscribe('topic');
    await expect(consumer.receive(1, 15_000)).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    });
  });

  test('unpacks a body that the sender compressed', async () => {
    broker.offer('topic', fakeMessage('m', { body: gzipSync('plain text'), gzip: true }));
    broker.offer('topic', fakeMessage('broken', { body: Buffer.from('no gzip'), gzip: true }));
    await start();
    const [good, broken] = await consumer.receive(2, 15_000);
    expect(good!.body.toString()).toBe('plain text');
    expect(good!.corrupted).toBe(false);
    expect(broken!.corrupted).toBe(true);
  });

  test('receives from the next address when one is gone', async () => {
    const gone = new FakeBroker();
    await gone.start();
    const { port } = gone;
    await gone.stop();
    broker.routeAddresses = [
      { host: '127.0.0.1', port },
      { host: '127.0.0.1', port: broker.port },
    ];
    broker.offer('topic', fakeMessage('m'));
    await start();
    expect(await consumer.receive(1, 15_000)).toHaveLength(1);
  });

  test('close ends a poll that waits', async () => {
    await start({ awaitMs: 60_000 });
    const poll = consumer.receive(1, 15_000).then(
      () => 'messages',
      (error: { code?: string }) => error.code,
    );
    await until(() => broker.calls('receiveMessage') === 1);
    await consumer.close();
    expect(await poll).toBe('REQUEST_TIMEOUT');
    await expect(consumer.receive(1, 15_000)).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    });
  });

  test('a group without a name is refused', () => {
    const options = { endpoints: 'localhost:1', group: '', subscriptions: {} };
    expect(() => new SimpleConsumer(options)).toThrow('the group is empty');
  });
});
