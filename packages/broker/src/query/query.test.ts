import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isMqError, nodeDisk, silentLogger } from '@raftmq/base';
import { MessageIndex } from '@raftmq/broker-store';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ALL_MESSAGES, liteAction } from '@raftmq/protocol';
import { MessagingService } from '../messaging-service/messaging-service.js';
import { type PublishMessage } from '../messaging.js';
import { brokerSettings } from '../settings.js';
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
import { collectTerms } from '../state/terms.js';
import { MessageQueries } from './message-queries.js';
import { MessageTraces, type TraceEvent } from './message-trace.js';

const topic = { name: 'T', type: 'NORMAL', queues: 2, permission: 6 } as const;
const settings = {
  queryMessagesMax: 5,
  queryAnswerBytesMax: 1_000_000,
  traceScanBytesMax: 100_000_000,
  queriesMax: 2,
};
const defaults = Object.fromEntries(
  Object.entries(brokerSettings).map(([name, setting]) => [name, setting.default]),
) as unknown as ConstructorParameters<typeof MessagingService>[0]['settings'];

let directory = '';
let clock: ManualClock;
let node: SingleNode;
let state: BrokerStateMachine;
let service: MessagingService;
let index: MessageIndex;
let queueIndex: MemoryQueueIndex;
let queries: MessageQueries;
let traces: MessageTraces;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-query-'));
  clock = new ManualClock();
  node = new SingleNode(clock);
  queueIndex = new MemoryQueueIndex();
  const stateStore = new MemoryStateStore();
  const { log } = node;
  const onFatal = unexpectedFatal;
  state = await openBrokerState({ stateStore, queueIndex, log, logger: silentLogger, onFatal });
  index = await openIndex();
  node.machines.push(state);
  service = new MessagingService({
    state,
    proposer: node,
    queueIndex,
    log,
    clock,
    logger: silentLogger,
    settings: defaults,
    brokerGroup: 'broker-a',
    randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
  });
  state.roleChanged({ role: 'leader', term: 1, leaderId: 0, writable: true });
  await settle();
  await service.putTopic(topic);
});
afterEach(async () => {
  service.stop();
  await index.close();
  rmSync(directory, { recursive: true, force: true });
});

async function openIndex(): Promise<MessageIndex> {
  const { log } = node;
  const opened = await MessageIndex.open({
    disk: nodeDisk,
    directory,
    log,
    appliedIndex: state.appliedIndex,
    collect: collectTerms,
    clock: { ...clock, monotonicMs: () => 0, wallMs: () => 0, setTimer: hasty },
    logger: silentLogger,
  });
  state.setTermSink(opened);
  const source = { tables: state.tables, queueIndex, log, messageIndex: opened, settings };
  queries = new MessageQueries(source);
  traces = new MessageTraces(source, queries);
  return opened;
}

const hasty = (_delayMs: number, fire: () => void): (() => void) => {
  const immediate = setImmediate(fire);
  return () => clearImmediate(immediate);
};

function message(messageId: string, fields: Partial<PublishMessage> = {}): PublishMessage {
  return {
    messageId,
    body: Buffer.from(`body of ${messageId}`),
    tag: null,
    keys: [],
    userProperties: ['color', 'red'],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 77,
    bornHost: '10.0.0.9:5000',
    gzip: false,
    ...fields,
  };
}

async function send(messageId: string, fields: Partial<PublishMessage> = {}): Promise<void> {
  await service.send(topic, [message(messageId, fields)]);
}

async function receive(group = 'g', invisibleMs = 10_000, from = 'T') {
  return service.receive({
    group,
    topic: from,
    queueId: null,
    batchSize: 16,
    invisibleMs,
    autoRenew: false,
    clientId: `client of ${group}`,
    pollingMs: 0,
    filter: ALL_MESSAGES,
    attemptId: null,
    signal: new AbortController().signal,
  });
}

const ids = (messages: readonly { readonly message: { readonly messageId: string } }[]) =>
  messages.map(({ message: { messageId } }) => messageId);
const summary = ({ what, group, clientId, timeMs }: TraceEvent): string =>
  `${timeMs - 1_700_000_000_000} ${what} ${group} ${clientId}`.trimEnd();

describe('queries', () => {
  test('find a message by either id', async () => {
    await send('A');
    await send('B');
    const { messages } = await queries.byId('B', '');
    expect(messages).toHaveLength(1);
    const [found] = messages;
    expect(found).toMatchObject({ state: 'VISIBLE', message: { messageId: 'B', topic: 'T' } });
    expect(found!.message.body.toString()).toBe('body of B');
    expect(ids((await queries.byId(found!.offsetMessageId, '')).messages)).toEqual(['B']);
    expect(ids((await queries.byId(found!.offsetMessageId, 'other')).messages)).toEqual([]);
    // A position in the middle of a record, and one far away, name nothing.
    const nearby = found!.offsetMessageId.slice(0, -2) + 'FF';
    expect((await queries.byId(nearby, '')).messages).toEqual([]);
    expect((await queries.byId('0'.repeat(24) + 'FFFFFFFF', '')).messages).toEqual([]);
    expect((await queries.byId('C', '')).messages).toEqual([]);
  });

  test('find by key, newest first, page by page, within a time', async () => {
    for (let i = 0; i < 12; i++) {
      await send(`m${i}`, { keys: i % 2 === 0 ? ['even', 'with space'] : ['odd'] });
      await clock.advance(10);
    }
    const base = { topic: 'T', key: 'even', fromMs: 0, throughMs: Infinity, beforePosition: null };
    const first = await queries.byKey({ ...base, countMax: 4 });
    expect(ids(first.messages)).toEqual(['m10', 'm8', 'm6', 'm4']);
    const { nextPosition } = first;
    const second = await queries.byKey({ ...base, beforePosition: nextPosition, countMax: 4 });
    expect(ids(second.messages)).toEqual(['m2', 'm0']);
    expect(second.nextPosition).toBeNull();
    const startMs = first.messages[3]!.message.storeTimestampMs;
    const between = { ...base, fromMs: startMs, throughMs: startMs + 20, countMax: 4 };
    expect(ids((await queries.byKey(between)).messages)).toEqual(['m6', 'm4']);
    expect(
      ids((await queries.byKey({ ...base, key: 'with space', countMax: 1 })).messages),
    ).toEqual(['m10']);
    // The broker's own limit.
    expect((await queries.byKey({ ...base, countMax: 100 })).messages).toHaveLength(5);
    await expect(queries.byKey({ ...base, topic: 'X', countMax: 1 })).rejects.toMatchObject({
      code: 'TOPIC_NOT_FOUND',
    });
  });

  test('list a topic in the order of storing, and move no consumer', async () => {
    for (let i = 0; i < 9; i++) {
      await send(`m${i}`);
      await clock.advance(10);
    }
    const list = (start: Parameters<MessageQueries['list']>[0]['start'], countMax: number) =>
      queries.list({ topic: 'T', queueId: null, start, countMax });
    expect(ids((await list({ kind: 'offset', offset: 0 }, 4)).messages)).toEqual([
      'm0',
      'm1',
      'm2',
      'm3',
    ]);
    expect(ids((await list({ kind: 'newest' }, 3)).messages)).toEqual(['m6', 'm7', 'm8']);
    const { storeTimestampMs } = (await queries.byId('m5', '')).messages[0]!.message;
    const fromTime = await list({ kind: 'time', timestampMs: storeTimestampMs }, 5);
    expect(ids(fromTime.messages)).toEqual(['m5', 'm6', 'm7', 'm8']);
    expect(fromTime.nextPosition).toBeNull();
    const one = {
      topic: 'T',
      queueId: 1,
      start: { kind: 'offset', offset: 2 },
      countMax: 1,
    } as const;
    expect(ids((await queries.list(one)).messages)).toEqual(['m5']);
    await expect(queries.list({ ...one, queueId: 2 })).rejects.toThrow('0 to 1');
    expect(await receive()).toHaveLength(9);
  });

  test('are refused when too many run', async () => {
    await send('A');
    node.log.slow = true;
    const many = await Promise.allSettled([1, 2, 3].map(() => queries.byId('A', '')));
    expect(many.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    const refusal: unknown = (many[2] as PromiseRejectedResult).reason;
    expect(isMqError(refusal) && refusal.code).toBe('TOO_MANY_REQUESTS');
    expect((await queries.byId('A', '')).messages).toHaveLength(1);
  });

  test('find a message that waits for its time, and tell when it was recalled or delivered', async () => {
    const delayed = { ...topic, name: 'D', type: 'DELAY' } as const;
    await service.putTopic(delayed);
    const deliveryTimestampMs = clock.nowMs + 60_000;
    const timed = (messageId: string) => ({ ...message(messageId), deliveryTimestampMs });
    const [first] = await service.sendTimed(delayed, [timed('late'), timed('later')]);
    const statesOf = async (messageId: string): Promise<unknown[]> =>
      (await queries.byId(messageId, 'D')).messages.map(({ state: how, dueMs }) => [how, dueMs]);
    expect(await statesOf('late')).toEqual([['TIMER', deliveryTimestampMs]]);
    await service.recall('D', first!.recallHandle);
    expect(await statesOf('late')).toEqual([['TIMER_OVER', deliveryTimestampMs]]);
    expect(await statesOf('later')).toEqual([['TIMER', deliveryTimestampMs]]);
    await clock.advance(61_000);
    expect(await statesOf('later')).toEqual([
      ['TIMER_OVER', deliveryTimestampMs],
      ['VISIBLE', 0],
    ]);
  });
});

describe('a trace', () => {
  test('of a half message tells how its transaction ended', async () => {
    const kind = { ...topic, name: 'X', type: 'TRANSACTION' } as const;
    await service.putTopic(kind);
    const half = (messageId: string) => ({ ...message(messageId), transactionRecoveryMs: null });
    await service.transactions.send(kind, [half('kept'), half('undone'), half('open')], 'p');
    await clock.advance(5);
    await service.transactions.end('X', 'kept', true, 1);
    await service.transactions.end('X', 'undone', false, 1);
    const tell = async (messageId: string): Promise<unknown[]> => {
      const { messages } = await queries.byId(messageId, 'X');
      const told = await Promise.all(messages.map((one) => traces.trace(one.position, null)));
      return told.map(({ found, events }) => [found.state, events.map(({ what }) => what)]);
    };
    expect(await tell('kept')).toEqual([
      ['HALF_OVER', ['COMMITTED']],
      ['VISIBLE', []],
    ]);
    expect(await tell('undone')).toEqual([['HALF_OVER', ['ROLLED_BACK']]]);
    expect(await tell('open')).toEqual([['HALF', []]]);
  });

  test('tells every delivery, change, ack and dead letter, out of the log', async () => {
    await send('A');
    await send('B');
    const [a] = (await queries.byId('A', '')).messages;
    await clock.advance(5);
    const first = await receive();
    const handle = first.find(({ record }) => record.includes('body of A'))!.receiptHandle;
    await clock.advance(5);
    const changed = await service.changeInvisible(
      'g',
      'T',
      { messageId: 'A', receiptHandle: handle },
      100,
      false,
    );
    expect(changed).not.toBe('');
    await receive('h');
    const inFlight = await traces.trace(a!.position, null);
    expect(inFlight.groups).toEqual([
      { group: 'g', status: 'IN_FLIGHT' },
      { group: 'h', status: 'IN_FLIGHT' },
    ]);
    await clock.advance(100);
    const [again] = await receive();
    await service.ack('g', 'T', [{ messageId: 'A', receiptHandle: again!.receiptHandle }]);
    const { events, groups, nextPosition, found } = await traces.trace(a!.position, null);
    expect(found.message.messageId).toBe('A');
    expect(events.map(summary)).toEqual([
      '5 DELIVERED g client of g',
      '10 INVISIBLE_CHANGED g',
      '10 DELIVERED h client of h',
      '110 DELIVERED g client of g',
      '110 ACKED g',
    ]);
    expect(groups).toEqual([
      { group: 'g', status: 'CONSUMED' },
      { group: 'h', status: 'IN_FLIGHT' },
    ]);
    expect(nextPosition).toBeNull();
    // B was delivered with it, and is another message.
    const [b] = (await queries.byId('B', '')).messages;
    const other = await traces.trace(b!.position, null);
    expect(other.events.map(summary)).toEqual([
      '5 DELIVERED g client of g',
      '10 DELIVERED h client of h',
    ]);
  });

  test('shows groups that have not come so far, and a move to the dead-letter queue', async () => {
    await send('A');
    const [message0] = await receive();
    await service.forwardToDeadLetterQueue('g', 'T', {
      messageId: 'A',
      receiptHandle: message0!.receiptHandle,
    });
    await send('B');
    await send('C');
    const [a] = (await queries.byId('A', 'T')).messages;
    const trace = await traces.trace(a!.position, null);
    expect(trace.events.map(({ what }) => what)).toEqual(['DELIVERED', 'DEAD_LETTERED']);
    expect(trace.groups).toEqual([{ group: 'g', status: 'CONSUMED' }]);
    const [c] = (await queries.byId('C', '')).messages;
    expect((await traces.trace(c!.position, null)).groups).toEqual([
      { group: 'g', status: 'NOT_CONSUMED' },
    ]);
    // The copy has the same id, in another topic.
    expect((await queries.byId('A', '%DLQ%g')).messages).toHaveLength(1);
  });

  test('goes on where its budget ended, and is the same after the index was made again', async () => {
    await send('A');
    for (let i = 0; i < 30; i++) {
      await receive('g', 10);
      await clock.advance(20);
      await send(`filler ${i}`, { body: Buffer.alloc(100_000) });
    }
    const [a] = (await queries.byId('A', '')).messages;
    const whole = (await traces.trace(a!.position, null)).events;
    expect(whole.length).toBeGreaterThan(10);
    await index.close();
    rmSync(directory, { recursive: true });
    index = await openIndex();
    await index.idle();
    const source = { tables: state.tables, queueIndex, log: node.log, messageIndex: index };
    const small = { ...settings, traceScanBytesMax: 300_000 };
    const paged = new MessageTraces({ ...source, settings: small }, queries);
    const events: TraceEvent[] = [];
    let next: number | null = null;
    let calls = 0;
    do {
      const page = await paged.trace(a!.position, next);
      events.push(...page.events);
      next = page.nextPosition;
      calls++;
    } while (next !== null);
    expect(calls).toBeGreaterThan(5);
    expect(events).toEqual(whole);
  });

  test('of a message of a lite topic follows the queue that its lite topic is', async () => {
    await service.putTopic({ name: 'L', type: 'LITE', queues: 1, permission: 6 });
    const lite = { ...topic, name: 'L', type: 'LITE' } as const;
    const subscription = { topic: 'L', group: 'g', clientId: 'client of g' };
    const action = liteAction.COMPLETE_ADD;
    await service.syncLiteSubscription({ ...subscription, action, names: ['b'], start: null });
    for (const [id, liteTopic] of [
      ['A', 'a'],
      ['B', 'b'],
    ] as const)
      await service.send(lite, [message(id, { liteTopic })]);
    const [got] = await receive('g', 10_000, 'L');
    await service.ack('g', 'L', [{ messageId: 'B', receiptHandle: got!.receiptHandle }]);
    const [b] = (await queries.byId('B', 'L')).messages;
    const trace = await traces.trace(b!.position, null);
    expect(trace.events.map(({ what }) => what)).toEqual(['DELIVERED', 'ACKED']);
    expect(trace.groups).toEqual([{ group: 'g', status: 'CONSUMED' }]);
    const [a] = (await queries.byId('A', 'L')).messages;
    const other = await traces.trace(a!.position, null);
    expect(other.events).toEqual([]);
    expect(other.groups).toEqual([{ group: 'g', status: 'NOT_CONSUMED' }]);
  });

  test('of a message whose topic was deleted has no deliveries of the next topic of that name', async () => {
    await send('A');
    const [a] = (await queries.byId('A', '')).messages;
    await service.deleteTopic('T');
    await service.putTopic(topic);
    await send('A2');
    await receive();
    const trace = await traces.trace(a!.position, null);
    expect(trace.found.state).toBe('HIDDEN');
    expect(trace.events).toEqual([]);
    await expect(traces.trace(1, null)).rejects.toMatchObject({ code: 'MESSAGE_NOT_FOUND' });
  });
});
