import { beforeEach, describe, expect, test } from '@jest/globals';
import { createPrng, defaultsOf, isMqError, silentLogger } from '@raftmq/base';
import {
  ALL_MESSAGES,
  fifoQueueIndex,
  liteAction,
  storedBody,
  storedLiteTopic,
  type LiteStart,
} from '@raftmq/protocol';
import { MessagingService } from '../messaging-service/messaging-service.js';
import { messagingServiceSettings } from '../messaging-service/settings.js';
import { type DeliveredMessage, type ReceiveRequest } from '../messaging.js';
import { Checkpoints } from '../state/checkpoints.js';
import { openBrokerState } from '../state/recovery.js';
import {
  ManualClock,
  MemoryQueueIndex,
  MemoryStateStore,
  settle,
  SingleNode,
  unexpectedFatal,
} from '../testing/single-node.js';
import { stateSettings } from '../state/settings.js';
import { type BrokerStateMachine } from '../state/state-machine.js';

const settings = {
  ...defaultsOf(messagingServiceSettings),
  liteTopicsMax: 40,
  liteSubscriptionsMax: 20,
  liteTopicIdleMs: 600_000,
};

/** A leader over memory that can be restarted from its last checkpoint. */
class Leader {
  readonly clock = new ManualClock();
  readonly node = new SingleNode(this.clock);
  readonly stateStore = new MemoryStateStore();
  queueIndex = new MemoryQueueIndex();
  state!: BrokerStateMachine;
  service!: MessagingService;
  #checkpoints!: Checkpoints;
  #term = 0;

  async start(): Promise<void> {
    const { node, clock, queueIndex, stateStore } = this;
    const logger = silentLogger;
    const onFatal = unexpectedFatal;
    const { log } = node;
    this.state = await openBrokerState({ stateStore, queueIndex, log, logger, onFatal });
    this.#checkpoints = new Checkpoints({
      state: this.state,
      queueIndex,
      stateStore,
      log,
      clock,
      logger,
      settings: defaultsOf(stateSettings),
      onFatal,
    });
    for (const entry of log.read(this.state.appliedIndex + 1, log.lastIndex)) {
      this.state.apply(entry, null);
    }
    node.machines.length = 0;
    node.machines.push(this.state);
    this.service = new MessagingService({
      state: this.state,
      proposer: node,
      queueIndex,
      log,
      clock,
      logger,
      settings,
      brokerGroup: 'broker-a',
    });
    this.#term++;
    this.state.roleChanged({ role: 'leader', term: this.#term, leaderId: 0, writable: true });
    await settle();
  }

  /** Another leader takes over: from the last checkpoint and the log behind it. */
  async failOver(): Promise<void> {
    this.service.stop();
    this.state.setListener(null);
    await this.start();
  }

  checkpoint(): Promise<void> {
    return this.#checkpoints.save();
  }

  async send(liteTopic: string, body: string): Promise<void> {
    await this.service.send(this.service.topic('L')!, [
      {
        messageId: `id-${body}`,
        body: Buffer.from(body),
        tag: null,
        keys: [],
        userProperties: [],
        messageGroup: null,
        traceContext: null,
        liteTopic,
        bornTimestampMs: 1,
        bornHost: 'host',
        gzip: false,
      },
    ]);
  }

  subscribe(
    clientId: string,
    names: readonly string[],
    action: number = liteAction.COMPLETE_ADD,
    start: LiteStart | null = null,
    group = 'g',
  ): Promise<void> {
    return this.service.syncLiteSubscription({ topic: 'L', group, clientId, action, names, start });
  }

  receive(
    clientId: string,
    fields: Partial<ReceiveRequest> = {},
  ): Promise<readonly DeliveredMessage[]> {
    return this.service.receive({
      group: 'g',
      topic: 'L',
      queueId: null,
      batchSize: 16,
      invisibleMs: 10_000,
      autoRenew: false,
      clientId,
      pollingMs: 0,
      filter: ALL_MESSAGES,
      attemptId: null,
      signal: new AbortController().signal,
      ...fields,
    });
  }

  async ack(messages: readonly DeliveredMessage[], group = 'g'): Promise<void> {
    const targets = messages.map(({ receiptHandle }) => ({ messageId: '', receiptHandle }));
    expect(await this.service.ack(group, 'L', targets)).toEqual(targets.map(() => null));
  }
}

const bodies = (messages: readonly DeliveredMessage[]): string[] =>
  messages.map(({ record }) => storedBody(record).toString());

let leader: Leader;
beforeEach(async () => {
  leader = new Leader();
  await leader.start();
  await leader.service.putTopic({ name: 'L', type: 'LITE', queues: 2, permission: 6 });
});

describe('lite topics', () => {
  test('a client gets the messages of its lite topics, and no others', async () => {
    for (const name of ['a', 'b', 'c']) {
      for (let i = 0; i < 3; i++) await leader.send(name, `${name}${i}`);
    }
    expect(await leader.receive('one')).toEqual([]);
    await leader.subscribe('one', ['a']);
    await leader.subscribe('two', ['b', 'c', 'd']);
    const one = await leader.receive('one');
    expect(bodies(one)).toEqual(['a0', 'a1', 'a2']);
    const two = await leader.receive('two');
    expect(bodies(two).sort()).toEqual(['b0', 'b1', 'b2', 'c0', 'c1', 'c2']);
    await leader.ack([...one, ...two]);
    await leader.send('d', 'd0');
    expect(bodies(await leader.receive('two'))).toEqual(['d0']);
    expect(await leader.receive('one')).toEqual([]);
  });

  test('a message on its way to a topic that is made anew with other queues is refused, and stops nobody', async () => {
    const { node, service } = leader;
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const moved = names.filter((name) => fifoQueueIndex(name, 2) !== fifoQueueIndex(name, 3));
    expect(new Set(moved.map((name) => fifoQueueIndex(name, 2))).size).toBe(2);
    node.hold = true;
    const remade = [
      service.deleteTopic('L'),
      service.putTopic({ name: 'L', type: 'LITE', queues: 3, permission: 6 }),
    ];
    const sent = Promise.allSettled(moved.map((name) => leader.send(name, `old ${name}`)));
    await settle();
    node.commit();
    node.hold = false;
    await Promise.all(remade);
    for (const outcome of await sent)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'TOPIC_NOT_FOUND' } });
    // The queues that took them go on, too.
    await leader.subscribe('one', names);
    for (const name of names) await leader.send(name, `new ${name}`);
    const got = bodies(await leader.receive('one'));
    expect(got.sort()).toEqual(names.map((name) => `new ${name}`));
  });

  test('a waiting poll wakes for its own lite topics, and when it subscribes to one that has messages', async () => {
    await leader.subscribe('one', ['a']);
    await leader.send('b', 'b0');
    let got: readonly DeliveredMessage[] | null = null;
    const polling = leader.receive('one', { pollingMs: 10_000 }).then((messages) => {
      got = messages;
    });
    await settle();
    expect(got).toBeNull();
    await leader.subscribe('one', ['b'], liteAction.PARTIAL_ADD);
    await settle();
    await polling;
    expect(bodies(got!)).toEqual(['b0']);
    const second = leader.receive('one', { pollingMs: 10_000 });
    await settle();
    await leader.send('a', 'a0');
    expect(bodies(await second)).toEqual(['a0']);
  });

  test('what is not acknowledged comes again, to any subscriber of the group', async () => {
    await leader.subscribe('one', ['a']);
    await leader.subscribe('two', ['a']);
    await leader.send('a', 'a0');
    expect(bodies(await leader.receive('one'))).toEqual(['a0']);
    expect(await leader.receive('two')).toEqual([]);
    await leader.clock.advance(10_000);
    const again = await leader.receive('two');
    expect(bodies(again)).toEqual(['a0']);
    expect(again[0]!.deliveryAttempt).toBe(2);
    await leader.ack(again);
    await leader.clock.advance(20_000);
    expect(await leader.receive('one')).toEqual([]);
  });

  test('an ordered group gets a lite topic in order, and one lite topic does not block another', async () => {
    await leader.service.putGroup({ name: 'og', fifo: true, maxAttempts: 3 });
    await leader.subscribe('one', ['a', 'b'], liteAction.COMPLETE_ADD, null, 'og');
    for (const body of ['a0', 'b0', 'a1', 'b1']) await leader.send(body[0]!, body);
    const first = await leader.receive('one', { group: 'og', batchSize: 1 });
    const second = await leader.receive('one', { group: 'og', batchSize: 1 });
    expect([...bodies(first), ...bodies(second)].sort()).toEqual(['a0', 'b0']);
    expect(await leader.receive('one', { group: 'og' })).toEqual([]);
    await leader.ack(first, 'og');
    const third = await leader.receive('one', { group: 'og' });
    expect(bodies(third)).toEqual([`${bodies(first)[0]![0]}1`]);
  });

  test('what a smaller batch in order leaves out comes behind it', async () => {
    await leader.service.putGroup({ name: 'og', fifo: true, maxAttempts: 3 });
    await leader.subscribe('one', ['a'], liteAction.COMPLETE_ADD, null, 'og');
    for (const body of ['a0', 'a1', 'a2']) await leader.send('a', body);
    expect(bodies(await leader.receive('one', { group: 'og' }))).toEqual(['a0', 'a1', 'a2']);
    await leader.clock.advance(10_000);
    const again = await leader.receive('one', { group: 'og', batchSize: 1 });
    expect(bodies(again)).toEqual(['a0']);
    await leader.ack(again, 'og');
    expect(bodies(await leader.receive('one', { group: 'og' }))).toEqual(['a1', 'a2']);
  });

  test.each<[string, LiteStart | null, string[]]>([
    ['nothing', null, ['a0', 'a1', 'a2', 'a3', 'a4', 'a5']],
    ['the end', { kind: 'max' }, []],
    ['the newest two', { kind: 'tail', count: 2 }, ['a4', 'a5']],
    ['the newest five', { kind: 'tail', count: 5 }, ['a1', 'a2', 'a3', 'a4', 'a5']],
    ['the beginning', { kind: 'min' }, ['a0', 'a1', 'a2', 'a3', 'a4', 'a5']],
    ['a later time', { kind: 'time', timestampMs: 1_700_000_003_500 }, ['a4', 'a5']],
  ])('a new group that asks for %s begins there', async (_what, start, expected) => {
    for (let i = 0; i < 6; i++) {
      await leader.send('other', `o${i}`);
      await leader.send('a', `a${i}`);
      await leader.clock.advance(1_000);
    }
    await leader.subscribe('one', ['a'], liteAction.PARTIAL_ADD, start);
    expect(bodies(await leader.receive('one'))).toEqual(expected);
  });

  test('limits of lite topics and of subscriptions', async () => {
    const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `t${i}`);
    const code = (promise: Promise<unknown>): Promise<string> =>
      promise.then(
        () => 'OK',
        (error: unknown) => (isMqError(error) ? error.code : String(error)),
      );
    expect(await code(leader.subscribe('one', many(21)))).toBe('LITE_SUBSCRIPTION_QUOTA_EXCEEDED');
    expect(await code(leader.subscribe('one', many(20)))).toBe('OK');
    for (let i = 20; i < 40; i++) await leader.send(`t${i}`, `m${i}`);
    expect(await code(leader.send('t40', 'm40'))).toBe('LITE_TOPIC_QUOTA_EXCEEDED');
    expect(await code(leader.send('t3', 'm3'))).toBe('OK');
    expect(await code(leader.subscribe('two', ['new']))).toBe('LITE_TOPIC_QUOTA_EXCEEDED');
    expect(await code(leader.subscribe('two', [], 9))).toBe('BAD_REQUEST');
  });

  test('a repeated subscription writes nothing; a silent client is forgotten', async () => {
    await leader.subscribe('one', ['a', 'b']);
    const before = leader.node.log.lastIndex;
    await leader.subscribe('one', ['b', 'a']);
    await leader.subscribe('one', ['a'], liteAction.PARTIAL_ADD);
    expect(leader.node.log.lastIndex).toBe(before);
    await leader.clock.advance(100_000);
    leader.service.clientSeen('one');
    await leader.clock.advance(100_000);
    expect([...leader.state.tables.lite.clients()].length).toBe(1);
    await leader.clock.advance(60_000);
    expect([...leader.state.tables.lite.clients()].length).toBe(0);
  });

  test('idle lite topics are forgotten, unless somebody subscribes to them', async () => {
    await leader.send('a', 'a0');
    await leader.send('b', 'b0');
    await leader.subscribe('one', ['b']);
    for (let i = 0; i < 14; i++) {
      await leader.clock.advance(50_000);
      leader.service.clientSeen('one');
    }
    expect([...leader.state.tables.lite.topics()].map(({ name }) => name)).toEqual(['b']);
    await leader.send('a', 'a1');
    await leader.subscribe('one', ['a']);
    expect(bodies(await leader.receive('one'))).toEqual(['a1']);
  });

  test('what is quiet rests, and is saved as if it did not', async () => {
    await leader.service.putGroup({ name: 'g', fifo: false, maxAttempts: 5 });
    const names = ['a', 'b', 'c'];
    await leader.subscribe('one', names);
    for (const name of names) await leader.send(name, `${name}0`);
    const messages = await leader.receive('one');
    const { tables } = leader.state;
    expect([...tables.deliveries()].length).toBe(3);
    await leader.ack(messages.filter(({ record }) => storedLiteTopic(record) !== 'c'));
    expect([...tables.deliveries()].length).toBe(1);
    const digest = leader.state.digest();
    await leader.checkpoint();
    expect(leader.state.digest()).toBe(digest);
    // What was loaded rests as well.
    await leader.failOver();
    expect([...leader.state.tables.deliveries()].length).toBe(1);
    expect(leader.state.digest()).toBe(digest);
    await leader.ack(messages.filter(({ record }) => storedLiteTopic(record) === 'c'));
    expect([...leader.state.tables.deliveries()].length).toBe(0);
    await leader.checkpoint();
    const consumed = leader.state.digest();
    await leader.failOver();
    expect(leader.state.digest()).toBe(consumed);
    // Another kind of delivery reaches those at rest, too: a replica that loads them sees the same.
    await leader.service.putGroup({ name: 'g', fifo: true, maxAttempts: 5 });
    await leader.checkpoint();
    const after = leader.state.digest();
    await leader.failOver();
    expect(leader.state.digest()).toBe(after);
    await leader.send('a', 'a1');
    expect(bodies(await leader.receive('one'))).toEqual(['a1']);
  });

  test('any history, with failovers: every message to a subscriber, in order, once when acknowledged', async () => {
    const prng = createPrng(20_261_122);
    await leader.service.putGroup({ name: 'og', fifo: true, maxAttempts: 100 });
    const sent = new Map<string, string[]>();
    const got = new Map<string, string[]>();
    const sets = new Map<string, Set<string>>();
    let held: { group: string; messages: readonly DeliveredMessage[] }[] = [];
    const name = (): string => `t${prng.integer(0, 29)}`;
    for (let step = 0; step < 1_000; step++) {
      const dice = prng.integer(0, 99);
      const client = `c${prng.integer(0, 2)}`;
      if (dice < 40) {
        const lite = name();
        const list = sent.get(lite) ?? [];
        list.push(`${lite}-${list.length}`);
        sent.set(lite, list);
        await leader.send(lite, list.at(-1)!);
      } else if (dice < 50) {
        const set = sets.get(client) ?? new Set<string>();
        sets.set(client, set);
        const lite = name();
        const add = prng.chance(0.7) && set.size < 20;
        if (add) set.add(lite);
        else set.delete(lite);
        const action = add ? liteAction.PARTIAL_ADD : liteAction.PARTIAL_REMOVE;
        await leader.subscribe(client, [lite], action, null, 'og');
      } else if (dice < 85) {
        const batchSize = prng.integer(1, 8);
        const messages = await leader.receive(client, { group: 'og', batchSize });
        for (const { record } of messages) {
          expect(sets.get(client)?.has(storedLiteTopic(record)!)).toBe(true);
        }
        if (messages.length > 0) held.push({ group: 'og', messages });
      } else if (dice < 96) {
        for (const { messages } of held.splice(0, 3)) {
          await leader.ack(messages, 'og');
          for (const { record } of messages) {
            const lite = storedLiteTopic(record)!;
            got.set(lite, [...(got.get(lite) ?? []), storedBody(record).toString()]);
          }
        }
      } else if (dice < 98) await leader.checkpoint();
      else await leader.failOver();
    }
    held = [];
    await leader.clock.advance(20_000);
    const all = [...sent.keys()].sort();
    await leader.subscribe('c0', all.slice(0, 20), liteAction.COMPLETE_ADD, null, 'og');
    await leader.subscribe('c1', all.slice(20), liteAction.COMPLETE_ADD, null, 'og');
    for (let empty = 0; empty < 2;) {
      const messages = [
        ...(await leader.receive('c0', { group: 'og' })),
        ...(await leader.receive('c1', { group: 'og' })),
      ];
      empty = messages.length === 0 ? empty + 1 : 0;
      await leader.ack(messages, 'og');
      for (const { record } of messages) {
        const lite = storedLiteTopic(record)!;
        got.set(lite, [...(got.get(lite) ?? []), storedBody(record).toString()]);
      }
    }
    expect(got.size).toBeGreaterThan(25);
    expect([...got].sort()).toEqual([...sent].sort());
    const digest = leader.state.digest();
    await leader.failOver();
    // The new leader wrote nothing of its own, and everything was saved or replayed.
    expect(leader.state.digest()).toBe(digest);
  });
});
