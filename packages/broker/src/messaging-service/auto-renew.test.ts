import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type BrokerStateMachine } from '../state/state-machine.js';
import {
  codeOf,
  ServiceFixture,
  testMessage,
  type SeenMessage,
} from '../testing/service-fixture.js';
import { settle } from '../testing/single-node.js';

const UNSEEN_MS = 300_000;
const NEVER = new AbortController().signal;

let fixture: ServiceFixture;
let term = 1;

beforeEach(async () => {
  term = 1;
  fixture = await ServiceFixture.start({ renewUnseenMs: UNSEEN_MS });
  await fixture.service.putTopic({ name: 'T', type: 'NORMAL', queues: 1, permission: 6 });
});

afterEach(() => fixture.service.stop());

/** The leader is another one from here on: what was in its memory is gone. */
function failover(): void {
  const state: BrokerStateMachine = fixture.state;
  state.roleChanged({ role: 'follower', term: ++term, leaderId: 1, writable: false });
  state.roleChanged({ role: 'leader', term: ++term, leaderId: 0, writable: true });
}

/** A push consumer's poll. */
function poll(clientId: string, attemptId: string | null): Promise<readonly SeenMessage[]> {
  return fixture.receive({ clientId, attemptId, autoRenew: true, invisibleMs: 60_000 });
}

/** The client lives on, and someone else asks for messages now and then: when did it get some? */
async function waitedMs(limitMs: number): Promise<number> {
  for (let ms = 0; ms < limitMs; ms += 10_000) {
    fixture.service.clientSeen('client');
    if ((await fixture.receive({ clientId: 'other' })).length > 0) return ms;
    await fixture.clock.advance(10_000);
  }
  return Infinity;
}

describe('a lease that an earlier leader granted', () => {
  test('is given up after a while when nobody knows whether its client has the messages', async () => {
    await fixture.send('a');
    await poll('client', null);
    failover();
    const ms = await waitedMs(4 * 3_600_000);
    expect(ms).toBeGreaterThanOrEqual(UNSEEN_MS - 10_000);
    expect(ms).toBeLessThanOrEqual(UNSEEN_MS + 20_000);
  });

  test('lives on when the earlier leader saw it given to its client', async () => {
    await fixture.send('a');
    const [got] = await poll('client', null);
    await fixture.clock.advance(10_100);
    failover();
    expect(await waitedMs(2 * 3_600_000)).toBe(Infinity);
    expect(await fixture.ack('g', got!.handle)).toEqual([null]);
  });

  test('lives on when the client acknowledged another message of it, before or after', async () => {
    await fixture.send('a', 'b', 'c');
    const [a, b, c] = await poll('client', null);
    failover();
    await fixture.ack('g', a!.handle);
    expect(await waitedMs(3_600_000)).toBe(Infinity);
    failover();
    expect(await waitedMs(3_600_000)).toBe(Infinity);
    expect(await fixture.ack('g', b!.handle, c!.handle)).toEqual([null, null]);
  });

  test('of an ordered group does not block its queue for hours', async () => {
    await fixture.service.putGroup({ name: 'g', fifo: true, maxAttempts: 17 });
    await fixture.send('a');
    await poll('client', null);
    failover();
    expect(await waitedMs(4 * 3_600_000)).toBeLessThanOrEqual(UNSEEN_MS + 20_000);
  });

  test('is known by its row, which a restart reads', async () => {
    await fixture.send('a', 'b');
    await poll('client', 'attempt-1');
    await fixture.clock.advance(10_100);
    const { state } = fixture.state.tables.delivery('g', 'T', 0)!;
    expect([...state.renewable()]).toMatchObject([{ known: true, attemptId: 'attempt-1' }]);
  });
});

describe('a call that is made again before its first one is answered', () => {
  /** The same attempt, which waits for messages. */
  const waits = (): Promise<readonly SeenMessage[]> =>
    fixture.receive({
      clientId: 'client',
      attemptId: 'attempt-1',
      autoRenew: true,
      pollingMs: 20_000,
    });

  // The group and the secret of handles are there: what is held back is the lease.
  beforeEach(async () => {
    await poll('client', null);
  });

  /** The first call, which found a message and waits for its lease; what came of it. */
  async function underWay(): Promise<{ readonly code: Promise<string> }> {
    await fixture.send('a');
    fixture.node.hold = true;
    const code = codeOf(waits());
    await settle();
    return { code };
  }

  test('takes its place, as nobody listens to the first one', async () => {
    const first = codeOf(waits());
    await settle();
    const second = waits();
    expect(await first).toBe('REQUEST_TIMEOUT');
    await fixture.send('a');
    expect(await second).toMatchObject([{ body: 'a', attempt: 1 }]);
  });

  test('waits for the messages that the first one is being given', async () => {
    const first = await underWay();
    const again = codeOf(poll('client', 'attempt-1'));
    const andAgain = waits();
    await settle();
    // "Nothing" would be the end of the name.
    let early = false;
    void Promise.race([again, andAgain]).then(() => (early = true));
    await fixture.clock.advance(30_000);
    expect(early).toBe(false);
    fixture.node.hold = false;
    fixture.node.commit();
    expect(await first.code).toBe('REQUEST_TIMEOUT');
    // The last one to ask is the one that listens.
    expect(await again).toBe('REQUEST_TIMEOUT');
    expect(await andAgain).toMatchObject([{ body: 'a', attempt: 1 }]);
  });

  test('is refused when the leader cannot give them back, and gets them from the next one', async () => {
    const first = await underWay();
    const again = codeOf(poll('client', 'attempt-1'));
    await settle();
    fixture.node.refuse = 'stopped';
    fixture.node.commit();
    expect(await first.code).toBe('REQUEST_TIMEOUT');
    expect(await again).toBe('HA_NOT_AVAILABLE');
    fixture.node.refuse = null;
    fixture.node.hold = false;
    failover();
    expect(await poll('client', 'attempt-1')).toMatchObject([{ body: 'a', attempt: 1 }]);
  });

  test('waits for a lease of which nobody knows whether it will be, until the leader steps down', async () => {
    const first = await underWay();
    fixture.node.expire();
    expect(await first.code).toBe('REQUEST_TIMEOUT');
    const again = codeOf(poll('client', 'attempt-1'));
    let answered = false;
    void again.then(() => (answered = true));
    await fixture.clock.advance(10_000);
    expect(answered).toBe(false);
    fixture.state.roleChanged({ role: 'follower', term: ++term, leaderId: 1, writable: false });
    expect(await again).toBe('HA_NOT_AVAILABLE');
  });

  test('gets the messages of a lease that is late after all', async () => {
    await underWay();
    fixture.node.expire();
    const again = poll('client', 'attempt-1');
    await settle();
    fixture.node.hold = false;
    fixture.node.commit();
    expect(await again).toMatchObject([{ body: 'a', attempt: 1 }]);
  });
});

describe('a call that comes late', () => {
  const cancelled = { signal: AbortSignal.abort(), clientId: 'client', attemptId: 'attempt-1' };

  beforeEach(async () => {
    await poll('client', null);
  });

  test('and is cancelled already leaves the one that came after it alone', async () => {
    const live = fixture.receive({
      ...cancelled,
      signal: NEVER,
      autoRenew: true,
      pollingMs: 20_000,
    });
    await settle();
    expect(await fixture.receive(cancelled)).toEqual([]);
    await fixture.send('a');
    expect(await live).toMatchObject([{ body: 'a', attempt: 1 }]);
    expect(await fixture.receive(cancelled)).toEqual([]);
    expect(await poll('other', 'attempt-2')).toEqual([]);
  });

  test('of another client with the same name has nothing to do with it', async () => {
    await fixture.send('a');
    fixture.node.hold = true;
    const first = codeOf(poll('client', 'attempt-1'));
    await settle();
    const again = poll('client', 'attempt-1');
    const other = poll('other', 'attempt-1');
    await settle();
    fixture.node.hold = false;
    fixture.node.commit();
    expect(await first).toBe('REQUEST_TIMEOUT');
    await fixture.clock.advance(60_000);
    const bodies = (await Promise.all([again, other])).flat().map(({ body }) => body);
    expect(bodies).toEqual(['a']);
  });

  test('ends when its caller expects it, however long it waited for the first one', async () => {
    const first = codeOf(fixture.receive({ ...cancelled, signal: NEVER, pollingMs: 20_000 }));
    await fixture.send('a');
    expect(await first).toBe('OK');
    await fixture.service.putGroup({
      name: 'g',
      fifo: false,
      maxAttempts: 17,
      consumeEnabled: false,
    });
    fixture.node.hold = true;
    // What the first one got is given back first, which takes a while.
    const again = fixture.receive({ ...cancelled, signal: NEVER, pollingMs: 1_000 });
    await fixture.clock.advance(900);
    fixture.node.hold = false;
    fixture.node.commit();
    await settle();
    let ended = false;
    void again.then(() => (ended = true));
    await fixture.clock.advance(200);
    expect(ended).toBe(true);
  });
});

describe('an answer that was lost', () => {
  test('the repeated attempt brings the messages at once, and none of them lost an attempt', async () => {
    await fixture.send('a', 'b');
    await poll('client', 'attempt-1');
    failover();
    const again = await poll('client', 'attempt-1');
    expect(again.map(({ body, attempt }) => [body, attempt])).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
    expect(fixture.service.probe.deliveriesAborted).toBe(1);
  });

  test('within one reign too, and once more', async () => {
    await fixture.send('a');
    for (let round = 0; round < 3; round++) {
      expect(await poll('client', 'attempt-1')).toMatchObject([{ body: 'a', attempt: 1 }]);
    }
  });

  test('what someone else got in between stays with them', async () => {
    await fixture.send('a');
    await poll('client', 'attempt-1');
    fixture.service.clientGone('client', 'g');
    await settle();
    await fixture.clock.advance(1_100);
    const [theirs] = await fixture.receive({ clientId: 'other' });
    expect(await poll('client', 'attempt-1')).toEqual([]);
    expect(await fixture.ack('g', theirs!.handle)).toEqual([null]);
  });

  test('an equal name of another client, group or a new attempt gives nothing back', async () => {
    await fixture.send('a');
    await poll('client', 'attempt-1');
    failover();
    expect(await poll('other', 'attempt-1')).toEqual([]);
    expect(await poll('client', 'attempt-2')).toEqual([]);
    const elsewhere = { attemptId: 'attempt-1', group: 'g2', autoRenew: true, invisibleMs: 60_000 };
    expect(await fixture.receive(elsewhere)).toHaveLength(1);
    expect(await poll('client', 'attempt-2')).toEqual([]);
  });

  test('an ordered queue is looked at first by the call that repeats its attempt', async () => {
    await fixture.service.putTopic({ name: 'T', type: 'NORMAL', queues: 4, permission: 6 });
    await fixture.service.putGroup({ name: 'g', fifo: true, maxAttempts: 17 });
    await fixture.send('a', 'b', 'c', 'd');
    const ordered = { attemptId: 'attempt-1', autoRenew: true, invisibleMs: 60_000, batchSize: 1 };
    const [first] = await fixture.receive(ordered);
    expect(await fixture.receive(ordered)).toMatchObject([{ body: first!.body, attempt: 1 }]);
  });

  test('an ordered batch that the repeated call cannot have goes to whoever comes next', async () => {
    const group = { name: 'g', fifo: true, maxAttempts: 17 };
    await fixture.service.putGroup(group);
    await fixture.send('a');
    expect(await poll('client', 'attempt-1')).toMatchObject([{ body: 'a' }]);
    await fixture.service.putGroup({ ...group, consumeEnabled: false });
    expect(await poll('client', 'attempt-1')).toEqual([]);
    await fixture.service.putGroup(group);
    expect(await poll('other', 'attempt-2')).toMatchObject([{ body: 'a', attempt: 1 }]);
  });

  test('an ordered queue that something of a higher priority goes before is given back', async () => {
    await fixture.service.putTopic({ name: 'P', type: 'PRIORITY', queues: 2, permission: 6 });
    await fixture.service.putGroup({ name: 'g', fifo: true, maxAttempts: 17 });
    const take = (attemptId: string): Promise<readonly SeenMessage[]> =>
      fixture.receive({
        topic: 'P',
        attemptId,
        autoRenew: true,
        invisibleMs: 60_000,
        batchSize: 1,
      });
    await fixture.publish(testMessage('low', { priority: 0 }), 'P');
    expect(await take('attempt-1')).toMatchObject([{ body: 'low' }]);
    await fixture.publish(testMessage('high', { priority: 1 }), 'P');
    expect(await take('attempt-1')).toMatchObject([{ body: 'high' }]);
    expect(await take('attempt-2')).toMatchObject([{ body: 'low', attempt: 1 }]);
  });
});
