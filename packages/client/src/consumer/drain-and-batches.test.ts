import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DEAD_LETTER_REASON_HEADER } from '@raftmq/protocol';
import { FakeBroker, fakeMessage, until } from '../testing/fake-broker.js';
import { PushConsumer, type PushConsumerOptions, RejectedMessage } from './push-consumer.js';

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

async function start(options: Partial<PushConsumerOptions>): Promise<void> {
  consumer = new PushConsumer({
    endpoints: broker.endpoints,
    group: 'group',
    subscriptions: { topic: '*' },
    ...options,
  });
  await consumer.start();
}

function nothing(): void {
  // Succeeds.
}

const ackedIds = (): string[] => broker.acked.map(({ messageId }) => messageId).sort();

describe('closing', () => {
  test('finishes and acknowledges what is worked on, gives the rest back at once, uncounted', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const begun: string[] = [];
    for (let i = 0; i < 6; i++) broker.offer('topic', fakeMessage(`m${i}`));
    await start({
      concurrency: 2,
      listener: async (message) => {
        begun.push(message.messageId);
        await gate;
      },
    });
    await until(() => begun.length === 2 && consumer.held >= 6);
    const closed = consumer.close();
    await until(() => broker.changed.length === 4);
    expect(broker.changed.map(({ messageId }) => messageId)).toEqual(['m2', 'm3', 'm4', 'm5']);
    for (const { invisibleMs, suspend } of broker.changed)
      expect([invisibleMs, suspend]).toEqual([0, true]);
    expect(broker.acked).toEqual([]);
    release();
    await closed;
    expect(ackedIds()).toEqual(['m0', 'm1']);
    expect(begun).toHaveLength(2);
    expect(broker.terminated).toHaveLength(1);
  });

  test('an ordered group gives back what waits for its next attempt, too', async () => {
    broker.settings = {
      fifo: true,
      backoffPolicy: { maxAttempts: 9, customizedBackoff: { next: [{ seconds: 60, nanos: 0 }] } },
    };
    for (let i = 0; i < 3; i++)
      broker.offer('topic', fakeMessage(`m${i}`, { messageGroup: 'one' }));
    let failed = 0;
    await start({
      listener: () => {
        failed++;
        throw new Error('not yet');
      },
    });
    await until(() => failed === 1 && consumer.held >= 3);
    await consumer.close();
    expect(broker.changed.map(({ messageId }) => messageId).sort()).toEqual(['m0', 'm1', 'm2']);
    expect(broker.deadLettered).toEqual([]);
    expect(failed).toBe(1);
  });

  test('does not wait longer than it was told', async () => {
    broker.offer('topic', fakeMessage('slow'));
    let working = false;
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    await start({
      listener: (): Promise<void> => {
        working = true;
        return gate;
      },
    });
    await until(() => working);
    await consumer.close(20);
    expect(broker.acked).toEqual([]);
    release();
  });
});

describe('batches', () => {
  test('hold what a poll brought, up to the maximum, and succeed together', async () => {
    const sizes: number[] = [];
    for (let i = 0; i < 7; i++) broker.offer('topic', fakeMessage(`m${i}`));
    await start({
      batchSizeMax: 3,
      batchListener: (messages) => void sizes.push(messages.length),
    });
    await until(() => broker.acked.length === 7);
    expect(sizes.sort()).toEqual([1, 3, 3]);
  });

  test('fail together', async () => {
    broker.settings = {
      backoffPolicy: { maxAttempts: 2, customizedBackoff: { next: [{ seconds: 5, nanos: 0 }] } },
    };
    for (let i = 0; i < 3; i++) broker.offer('topic', fakeMessage(`m${i}`));
    await start({
      batchListener: () => {
        throw new Error('none of them');
      },
    });
    await until(() => broker.changed.length === 3);
    expect(broker.changed.map(({ invisibleMs }) => invisibleMs)).toEqual([5_000, 5_000, 5_000]);
  });

  test('of an ordered group keep to one message group each', async () => {
    broker.settings = { fifo: true };
    const seen: string[] = [];
    for (const [id, messageGroup] of [
      ['a1', 'a'],
      ['b1', 'b'],
      ['a2', 'a'],
      ['a3', 'a'],
      ['b2', 'b'],
    ] as const)
      broker.offer('topic', fakeMessage(id, { messageGroup }));
    await start({
      batchSizeMax: 2,
      batchListener: (messages) => void seen.push(messages.map((m) => m.messageId).join()),
    });
    await until(() => broker.acked.length === 5);
    expect(seen.filter((batch) => batch.startsWith('a'))).toEqual(['a1,a2', 'a3']);
    expect(seen.filter((batch) => batch.startsWith('b'))).toEqual(['b1,b2']);
  });

  test.each([
    [{}, 'give a listener'],
    [{ listener: nothing, batchListener: nothing }, 'not both'],
    [{ listener: nothing, messageModel: 'broadcasting', liteTopics: true }, 'lite topics cannot'],
  ] as const)('options that do not go together: %#', async (options, text) => {
    await start({ listener: (): void => undefined });
    expect(
      () =>
        new PushConsumer({
          endpoints: broker.endpoints,
          group: 'g',
          subscriptions: { topic: '*' },
          ...options,
        }),
    ).toThrow(text);
  });
});

describe('a message that the listener rejects', () => {
  test.each([false, true])(
    'goes to the dead-letter queue at once, with the reason (fifo %s)',
    async (fifo) => {
      broker.settings = { fifo };
      broker.offer('topic', fakeMessage('m'));
      await start({
        listener: () => {
          throw new RejectedMessage('kein Kunde\n😀');
        },
      });
      await until(() => broker.deadLettered.length === 1);
      const reason = broker.headersSeen
        .map((headers) => headers[DEAD_LETTER_REASON_HEADER])
        .find((header) => header !== undefined);
      expect(decodeURIComponent(reason!)).toBe('kein Kunde\n😀');
      expect(broker.deadLettered[0]).toMatchObject({ messageId: 'm', maxDeliveryAttempts: 0 });
      expect(broker.changed).toEqual([]);
    },
  );
});
