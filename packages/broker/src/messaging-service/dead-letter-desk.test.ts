import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { decodeStoredMessage } from '@raftmq/protocol';
import { type TopicConfig } from '../messaging.js';
import { codeOf, ServiceFixture, testMessage } from '../testing/service-fixture.js';

const topic: TopicConfig = { name: 'T', type: 'NORMAL', queues: 2, permission: 6 };
let fixture: ServiceFixture;

beforeEach(async () => {
  fixture = await ServiceFixture.start();
  await fixture.service.putTopic(topic);
  await fixture.service.putGroup({ name: 'g', fifo: false, maxAttempts: 2 });
});
afterEach(() => fixture.service.stop());

/** Lets every message of the group fail until it is dead. */
async function bury(...bodies: readonly string[]): Promise<void> {
  for (const body of bodies)
    await fixture.publish(testMessage(body, { userProperties: ['shop', body], tag: 'x' }));
  for (let attempt = 0; attempt < 3; attempt++) {
    await fixture.receive({ batchSize: 32 });
    await fixture.clock.advance(10_001);
  }
}

describe('dead letters', () => {
  test('say where they come from, why they are here, and when it was tried', async () => {
    const startedMs = fixture.clock.wallMs();
    await bury('a');
    const [page] = [await fixture.service.deadLetterDesk.page('g', 0, 10)];
    expect(page).toMatchObject({ nextOffset: 1, endOffset: 1 });
    expect(page.letters[0]).toEqual({
      queueOffset: 0,
      messageId: 'id-a',
      originTopic: 'T',
      originQueueId: 0,
      originQueueOffset: 0,
      reason: 'attempts used up',
      attempts: 2,
      firstDeliveryMs: startedMs,
      lastDeliveryMs: startedMs + 10_001,
      storedMs: startedMs + 20_002,
      tag: 'x',
      keys: [],
      properties: new Map([['shop', 'a']]),
      bodySizeBytes: 1,
      resent: false,
    });
    // Readers of the topic see the same.
    const [read] = await fixture.service.receive({
      group: 'reader',
      topic: '%DLQ%g',
      queueId: null,
      batchSize: 1,
      invisibleMs: 10_000,
      autoRenew: false,
      clientId: 'c',
      pollingMs: 0,
      filter: { key: '*', tags: null, tagHashes: null, sql: null },
      attemptId: null,
      signal: new AbortController().signal,
    });
    expect(decodeStoredMessage(read!.record).userProperties).toEqual([
      'DLQ_REASON',
      'attempts used up',
      'DLQ_ATTEMPTS',
      '2',
      'DLQ_FIRST_DELIVERY_MS',
      String(startedMs),
      'DLQ_LAST_DELIVERY_MS',
      String(startedMs + 10_001),
      'DLQ_ORIGIN_QUEUE_ID',
      '0',
      'DLQ_ORIGIN_QUEUE_OFFSET',
      '0',
      'shop',
      'a',
    ]);
  });

  test('carry the reason that a consumer gave', async () => {
    await fixture.send('a');
    const [a] = await fixture.receive();
    const target = { messageId: 'id-a', receiptHandle: a!.handle };
    const cause = { reason: 'no such customer', attempts: 1 };
    await fixture.service.forwardToDeadLetterQueue('g', 'T', target, cause);
    const { letters } = await fixture.service.deadLetterDesk.page('g', 0, 10);
    expect(letters[0]).toMatchObject({ reason: 'no such customer', attempts: 1 });
  });

  test('come page by page', async () => {
    await bury('a', 'b', 'c');
    const { deadLetterDesk } = fixture.service;
    const first = await deadLetterDesk.page('g', 0, 2);
    expect(first.letters).toHaveLength(2);
    const second = await deadLetterDesk.page('g', first.nextOffset, 2);
    expect(second.letters.map((letter) => letter.queueOffset)).toEqual([2]);
    expect(second.nextOffset).toBe(second.endOffset);
    fixture.queueIndex.forgetBelow('%DLQ%g', 0, 2);
    expect((await deadLetterDesk.page('g', 0, 9)).letters).toHaveLength(1);
    await fixture.service.putGroup({ name: 'quiet', fifo: false, maxAttempts: 2 });
    expect(await deadLetterDesk.page('quiet', 0, 9)).toEqual({
      letters: [],
      nextOffset: 0,
      endOffset: 0,
    });
    expect(await codeOf(deadLetterDesk.page('nobody', 0, 9))).toBe('CONSUMER_GROUP_NOT_FOUND');
  });
});

describe('sending dead letters again', () => {
  test('puts them back where they came from, as they were sent, and only once', async () => {
    await bury('a', 'b');
    const { deadLetterDesk } = fixture.service;
    expect(await deadLetterDesk.resend('g', [0, 1])).toEqual([
      { queueOffset: 0, error: null, sent: true },
      { queueOffset: 1, error: null, sent: true },
    ]);
    expect(await deadLetterDesk.resend('g', [1])).toEqual([
      { queueOffset: 1, error: null, sent: false },
    ]);
    const { letters } = await deadLetterDesk.page('g', 0, 9);
    expect(letters.map(({ resent }) => resent)).toEqual([true, true]);
    const again = await fixture.receive();
    expect(again.map(({ body, attempt }) => [body, attempt]).sort()).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
    const slice = fixture.queueIndex.read('T', 1, 1, 1);
    const record = fixture.node.log.cachedRecord(slice.positions[0]!, slice.sizesBytes[0]!)!;
    expect(decodeStoredMessage(record)).toMatchObject({
      messageId: 'id-b',
      queueId: 1,
      userProperties: ['shop', 'b'],
      tag: 'x',
    });
    expect(fixture.service.probe.deadLettersResent).toBe(2);
  });

  test('a letter that dies again is a new letter', async () => {
    await bury('a');
    await fixture.service.deadLetterDesk.resend('g', [0]);
    await bury();
    const { letters } = await fixture.service.deadLetterDesk.page('g', 0, 9);
    expect(letters).toMatchObject([
      { resent: true, originQueueOffset: 0 },
      { resent: false, originQueueOffset: 1, attempts: 2, properties: new Map([['shop', 'a']]) },
    ]);
  });

  test('says what cannot be sent, and sends the rest', async () => {
    await fixture.service.putTopic({ ...topic, name: 'U' });
    await bury('a');
    await fixture.publish(testMessage('u'), 'U');
    for (let attempt = 0; attempt < 3; attempt++) {
      await fixture.receive({ topic: 'U' });
      await fixture.clock.advance(10_001);
    }
    await fixture.service.deleteTopic('U');
    const outcomes = await fixture.service.deadLetterDesk.resend('g', [1, 0, 7]);
    expect(outcomes.map(({ error, sent }) => [error?.code ?? null, sent])).toEqual([
      ['TOPIC_NOT_FOUND', false],
      [null, true],
      ['MESSAGE_NOT_FOUND', false],
    ]);
    const many = Array.from({ length: 65 }, (_, i) => i);
    expect(await codeOf(fixture.service.deadLetterDesk.resend('g', many))).toBe('BAD_REQUEST');
  });

  test('an outcome that is not known keeps the letter from being sent twice', async () => {
    await bury('a');
    const { deadLetterDesk } = fixture.service;
    fixture.node.refuse = 'unknown';
    const [unknown] = await deadLetterDesk.resend('g', [0]);
    expect(unknown!.error?.code).toBe('REQUEST_TIMEOUT');
    fixture.node.refuse = null;
    const [undecided] = await deadLetterDesk.resend('g', [0]);
    expect(undecided!.error?.code).toBe('REQUEST_TIMEOUT');
    // A new leadership knows: it never entered the log.
    fixture.state.roleChanged({ role: 'leader', term: 2, leaderId: 0, writable: true });
    expect(await deadLetterDesk.resend('g', [0])).toMatchObject([{ sent: true }]);
  });

  test('two calls at once send a letter once', async () => {
    await bury('a');
    const { deadLetterDesk } = fixture.service;
    const both = await Promise.all([
      deadLetterDesk.resend('g', [0]),
      deadLetterDesk.resend('g', [0]),
    ]);
    expect(both.flat().filter(({ sent }) => sent)).toHaveLength(1);
    expect(await fixture.receive()).toHaveLength(1);
  });
});

describe('auto-renew that gives up', () => {
  test('puts the message off as the group’s policy says', async () => {
    await fixture.service.putGroup({
      name: 'g',
      fifo: false,
      maxAttempts: 5,
      retryPolicy: { kind: 'list', waitsMs: [1_800_000] },
    });
    await fixture.send('a');
    await fixture.receive({ autoRenew: true, invisibleMs: 60_000, clientId: 'alive' });
    const startedMs = fixture.clock.wallMs();
    const visibleAfterMs = async (): Promise<number> => {
      for (;;) {
        fixture.service.clientSeen('alive');
        await fixture.clock.advance(60_000);
        const state = fixture.state.tables.delivery('g', 'T', 0)!.state;
        if ([...state.renewable()].length === 0) return state.earliestVisibleAtMs() - startedMs;
      }
    };
    // Three hours of leases, then the wait of the policy.
    expect(await visibleAfterMs()).toBe(3 * 3_600_000 + 1_800_000);
  });
});
