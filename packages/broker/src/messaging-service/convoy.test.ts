import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createPrng } from '@raftmq/base';
import { settle } from '../testing/single-node.js';
import { type SeenMessage, ServiceFixture, testMessage } from '../testing/service-fixture.js';

let fixture: ServiceFixture;

async function start(queues: number): Promise<void> {
  fixture = await ServiceFixture.start({ pollersPerQueueMax: 100, pollersMax: 100 });
  await fixture.service.putTopic({ name: 'T', type: 'NORMAL', queues, permission: 6 });
  // The secret of handles and the group are there before anything is counted.
  await fixture.receive();
}

beforeEach(() => start(1));
afterEach(() => fixture.service.stop());

function numbers(from: number, end: number): string[] {
  return Array.from({ length: end - from }, (_, i) => String(from + i));
}

function bodies(answers: readonly (readonly SeenMessage[])[]): string[] {
  return answers.flat().map(({ body }) => body);
}

test('calls that wait for one queue are served by one proposal, in order and without overlap', async () => {
  const polls = numbers(0, 10).map(() => fixture.receive({ pollingMs: 5_000, batchSize: 4 }));
  await settle();
  fixture.node.hold = true;
  const sent = fixture.send(...numbers(0, 1));
  await settle();
  fixture.node.hold = false;
  fixture.node.commit();
  await sent;
  await settle();
  // One message wakes one call; the next ones find a queue that has more.
  for (const body of numbers(1, 37)) void fixture.send(body);
  const before = fixture.node.proposed;
  await settle();
  const answers = await Promise.all(polls);
  expect(bodies(answers).sort((a, b) => Number(a) - Number(b))).toEqual(numbers(0, 37));
  // 36 sends, and one delivery for nine calls.
  expect(fixture.node.proposed - before).toBe(1);
});

test('what a call in the middle leaves behind when its caller goes away comes again', async () => {
  await fixture.send(...numbers(0, 12));
  fixture.node.hold = true;
  const gone = new AbortController();
  const polls = [0, 1, 2].map((i) =>
    fixture.receive({ batchSize: 4, ...(i === 1 ? { signal: gone.signal } : {}) }),
  );
  await settle();
  expect(fixture.node.waiting).toBe(1);
  gone.abort();
  fixture.node.hold = false;
  fixture.node.commit();
  expect((await Promise.all(polls)).map((answer) => answer.map(({ body }) => body))).toEqual([
    ['0', '1', '2', '3'],
    [],
    ['8', '9', '10', '11'],
  ]);
  await settle();
  const again = await fixture.receive();
  expect(again.map(({ body, attempt }) => [body, attempt])).toEqual(
    numbers(4, 8).map((body) => [body, 1]),
  );
});

test('a caller that goes away before the proposal does not take away what others stand on', async () => {
  await fixture.send(...numbers(0, 8));
  const gone = new AbortController();
  const first = fixture.receive({ batchSize: 4, signal: gone.signal });
  const second = fixture.receive({ batchSize: 4 });
  gone.abort();
  expect([await first, bodies([await second])]).toEqual([[], numbers(4, 8)]);
  await settle();
  expect(bodies([await fixture.receive()])).toEqual(numbers(0, 4));
});

test('a refused proposal takes nothing', async () => {
  await fixture.send(...numbers(0, 8));
  fixture.node.refuse = 'overloaded';
  const calls = [0, 1].map(() => fixture.receive({ batchSize: 4 }).catch(() => []));
  expect(await Promise.all(calls)).toEqual([[], []]);
  fixture.node.refuse = null;
  expect(bodies([await fixture.receive()])).toEqual(numbers(0, 8));
});

test('retries are shared between the calls, too', async () => {
  await fixture.send(...numbers(0, 8));
  await fixture.receive();
  await fixture.clock.advance(11_000);
  await fixture.send(...numbers(8, 10));
  const calls = await Promise.all([0, 1].map(() => fixture.receive({ batchSize: 5 })));
  expect(bodies(calls).sort((a, b) => Number(a) - Number(b))).toEqual(numbers(0, 10));
  expect(calls.flat().filter(({ attempt }) => attempt === 2)).toHaveLength(8);
});

test('the limit of unacknowledged messages holds for all calls together', async () => {
  fixture.service.stop();
  fixture = await ServiceFixture.start({ openMessagesMax: 32 });
  await fixture.service.putTopic({ name: 'T', type: 'NORMAL', queues: 1, permission: 6 });
  await fixture.receive();
  await fixture.send(...numbers(0, 50));
  const calls = [0, 1, 2].map(() =>
    fixture.receive({ batchSize: 16, pollingMs: 1_000 }).catch(() => []),
  );
  await settle();
  await fixture.clock.advance(1_100);
  expect((await Promise.all(calls)).flat()).toHaveLength(32);
});

test('random calls, departures, refusals and expiries lose nothing and hand out nothing twice at a time', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    fixture.service.stop();
    await start(1 + (seed % 3));
    const prng = createPrng(seed);
    const { clock, node, state } = fixture;
    const heldUntilMs = new Map<string, number>();
    const done = new Set<string>();
    let sent = 0;
    const take = async (abort: AbortController, pollingMs: number): Promise<void> => {
      const fields = { batchSize: prng.integer(1, 8), pollingMs };
      const got = await fixture
        .receive({ ...fields, signal: abort.signal })
        .catch((): readonly SeenMessage[] => []);
      for (const { body } of got) {
        expect(`seed ${seed}: ${body} held until ${heldUntilMs.get(body) ?? 0}`).toBe(
          `seed ${seed}: ${body} held until ${Math.min(heldUntilMs.get(body) ?? 0, clock.wallMs())}`,
        );
        expect(done.has(body)).toBe(false);
        heldUntilMs.set(body, state.lastStoreTimestampMs + 10_000);
      }
      const acked = got.filter(() => prng.chance(0.7));
      if (acked.length === 0) return;
      const targets = acked.map(({ handle }) => ({ messageId: '', receiptHandle: handle }));
      const answers = await fixture.service.ack('g', 'T', targets).catch(() => null);
      acked.forEach(({ body }, i) => {
        if (answers?.[i] === null) done.add(body);
      });
    };
    const running = new Set<Promise<void>>();
    for (let step = 0; step < 60; step++) {
      node.refuse = prng.chance(0.1) ? 'overloaded' : null;
      if (node.refuse === null && prng.chance(0.6)) {
        const count = prng.integer(1, 12);
        const messages = numbers(sent, (sent += count)).map((body) => testMessage(body));
        await fixture.service.send(fixture.service.topic('T')!, messages);
      }
      for (let calls = prng.integer(0, 5); calls > 0; calls--) {
        const abort = new AbortController();
        const call: Promise<void> = take(abort, prng.pick([0, 50, 2_000])).finally(() =>
          running.delete(call),
        );
        running.add(call);
        if (prng.chance(0.2)) void Promise.resolve().then(() => abort.abort());
        else if (prng.chance(0.2)) setImmediate(() => abort.abort());
      }
      if (prng.chance(0.5)) await settle();
      if (prng.chance(0.1)) await clock.advance(prng.integer(1, 6_000));
    }
    node.refuse = null;
    for (let i = 0; i < 10 && running.size > 0; i++) await clock.advance(1_000);
    expect(running.size).toBe(0);
    for (let round = 0; round < 200 && done.size < sent; round++) {
      await take(new AbortController(), 0);
      if (round % 10 === 9) await clock.advance(10_001);
    }
    expect(`seed ${seed}: ${done.size} of ${sent}`).toBe(`seed ${seed}: ${sent} of ${sent}`);
  }
});
