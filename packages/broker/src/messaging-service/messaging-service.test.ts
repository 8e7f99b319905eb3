import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { defaultsOf, isMqError, silentLogger } from '@raftmq/base';
import {
  ALL_MESSAGES,
  decodeStoredMessage,
  storedBody,
  storedQueueOffset,
  tagFilter,
} from '@raftmq/protocol';
import {
  type GroupConfig,
  type PublishMessage,
  type ReceiveRequest,
  type TopicConfig,
} from '../messaging.js';
import { openBrokerState } from '../state/recovery.js';
import {
  ManualClock,
  MemoryQueueIndex,
  MemoryStateStore,
  settle,
  SingleNode,
  unexpectedFatal,
} from '../testing/single-node.js';
import { type BrokerStateMachine } from '../state/state-machine.js';
import { MessagingService } from './messaging-service.js';
import { NextOffsets } from './next-offsets.js';
import { RecordsProposal } from './proposals.js';
import { messagingServiceSettings, type MessagingServiceSettings } from './settings.js';

const settings: MessagingServiceSettings = {
  ...defaultsOf(messagingServiceSettings),
  autoCreateGroup: true,
  groupMaxAttempts: 17,
  groupConsumeFrom: 'first',
  openMessagesMax: 1_000,
  pollersPerQueueMax: 8,
  pollersMax: 12,
  turnWaitMs: 1_000,
  renewClientsMax: 1_000,
};

const topic: TopicConfig = { name: 'T', type: 'NORMAL', queues: 1, permission: 6 };
const orderedGroup: GroupConfig = { name: 'og', fifo: true, maxAttempts: 3 };

let clock: ManualClock;
let node: SingleNode;
let queueIndex: MemoryQueueIndex;
let state: BrokerStateMachine;
let service: MessagingService;

async function start(overrides: Partial<MessagingServiceSettings> = {}): Promise<void> {
  clock = new ManualClock();
  node = new SingleNode(clock);
  queueIndex = new MemoryQueueIndex();
  const stateStore = new MemoryStateStore();
  const log = node.log;
  state = await openBrokerState({
    stateStore,
    queueIndex,
    log,
    logger: silentLogger,
    onFatal: unexpectedFatal,
  });
  node.machines.push(state);
  service = new MessagingService({
    state,
    proposer: node,
    queueIndex,
    log,
    clock,
    logger: silentLogger,
    settings: { ...settings, ...overrides },
    brokerGroup: 'broker-a',
    randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
  });
  state.roleChanged({ role: 'leader', term: 1, leaderId: 0, writable: true });
  await settle();
  await service.putTopic(topic);
  await service.putGroup(orderedGroup);
}

beforeEach(() => start());
afterEach(() => service.stop());

function message(body: string, fields: Partial<PublishMessage> = {}): PublishMessage {
  return {
    messageId: `id-${body}`,
    body: Buffer.from(body),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: 'host',
    gzip: false,
    ...fields,
  };
}

function request(fields: Partial<ReceiveRequest> = {}): ReceiveRequest {
  return {
    group: 'g',
    topic: 'T',
    queueId: null,
    batchSize: 16,
    invisibleMs: 10_000,
    autoRenew: false,
    clientId: 'client',
    pollingMs: 0,
    filter: ALL_MESSAGES,
    attemptId: null,
    signal: new AbortController().signal,
    ...fields,
  };
}

async function receive(
  fields: Partial<ReceiveRequest> = {},
): Promise<readonly { body: string; handle: string; attempt: number }[]> {
  const messages = await service.receive(request(fields));
  return messages.map((m) => ({
    body: storedBody(m.record).toString(),
    handle: m.receiptHandle,
    attempt: m.deliveryAttempt,
  }));
}

async function sendAll(...bodies: readonly string[]): Promise<void> {
  for (const body of bodies) await service.send(topic, [message(body)]);
}

function target(handle: string): { messageId: string; receiptHandle: string } {
  return { messageId: 'x', receiptHandle: handle };
}

async function ack(
  group: string,
  ...handles: readonly string[]
): Promise<readonly (string | null)[]> {
  const answers = await service.ack(group, 'T', handles.map(target));
  return answers.map((answer) => answer?.code ?? null);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isMqError(error) ? error.code : String(error);
  }
  return 'OK';
}

describe('send, receive, ack', () => {
  test('a message goes once round', async () => {
    expect(await service.send(topic, [message('a'), message('b')])).toEqual({
      queueId: 0,
      firstQueueOffset: 0,
    });
    expect(await service.send(topic, [message('c')])).toEqual({ queueId: 0, firstQueueOffset: 2 });
    const got = await receive();
    expect(got.map(({ body, attempt }) => [body, attempt])).toEqual([
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ]);
    expect(await receive()).toEqual([]);
    expect(await ack('g', ...got.map((m) => m.handle))).toEqual([null, null, null]);
    expect(await ack('g', got[1]!.handle)).toEqual([null]);
    await clock.advance(20_000);
    expect(await receive()).toEqual([]);
    expect(service.probe.messagesAcked).toBe(4);
  });

  test('a call with several messages gives each its place in the log', async () => {
    await service.send(topic, [message('a'), message('b')]);
    const [a, b] = await service.receive(request());
    expect(
      decodeStoredMessage(b!.record).physicalOffset - decodeStoredMessage(a!.record).physicalOffset,
    ).toBe(a!.record.length);
    expect(storedQueueOffset(b!.record)).toBe(1);
  });

  test('sends in one turn share an entry and still get offsets of their own', async () => {
    const before = node.log.lastIndex;
    const results = await Promise.all(
      ['a', 'b', 'c'].map((body) => service.send(topic, [message(body)])),
    );
    expect(node.log.lastIndex).toBe(before + 1);
    expect(results.map((r) => r.firstQueueOffset)).toEqual([0, 1, 2]);
  });

  test('message groups keep their queue; others go round', async () => {
    const wide = { ...topic, queues: 8 };
    await service.putTopic(wide);
    const one = await service.send(wide, [message('1', { messageGroup: 'order-7' })]);
    const two = await service.send(wide, [message('2', { messageGroup: 'order-7' })]);
    expect(two).toEqual({ queueId: one.queueId, firstQueueOffset: 1 });
    const round = new Set<number>();
    for (let i = 0; i < 8; i++) round.add((await service.send(wide, [message(`r${i}`)])).queueId);
    expect(round.size).toBe(8);
    // One receive collects from all queues.
    expect(await receive({ batchSize: 32 })).toHaveLength(10);
  });

  test('expiry brings a message back with the next attempt; the old handle is refused then', async () => {
    await sendAll('a');
    const [first] = await receive();
    await clock.advance(10_001);
    const [second] = await receive();
    expect(second).toMatchObject({ body: 'a', attempt: 2 });
    expect(await ack('g', first!.handle)).toEqual(['INVALID_RECEIPT_HANDLE']);
    expect(await ack('g', second!.handle)).toEqual([null]);
  });

  test('a late ack counts until the message is handed out again', async () => {
    await sendAll('a');
    const [first] = await receive();
    await clock.advance(10_001);
    expect(await ack('g', first!.handle)).toEqual([null]);
    expect(await receive()).toEqual([]);
  });

  test('forged and foreign handles are refused one by one', async () => {
    await sendAll('a', 'b');
    const got = await receive();
    expect(await ack('g', 'garbage', got[0]!.handle)).toEqual(['INVALID_RECEIPT_HANDLE', null]);
    expect(await ack('other', got[1]!.handle)).toEqual(['INVALID_RECEIPT_HANDLE']);
  });

  test('change of invisible time: sooner, with a new handle; the old one stays good until redelivery', async () => {
    await sendAll('a');
    const [first] = await receive();
    const renewed = await service.changeInvisible('g', 'T', target(first!.handle), 2_000, false);
    expect(renewed).not.toBe(first!.handle);
    await clock.advance(1_000);
    expect(await receive()).toEqual([]);
    await clock.advance(1_001);
    const [second] = await receive();
    expect(second!.attempt).toBe(2);
    expect(await codeOf(service.changeInvisible('g', 'T', target(renewed), 0, false))).toBe(
      'INVALID_RECEIPT_HANDLE',
    );
    await service.changeInvisible('g', 'T', target(second!.handle), 60_000, false);
    expect(await ack('g', second!.handle)).toEqual([null]);
    await clock.advance(60_001);
    expect(await receive()).toEqual([]);
  });

  test('suspend does not count as an attempt', async () => {
    await sendAll('a');
    const [first] = await receive();
    await service.changeInvisible('g', 'T', target(first!.handle), 0, true);
    expect((await receive())[0]!.attempt).toBe(1);
  });

  test('the tag filter passes over others for good', async () => {
    await service.send(topic, [
      message('a', { tag: 'A' }),
      message('b', { tag: 'B' }),
      message('c'),
    ]);
    await service.send(topic, [message('d', { tag: 'A' })]);
    expect((await receive({ filter: tagFilter(['A']) })).map((m) => m.body)).toEqual(['a', 'd']);
    expect(await receive()).toEqual([]);
  });

  test('tags with equal hashes are told apart', async () => {
    // "Aa" and "BB" have the same hash.
    await service.send(topic, [message('x', { tag: 'Aa' }), message('y', { tag: 'BB' })]);
    expect((await receive({ filter: tagFilter(['BB']) })).map((m) => m.body)).toEqual(['y']);
  });

  test('records that are not in memory are read from disk', async () => {
    await sendAll('a', 'b');
    node.log.slow = true;
    expect((await receive()).map((m) => m.body)).toEqual(['a', 'b']);
  });

  test('messages that retention took are passed over', async () => {
    await sendAll('a', 'b', 'c');
    queueIndex.forgetBelow('T', 0, 2);
    expect((await receive()).map((m) => m.body)).toEqual(['c']);
    expect(await receive()).toEqual([]);
  });

  test('an answer stays within 4 MiB unless one message alone is larger', async () => {
    const large = 'x'.repeat(1_500_000);
    for (let i = 0; i < 3; i++) await service.send(topic, [message(large, { messageId: `m${i}` })]);
    expect(await receive()).toHaveLength(2);
    expect(await receive()).toHaveLength(1);
  });

  test('two receives never get the same message', async () => {
    await sendAll('a', 'b', 'c', 'd');
    const both = await Promise.all([receive({ batchSize: 2 }), receive({ batchSize: 2 })]);
    expect(
      both
        .flat()
        .map((m) => m.body)
        .sort(),
    ).toEqual(['a', 'b', 'c', 'd']);
  });
});

test('of a backlog, messages with a higher priority go out first', async () => {
  const config: TopicConfig = { name: 'P', type: 'PRIORITY', queues: 4, permission: 6 };
  await service.putTopic(config);
  for (const priority of [0, 2, 9, 1, 3, -5]) {
    await service.send(config, [message(`p${priority}`, { priority })]);
  }
  const got: string[] = [];
  for (let i = 0; i < 6; i++) {
    const [delivered] = await receive({ topic: 'P', batchSize: 1 });
    got.push(delivered!.body);
  }
  // Priorities above the last queue's count as the highest, those below 0 as the lowest.
  expect(got).toEqual(['p9', 'p3', 'p2', 'p1', 'p0', 'p-5']);
});

describe('turns', () => {
  test('one delivery of a queue is on its way at a time; who comes second gets the rest', async () => {
    await sendAll('a', 'b', 'c', 'd');
    await service.putGroup({ name: 'g', fifo: false, maxAttempts: 5 });
    node.hold = true;
    const first = receive({ batchSize: 2 });
    const second = receive({ batchSize: 2 });
    await settle();
    expect(node.waiting).toBe(1);
    node.hold = false;
    node.commit();
    expect((await first).map((m) => m.body)).toEqual(['a', 'b']);
    expect((await second).map((m) => m.body)).toEqual(['c', 'd']);
  });

  test('a receive without polling time waits for the turn of another, but not for ever', async () => {
    await sendAll('a');
    await service.putGroup({ name: 'g', fifo: false, maxAttempts: 5 });
    node.hold = true;
    const first = receive();
    const second = receive();
    await clock.advance(1_020);
    expect(await second).toEqual([]);
    node.hold = false;
    node.commit();
    expect(await first).toHaveLength(1);
  });

  test('what failed shares a batch with what is new', async () => {
    await sendAll('a', 'b', 'c', 'd');
    for (const { handle } of await receive()) {
      await service.changeInvisible('g', 'T', target(handle), 0, false);
    }
    await sendAll('e', 'f', 'g', 'h');
    expect((await receive({ batchSize: 4 })).map((m) => m.body)).toEqual(['a', 'b', 'e', 'f']);
    const ones: string[] = [];
    for (let i = 0; i < 4; i++) ones.push((await receive({ batchSize: 1 }))[0]!.body);
    expect(ones.slice().sort()).toEqual(['c', 'd', 'g', 'h']);
  });
});

describe('long polls', () => {
  test('a message wakes one poll; the others wait for their time and answer empty', async () => {
    const polls = [receive({ pollingMs: 5_000 }), receive({ pollingMs: 5_000 })];
    await settle();
    expect(service.waitingPolls).toBe(2);
    await sendAll('a');
    expect((await polls[0]!)[0]!.body).toBe('a');
    expect(service.waitingPolls).toBe(1);
    await clock.advance(5_020);
    expect(await polls[1]!).toEqual([]);
    expect(service.waitingPolls).toBe(0);
  });

  test('an expiring lease wakes a poll by itself', async () => {
    await sendAll('a');
    await receive();
    const poll = receive({ pollingMs: 20_000 });
    await clock.advance(9_900);
    expect(service.waitingPolls).toBe(1);
    await clock.advance(120);
    expect((await poll)[0]).toMatchObject({ body: 'a', attempt: 2 });
  });

  test('an earlier invisible time wakes a poll that looked at a later one', async () => {
    await sendAll('a');
    const [first] = await receive();
    const poll = receive({ pollingMs: 20_000 });
    await settle();
    await service.changeInvisible('g', 'T', target(first!.handle), 100, false);
    await clock.advance(130);
    expect((await poll)[0]!.attempt).toBe(2);
  });

  test('too many polls are refused, and a lost leadership ends them all', async () => {
    const polls = Array.from({ length: 8 }, () => codeOf(receive({ pollingMs: 5_000 })));
    await settle();
    expect(await codeOf(receive({ pollingMs: 5_000 }))).toBe('TOO_MANY_REQUESTS');
    state.roleChanged({ role: 'follower', term: 2, leaderId: 1, writable: false });
    expect(new Set(await Promise.all(polls))).toEqual(new Set(['HA_NOT_AVAILABLE']));
    expect(await codeOf(receive())).toBe('HA_NOT_AVAILABLE');
  });

  test('an abandoned poll leaves the registry', async () => {
    const abort = new AbortController();
    const poll = receive({ pollingMs: 5_000, signal: abort.signal });
    await settle();
    abort.abort();
    expect(await poll).toEqual([]);
    expect(service.waitingPolls).toBe(0);
  });

  test('a caller that goes away while its lease is written gives the messages back, without a lost attempt', async () => {
    await sendAll('a');
    await receive({ group: 'warm' });
    await service.putGroup({ name: 'g', fifo: false, maxAttempts: 5 });
    const abort = new AbortController();
    node.hold = true;
    const poll = receive({ signal: abort.signal });
    await settle();
    abort.abort();
    node.hold = false;
    node.commit();
    expect(await poll).toEqual([]);
    await settle();
    expect(service.probe.deliveriesAborted).toBe(1);
    expect((await receive())[0]).toMatchObject({ body: 'a', attempt: 1 });
  });

  test('a lease that is written after its caller was told "unknown" gives the messages back', async () => {
    await sendAll('a');
    await receive({ group: 'warm' });
    await service.putGroup({ name: 'g', fifo: false, maxAttempts: 5 });
    node.hold = true;
    const poll = codeOf(receive());
    await settle();
    node.expire();
    expect(await poll).toBe('REQUEST_TIMEOUT');
    node.hold = false;
    node.commit();
    await settle();
    expect(service.probe.deliveriesAborted).toBe(1);
    expect((await receive())[0]).toMatchObject({ body: 'a', attempt: 1 });
  });

  test('a deleted topic ends its polls', async () => {
    const poll = codeOf(receive({ pollingMs: 5_000 }));
    await settle();
    await service.deleteTopic('T');
    expect(await poll).toBe('TOPIC_NOT_FOUND');
  });
});

describe('dead letters', () => {
  test('after the last attempt the server moves a message to the dead-letter queue', async () => {
    await service.putGroup({ name: 'g', fifo: false, maxAttempts: 3 });
    await sendAll('a');
    for (let attempt = 1; attempt <= 3; attempt++) {
      const [got] = await receive();
      expect(got!.attempt).toBe(attempt);
      await service.changeInvisible('g', 'T', target(got!.handle), 0, false);
    }
    expect(await receive()).toEqual([]);
    const [dead] = await service.receive(request({ group: 'rescue', topic: '%DLQ%g' }));
    const stored = decodeStoredMessage(dead!.record);
    expect(stored.messageId).toBe('id-a');
    expect(stored.properties.get('DLQ_ORIGIN_TOPIC')).toBe('T');
    expect(stored.properties.get('DLQ_ORIGIN_MESSAGE_ID')).toBe('id-a');
    expect(service.topic('%DLQ%g')).toMatchObject({ queues: 1 });
  });

  test('many large messages are moved in several entries, each of which fits', async () => {
    await service.putGroup({ name: 'g', fifo: false, maxAttempts: 1 });
    const names = ['a', 'b', 'c', 'd', 'e'];
    const large = Buffer.alloc(1.5 * 1024 * 1024, 'x');
    for (const name of names) await service.send(topic, [message(name, { body: large })]);
    const handles: string[] = [];
    for (const name of names) {
      const [got] = await receive({ batchSize: 1 });
      expect(got!.body).toHaveLength(large.length);
      if (name !== 'c') handles.push(got!.handle);
    }
    for (const handle of handles) await service.changeInvisible('g', 'T', target(handle), 0, false);
    const sizes: number[] = [];
    const propose = node.propose.bind(node);
    node.propose = (proposal) => {
      sizes.push(proposal.sizeBytes);
      propose(proposal);
    };
    expect(await receive()).toEqual([]);
    expect(sizes.filter((sizeBytes) => sizeBytes > large.length)).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThan(4 * 1024 * 1024);
    const dead = new Set<string>();
    for (const times of ['once', 'twice']) {
      const got = await service.receive(request({ group: 'rescue', topic: '%DLQ%g' }));
      expect([times, got.length]).toEqual([times, 2]);
      for (const { record } of got) dead.add(decodeStoredMessage(record).messageId);
    }
    expect([...dead].sort()).toEqual(['id-a', 'id-b', 'id-d', 'id-e']);
    expect(queueIndex.maxOffset('%DLQ%g', 0)).toBe(4);
  });

  test('a client moves a message itself; asking twice stores it once', async () => {
    await sendAll('a');
    const [got] = await receive({ group: 'og' });
    const handle = target(got!.handle);
    await Promise.all([
      service.forwardToDeadLetterQueue('og', 'T', handle),
      service.forwardToDeadLetterQueue('og', 'T', handle),
    ]);
    await service.forwardToDeadLetterQueue('og', 'T', handle);
    expect(queueIndex.maxOffset('%DLQ%og', 0)).toBe(1);
    await sendAll('b');
    expect((await receive({ group: 'og' }))[0]!.body).toBe('b');
  });

  test('a move that got no answer is not made a second time', async () => {
    await sendAll('a');
    const [got] = await receive();
    const move = (): Promise<string> =>
      codeOf(service.forwardToDeadLetterQueue('g', 'T', target(got!.handle)));
    node.hold = true;
    const first = move();
    await settle();
    node.expire();
    expect(await first).toBe('REQUEST_TIMEOUT');
    expect(await move()).toBe('REQUEST_TIMEOUT');
    node.hold = false;
    node.commit();
    await service.forwardToDeadLetterQueue('g', 'T', target(got!.handle));
    expect(queueIndex.maxOffset('%DLQ%g', 0)).toBe(1);
  });

  test('a new leadership knows what came of a move without an answer', async () => {
    await sendAll('a');
    const [got] = await receive();
    node.hold = true;
    const first = codeOf(service.forwardToDeadLetterQueue('g', 'T', target(got!.handle)));
    await settle();
    node.expire();
    expect(await first).toBe('REQUEST_TIMEOUT');
    node.lose();
    state.roleChanged({ role: 'follower', term: 2, leaderId: 1, writable: false });
    state.roleChanged({ role: 'leader', term: 3, leaderId: 0, writable: true });
    node.hold = false;
    await service.forwardToDeadLetterQueue('g', 'T', target(got!.handle));
    expect(queueIndex.maxOffset('%DLQ%g', 0)).toBe(1);
  });
});

describe('ordered groups', () => {
  test('(a) the same attempt gets the same batch, (b) another one nothing, (e) with unchanged counts', async () => {
    await sendAll('1', '2', '3');
    const first = await receive({ group: 'og', attemptId: 'x', batchSize: 3 });
    const again = await receive({ group: 'og', attemptId: 'x', batchSize: 3 });
    expect(again.map((m) => [m.body, m.attempt])).toEqual([
      ['1', 1],
      ['2', 1],
      ['3', 1],
    ]);
    expect(await receive({ group: 'og', attemptId: 'y', batchSize: 3 })).toEqual([]);
    // Handles of the repeated answer are answered OK without effect.
    expect(await ack('og', ...first.map((m) => m.handle))).toEqual([null, null, null]);
    expect(await receive({ group: 'og', attemptId: 'z' })).toEqual([]);
    expect(await ack('og', ...again.map((m) => m.handle))).toEqual([null, null, null]);
  });

  test('(c) the last ack wakes the next poll at once', async () => {
    await sendAll('1', '2');
    const [one] = await receive({ group: 'og', batchSize: 1 });
    const poll = receive({ group: 'og', batchSize: 1, pollingMs: 5_000 });
    await settle();
    expect(service.waitingPolls).toBe(1);
    await ack('og', one!.handle);
    expect((await poll)[0]!.body).toBe('2');
  });

  test('(d) after expiry the queue starts again at the first message without an ack, acked ones behind it included', async () => {
    await sendAll('1', '2', '3', '4');
    const first = await receive({ group: 'og', batchSize: 3 });
    expect(await ack('og', first[1]!.handle)).toEqual([null]);
    expect(await receive({ group: 'og' })).toEqual([]);
    await clock.advance(10_001);
    const again = await receive({ group: 'og' });
    expect(again.map((m) => [m.body, m.attempt])).toEqual([
      ['1', 2],
      ['2', 2],
      ['3', 2],
      ['4', 1],
    ]);
    expect(await ack('og', first[0]!.handle)).toEqual(['INVALID_RECEIPT_HANDLE']);
  });

  test('a poisonous message goes to the dead-letter queue and the queue moves on', async () => {
    await sendAll('1', '2');
    for (let attempt = 1; attempt <= 3; attempt++) {
      const [got] = await receive({ group: 'og', batchSize: 1 });
      expect([got!.body, got!.attempt]).toEqual(['1', attempt]);
      await service.changeInvisible('og', 'T', target(got!.handle), 0, false);
    }
    expect((await receive({ group: 'og', batchSize: 1 })).map((m) => [m.body, m.attempt])).toEqual([
      ['2', 1],
    ]);
    expect(queueIndex.maxOffset('%DLQ%og', 0)).toBe(1);
  });

  test('one behind messages that the filter refuses does so too', async () => {
    for (const [body, tag] of [
      ['a1', 'A'],
      ['b2', 'B'],
      ['a3', 'A'],
      ['a4', 'A'],
    ])
      await service.send(topic, [message(body!, { tag: tag! })]);
    const next = (batchSize: number): ReturnType<typeof receive> =>
      receive({ group: 'og', filter: tagFilter(['A']), batchSize, invisibleMs: 1_000 });
    for (let attempt = 1; attempt <= 3; attempt++) {
      const [first] = await next(2);
      // The first one is set aside, so that it comes once more, without the other.
      if (attempt === 3)
        await service.changeInvisible('og', 'T', target(first!.handle), 1_000, true);
      await clock.advance(1_000);
    }
    const [alone] = await next(1);
    expect([alone!.body, alone!.attempt]).toEqual(['a1', 3]);
    expect(await ack('og', alone!.handle)).toEqual([null]);
    expect((await next(2)).map((m) => m.body)).toEqual(['a4']);
    expect(queueIndex.maxOffset('%DLQ%og', 0)).toBe(1);
  });
});

test('changed groups are told on followers too', async () => {
  const told: string[] = [];
  service.watchGroups((groups) => told.push(...groups));
  await service.putGroup({ name: 'g', fifo: false, maxAttempts: 3 });
  await settle();
  expect(told).toEqual(['g']);
  state.roleChanged({ role: 'follower', term: 2, leaderId: 1, writable: false });
  const group = { name: 'h', fifo: false, maxAttempts: 3 };
  const command = { kind: 'put-group', group, ifMissing: false } as const;
  const offsets = new NextOffsets(state.tables);
  node.propose(new RecordsProposal([{ command }], offsets, () => undefined, unexpectedFatal));
  await settle();
  expect(told).toEqual(['g', 'h']);
});

describe('auto-renew', () => {
  test('a living client keeps its message; a silent one loses it after its expiry', async () => {
    await sendAll('a');
    await receive({ autoRenew: true, invisibleMs: 60_000 });
    for (let i = 0; i < 30; i++) {
      await clock.advance(10_000);
      service.clientSeen('client');
    }
    expect(await receive({ clientId: 'other' })).toEqual([]);
    expect(service.probe.leasesRenewed).toBeGreaterThan(1);
    await clock.advance(126_100);
    expect((await receive({ clientId: 'other' }))[0]).toMatchObject({ body: 'a', attempt: 2 });
  });

  test('a goodbye makes what the client held visible after a second', async () => {
    await sendAll('a');
    const [got] = await receive({ autoRenew: true, invisibleMs: 60_000 });
    const poll = receive({ clientId: 'other', pollingMs: 5_000 });
    await settle();
    service.clientGone('client', 'g');
    await settle();
    await clock.advance(900);
    expect(service.waitingPolls).toBe(1);
    await clock.advance(130);
    expect((await poll)[0]!.attempt).toBe(2);
    expect(await ack('g', got!.handle)).toEqual(['INVALID_RECEIPT_HANDLE']);
  });

  test('renewing ends three hours after the delivery', async () => {
    await sendAll('a');
    await receive({ autoRenew: true, invisibleMs: 60_000 });
    let handedOutAfterMs = 0;
    for (let ms = 0; handedOutAfterMs === 0 && ms < 5 * 3_600_000; ms += 60_000) {
      await clock.advance(60_000);
      service.clientSeen('client');
      if ((await receive({ clientId: 'other' })).length > 0) handedOutAfterMs = ms;
    }
    expect(handedOutAfterMs).toBeGreaterThan(3 * 3_600_000 - 120_000);
    expect(handedOutAfterMs).toBeLessThan(3 * 3_600_000 + 120_000);
  });
});

describe('limits and failures', () => {
  test('at the limit of unacknowledged messages receiving is refused until some are acknowledged', async () => {
    service.stop();
    await start({ openMessagesMax: 2 });
    await sendAll('a', 'b', 'c');
    const got = await receive();
    expect(got).toHaveLength(2);
    expect(await codeOf(receive())).toBe('TOO_MANY_REQUESTS');
    await ack('g', got[0]!.handle);
    expect((await receive()).map((m) => m.body)).toEqual(['c']);
  });

  test.each([
    ['overloaded', 'TOO_MANY_REQUESTS'],
    ['not-leader', 'HA_NOT_AVAILABLE'],
    ['lost', 'HA_NOT_AVAILABLE'],
    ['stopped', 'HA_NOT_AVAILABLE'],
    ['no-quorum', 'HA_NOT_AVAILABLE'],
    ['unknown', 'REQUEST_TIMEOUT'],
  ] as const)('a proposal rejected as %s fails calls with %s', async (reason, code) => {
    await sendAll('a');
    const [got] = await receive();
    node.refuse = reason;
    expect(await codeOf(service.send(topic, [message('b')]))).toBe(code);
    expect(await codeOf(service.ack('g', 'T', [target(got!.handle)]))).toBe(code);
    node.refuse = null;
    await sendAll('c');
    node.refuse = reason;
    expect(await codeOf(receive())).toBe(code);
    node.refuse = null;
    expect((await receive()).map((m) => m.body)).toEqual(['c']);
  });

  test('offsets of a lost entry are given out again in the next term', async () => {
    await sendAll('a');
    node.hold = true;
    const lost = codeOf(service.send(topic, [message('b')]));
    await settle();
    node.lose();
    expect(await lost).toBe('HA_NOT_AVAILABLE');
    node.hold = false;
    state.roleChanged({ role: 'follower', term: 2, leaderId: 1, writable: false });
    state.roleChanged({ role: 'leader', term: 3, leaderId: 0, writable: true });
    expect(await service.send(topic, [message('c')])).toMatchObject({ firstQueueOffset: 1 });
  });

  test('a topic deleted and made anew in one entry starts at offset 0', async () => {
    await sendAll('a', 'b');
    const old = await receive();
    const done = await Promise.allSettled([
      service.deleteTopic('T'),
      service.send(topic, [message('lost')]),
      service.putTopic(topic),
      service.send(topic, [message('new')]),
    ]);
    expect(done.map((d) => d.status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    expect(queueIndex.maxOffset('T', 0)).toBe(1);
    expect((await receive()).map((m) => m.body)).toEqual(['new']);
    expect(await ack('g', old[0]!.handle)).toEqual(['INVALID_RECEIPT_HANDLE']);
  });

  test('unknown things have their own errors', async () => {
    const nowhere = { ...topic, name: 'nowhere' };
    expect(await codeOf(service.send(nowhere, [message('a')]))).toBe('TOPIC_NOT_FOUND');
    expect(await codeOf(receive({ topic: 'nowhere' }))).toBe('TOPIC_NOT_FOUND');
    expect(await codeOf(service.deleteGroup('nobody'))).toBe('CONSUMER_GROUP_NOT_FOUND');
    expect(await codeOf(service.putTopic({ ...topic, queues: 4 }))).toBe('OK');
    expect(await codeOf(service.putTopic({ ...topic, queues: 2 }))).toBe('PRECONDITION_FAILED');
    service.stop();
    await start({ autoCreateGroup: false });
    expect(await codeOf(receive())).toBe('CONSUMER_GROUP_NOT_FOUND');
  });

  test('a group changes between concurrent and ordered only with nothing in flight', async () => {
    await sendAll('a', 'b');
    const [got] = await receive({ batchSize: 1 });
    const ordered = { name: 'g', fifo: true, maxAttempts: 17 };
    expect(await codeOf(service.putGroup(ordered))).toBe('PRECONDITION_FAILED');
    await ack('g', got!.handle);
    await service.putGroup(ordered);
    expect((await receive()).map((m) => m.body)).toEqual(['b']);
  });
});
