import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ALL_MESSAGES, TTL_PROPERTY } from '@raftmq/protocol';
import { ServiceFixture, testMessage } from '../testing/service-fixture.js';

const topic = { name: 'T', type: 'NORMAL', queues: 1, permission: 6 } as const;

let fixture: ServiceFixture;

beforeEach(async () => {
  fixture = await ServiceFixture.start();
  await fixture.service.putTopic(topic);
});
afterEach(() => fixture.service.stop());

const publish = (body: string, ttl: string | null, group: string | null = null): Promise<void> =>
  fixture.publish(
    testMessage(body, {
      messageGroup: group,
      userProperties: ttl === null ? [] : [TTL_PROPERTY, ttl],
    }),
    group === null ? 'T' : 'F',
  );

const bodies = async (fields: Parameters<ServiceFixture['receive']>[0] = {}): Promise<string[]> =>
  (await fixture.receive(fields)).map(({ body }) => body);

describe('a message with a time to live', () => {
  test('is handed out until it is over, and never after', async () => {
    await publish('short', '2s');
    await publish('ever', null);
    await publish('long', '1h');
    await fixture.clock.advance(1_999);
    expect(await bodies({ group: 'early' })).toEqual(['short', 'ever', 'long']);
    await fixture.clock.advance(1);
    expect(await bodies({ group: 'late' })).toEqual(['ever', 'long']);
    expect(fixture.service.probe.messagesExpired).toBe(1);
    // It counts as consumed: once the others are, nothing is left of the queue.
    await fixture.clock.advance(20_000);
    const again = await fixture.receive({ group: 'late' });
    expect(again.map(({ body }) => body)).toEqual(['ever', 'long']);
    await fixture.ack('late', ...again.map(({ handle }) => handle));
    const queue = { group: 'late', topic: 'T', queueId: 0 };
    expect(await fixture.service.committedOffset(queue)).toBe(3);
  });

  test('does not come again when it failed and its time is over', async () => {
    await publish('x', '15s');
    expect(await bodies()).toEqual(['x']);
    await fixture.clock.advance(10_000);
    expect(await bodies()).toEqual(['x']);
    await fixture.clock.advance(10_000);
    expect(await bodies()).toEqual([]);
    expect(fixture.service.probe.messagesExpired).toBe(1);
  });

  test('does not hold up the order behind it', async () => {
    await fixture.service.putTopic({ ...topic, name: 'F', type: 'FIFO' });
    await fixture.service.putGroup({ name: 'g', fifo: true, maxAttempts: 17 });
    await publish('1', '15s', 'a');
    await publish('2', null, 'a');
    expect(await bodies({ topic: 'F', batchSize: 1 })).toEqual(['1']);
    await fixture.clock.advance(20_000);
    expect(await bodies({ topic: 'F', batchSize: 1 })).toEqual(['2']);
  });

  test('is passed over by pull calls too', async () => {
    await publish('short', '2s');
    await publish('ever', null);
    await bodies();
    await fixture.clock.advance(3_000);
    const pulled = await fixture.service.pull({
      group: 'g',
      topic: 'T',
      queueId: 0,
      offset: 0,
      batchSize: 32,
      pollingMs: 0,
      filter: ALL_MESSAGES,
      signal: new AbortController().signal,
    });
    expect(pulled).toMatchObject({ nextOffset: 2 });
    expect(pulled.records).toHaveLength(1);
  });
});
