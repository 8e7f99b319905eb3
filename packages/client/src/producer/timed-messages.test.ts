import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isMqError } from '@raftmq/base';
import { encodeSendMessageResponse, OK_STATUS, statusCode } from '@raftmq/protocol';
import { FakeBroker } from '../testing/fake-broker.js';
import { delayLevels, deliveryTimeMs } from './delivery-time.js';
import { Producer } from './producer.js';

async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return isMqError(error) ? error.code : String(error);
  }
  return 'OK';
}

describe('deliveryTimeMs', () => {
  const levels = delayLevels('1s 2s 4s');
  const at = (input: Parameters<typeof deliveryTimeMs>[0]): number | null =>
    deliveryTimeMs(input, levels, 1_000_000);

  test('takes a time, a date, a delay or a level', () => {
    expect(at({})).toBeNull();
    expect(at({ deliveryTimestampMs: 5 })).toBe(5);
    expect(at({ deliverAt: new Date(1_234_567) })).toBe(1_234_567);
    expect(at({ delayMs: 7_345 })).toBe(1_007_345);
    expect(at({ delayMs: 0.5 })).toBe(1_000_001);
    expect(at({ delayLevel: 3 })).toBe(1_004_000);
    expect(at({ delayLevel: 20 })).toBe(1_004_000);
    expect(at({ delayLevel: 0 })).toBeNull();
  });

  test('refuses what is no time, and several', async () => {
    for (const input of [
      { delayMs: NaN },
      { deliverAt: new Date('never') },
      { delayLevel: -1 },
      { delayMs: 1, delayLevel: 1 },
    ]) {
      expect(await codeOf(() => at(input))).toBe('ILLEGAL_DELIVERY_TIME');
    }
    expect(await codeOf(() => delayLevels('soon'))).toBe('CONFIG_INVALID');
  });
});

describe('Producer', () => {
  let broker: FakeBroker;
  let producer: Producer;
  beforeEach(async () => {
    broker = new FakeBroker();
    await broker.start();
    producer = new Producer({ endpoints: broker.endpoints, topics: ['topic'] });
    await producer.start();
  });
  afterEach(async () => {
    await producer.close(0);
    await broker.stop();
  });

  test('sends a timed message on its own, and shows its recall handle', async () => {
    broker.onSend = (messages) =>
      encodeSendMessageResponse({
        status: OK_STATUS,
        entries: messages.map(({ messageId, deliveryTimestampMs }) => ({
          status: OK_STATUS,
          messageId,
          transactionId: messageId,
          offset: 0,
          recallHandle: deliveryTimestampMs === null ? '' : `handle ${deliveryTimestampMs}`,
        })),
      });
    const deliveryTimestampMs = Date.now() + 60_000;
    const [timed, plain] = await Promise.all([
      producer.send({ topic: 'topic', body: 'a', deliveryTimestampMs }),
      producer.send({ topic: 'topic', body: 'b' }),
    ]);
    expect(timed).toMatchObject({
      queueOffset: -1,
      recallHandle: `handle ${deliveryTimestampMs}`,
    });
    expect(plain).toMatchObject({ queueOffset: 0, recallHandle: '' });
    expect(broker.calls('sendMessage')).toBe(2);
  });

  test('a message is of type DELAY when it has a time', async () => {
    await producer.send({ topic: 'topic', body: 'a', delayMs: 1_000 });
    await producer.send({ topic: 'topic', body: 'b', delayLevel: 0 });
    expect(broker.stored.map((message) => message.messageType)).toEqual([3, 1]);
    expect(broker.stored[0]!.deliveryTimestampMs! - broker.stored[0]!.bornTimestampMs).toBe(1_000);
  });

  test('recalls', async () => {
    expect(await producer.recall('topic', 'h1')).toBe('id of h1');
    expect(broker.recalled).toEqual([
      { topic: { namespace: '', name: 'topic' }, recallHandle: 'h1' },
    ]);
    expect(await codeOf(() => producer.recall('topic', ''))).toBe('RECALL_FAILED');
    broker.recallStatus = { code: statusCode.INTERNAL_SERVER_ERROR, message: 'too late' };
    await expect(producer.recall('topic', 'h2')).rejects.toMatchObject({
      code: 'RECALL_FAILED',
      message: 'too late',
    });
    broker.recallStatus = { code: statusCode.TOO_MANY_REQUESTS, message: 'slow down' };
    expect(await codeOf(() => producer.recall('topic', 'h3'))).toBe('TOO_MANY_REQUESTS');
    await producer.close(0);
    expect(await codeOf(() => producer.recall('topic', 'h4'))).toBe('PRECONDITION_FAILED');
  });
});
