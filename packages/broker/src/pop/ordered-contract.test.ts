import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ServiceFixture, type SeenMessage } from '../testing/service-fixture.js';

/*
 * The checks that the contract of ordered groups names, one by one, through the whole service: a batch is three messages,
 * invisible for ten seconds.
 */

let fixture: ServiceFixture;
beforeEach(async () => {
  fixture = await ServiceFixture.start();
  await fixture.service.putTopic({ name: 'T', type: 'FIFO', queues: 1, permission: 6 });
  await fixture.service.putGroup({ name: 'o', fifo: true, maxAttempts: 5 });
  await fixture.send('1', '2', '3', '4', '5');
});
afterEach(() => fixture.service.stop());

const receive = (attemptId: string | null, batchSize = 3): Promise<readonly SeenMessage[]> =>
  fixture.receive({ group: 'o', attemptId, batchSize });
const shown = (messages: readonly SeenMessage[]): string =>
  messages.map(({ body, attempt }) => `${body}#${attempt}`).join(' ');
const ack = (...messages: readonly (SeenMessage | undefined)[]) =>
  fixture.ack('o', ...messages.map((message) => message!.handle));

describe('an ordered group', () => {
  test('(a) the same attempt within the invisible time gets the same batch, (e) with the same attempt numbers', async () => {
    expect(shown(await receive('x'))).toBe('1#1 2#1 3#1');
    await fixture.clock.advance(5_000);
    expect(shown(await receive('x'))).toBe('1#1 2#1 3#1');
    // The repeated delivery has an invisible time of its own.
    await fixture.clock.advance(9_000);
    expect(await receive('y')).toEqual([]);
  });

  test('(b) another attempt gets nothing until the time is over', async () => {
    await receive('x');
    expect(await receive('y')).toEqual([]);
    expect(await receive(null)).toEqual([]);
    await fixture.clock.advance(9_999);
    expect(await receive('y')).toEqual([]);
    await fixture.clock.advance(1);
    expect(shown(await receive('y'))).toBe('1#2 2#2 3#2');
  });

  test('(c) all acknowledged: the next messages come at once', async () => {
    const batch = await receive('x');
    const waiting = fixture.receive({ group: 'o', attemptId: 'y', batchSize: 3, pollingMs: 9_000 });
    expect(await ack(...batch)).toEqual([null, null, null]);
    expect(shown(await waiting)).toBe('4#1 5#1');
  });

  test('(d) only the second is acknowledged: all three come again, (e) as their second delivery', async () => {
    const batch = await receive('x');
    await ack(batch[1]);
    await fixture.clock.advance(10_001);
    expect(shown(await receive('y'))).toBe('1#2 2#2 3#2');
  });

  test('the first is acknowledged: the queue starts again behind it', async () => {
    const batch = await receive('x');
    await ack(batch[0]);
    await fixture.clock.advance(10_001);
    expect(shown(await receive('y', 2))).toBe('2#2 3#2');
  });

  test('one acknowledged in the middle, then a smaller batch: it comes once more behind that', async () => {
    const batch = await receive('x');
    await ack(batch[1]);
    await fixture.clock.advance(10_001);
    // Section 4.7 of the contract: everything behind the first message without an ack is delivered again.
    const first = await receive('y', 1);
    expect(shown(first)).toBe('1#2');
    await ack(...first);
    expect(shown(await receive('z', 3))).toBe('2#2 3#2 4#1');
  });

  test('old handles: ignored when the answer was repeated, refused when the batch was delivered again', async () => {
    const lost = await receive('x');
    const repeated = await receive('x');
    expect(await ack(lost[0])).toEqual([null]);
    expect(await receive('y')).toEqual([]);
    await ack(...repeated);
    const next = await receive('y');
    expect(shown(next)).toBe('4#1 5#1');
    await fixture.clock.advance(10_001);
    await receive('z');
    expect(await ack(next[0])).toEqual(['INVALID_RECEIPT_HANDLE']);
  });

  test('attempts used up: it goes to the dead-letter queue and the queue moves on', async () => {
    await fixture.service.putGroup({ name: 'o', fifo: true, maxAttempts: 2 });
    for (let attempt = 1; attempt <= 2; attempt++) {
      const batch = await receive(`a${attempt}`, 2);
      expect(shown(batch)).toBe(`1#${attempt} 2#${attempt}`);
      if (attempt === 2) await ack(batch[1]);
      await fixture.clock.advance(10_001);
    }
    expect(shown(await receive('b', 2))).toBe('3#1 4#1');
    const { letters } = await fixture.service.deadLetterDesk.page('o', 0, 9);
    expect(letters.map(({ messageId, attempts }) => [messageId, attempts])).toEqual([['id-1', 2]]);
  });
});
