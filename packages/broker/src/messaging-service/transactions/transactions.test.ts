import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isMqError, loadConfig, silentLogger } from '@raftmq/base';
import {
  decodeRecoverOrphanedTransaction,
  decodeStoredMessage,
  messageType,
  PARKED_TRANSACTIONS_TOPIC,
  sysFlag,
  type StoredMessage,
} from '@raftmq/protocol';
import { type HalfPublish, type TopicConfig, type TransactionState } from '../../messaging.js';
import { brokerSettings, type BrokerSettings } from '../../settings.js';
import { openBrokerState } from '../../state/recovery.js';
import {
  ManualClock,
  MemoryQueueIndex,
  MemoryStateStore,
  settle,
  SingleNode,
  unexpectedFatal,
} from '../../testing/single-node.js';
import { type BrokerStateMachine } from '../../state/state-machine.js';
import { outcomeKey } from '../../state/half-table.js';
import { MessagingService } from '../messaging-service.js';
import { NextOffsets } from '../next-offsets.js';
import { RecordsProposer } from '../proposals.js';
import { type ProducerLink, type ReachableProducer } from './producers.js';
import { type Transactions } from './transactions.js';

const topic: TopicConfig = { name: 'T', type: 'TRANSACTION', queues: 1, permission: 6 };

/** Producers that write down what they are asked. */
class Asked implements ProducerLink {
  producers: ReachableProducer[] = [];
  readonly asked: { clientId: string; id: string; atMs: number }[] = [];
  commands: Buffer[] = [];
  /** Streams that take nothing. */
  readonly deaf = new Set<string>();
  finds = 0;
  readonly clock: ManualClock;

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  find(): Promise<readonly ReachableProducer[]> {
    this.finds++;
    return Promise.resolve([...this.producers]);
  }

  hand(producer: ReachableProducer, command: Buffer): Promise<boolean> {
    if (this.deaf.has(producer.clientId)) return Promise.resolve(false);
    const { transactionId } = decodeRecoverOrphanedTransaction(command)!;
    this.commands.push(command);
    const { clientId } = producer;
    this.asked.push({ clientId, id: transactionId, atMs: this.clock.nowMs });
    return Promise.resolve(true);
  }
}

let clock: ManualClock;
let node: SingleNode;
let stateStore: MemoryStateStore;
let queueIndex: MemoryQueueIndex;
let state: BrokerStateMachine;
let service: MessagingService;
let transactions: Transactions;
let producers: Asked;
let term: number;

async function start(flags: Record<string, string> = {}): Promise<void> {
  clock = new ManualClock();
  node = new SingleNode(clock);
  queueIndex = new MemoryQueueIndex();
  stateStore = new MemoryStateStore();
  const { log } = node;
  const logger = silentLogger;
  state = await openBrokerState({ stateStore, queueIndex, log, logger, onFatal: unexpectedFatal });
  node.machines.push(state);
  const settings: BrokerSettings = loadConfig(brokerSettings, { flags });
  service = new MessagingService({
    state,
    proposer: node,
    queueIndex,
    log,
    clock,
    logger,
    settings,
    brokerGroup: 'broker-a',
    randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
  });
  transactions = service.transactions;
  producers = new Asked(clock);
  transactions.connect(producers);
  term = 0;
  lead();
  await settle();
  await service.putTopic(topic);
}

function lead(): void {
  state.roleChanged({ role: 'leader', term: ++term, leaderId: 0, writable: true });
}

function follow(): void {
  state.roleChanged({ role: 'follower', term, leaderId: 1, writable: false });
}

beforeEach(() => start());
afterEach(() => service.stop());

function half(messageId: string, fields: Partial<HalfPublish> = {}): HalfPublish {
  return {
    messageId,
    body: Buffer.from(`body of ${messageId}`),
    tag: 'tag',
    keys: ['key'],
    userProperties: ['name', 'värde'],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 7,
    bornHost: 'host',
    gzip: false,
    transactionRecoveryMs: null,
    ...fields,
  };
}

const send = async (id: string, fields: Partial<HalfPublish> = {}): Promise<number> =>
  (await transactions.send(topic, [half(id, fields)], 'client-1'))[0]!;

const commit = (id: string): Promise<number> => transactions.end('T', id, true, 1);
const rollback = (id: string): Promise<number> => transactions.end('T', id, false, 1);

function visible(name = 'T'): StoredMessage[] {
  const slice = queueIndex.read(name, 0, 0, 1_000);
  return Array.from({ length: slice.count }, (_, i) =>
    decodeStoredMessage(node.log.cachedRecord(slice.positions[i]!, slice.sizesBytes[i]!)!),
  );
}

const visibleIds = (): string[] => visible().map((message) => message.messageId);

async function stateOf(id: string): Promise<TransactionState | null> {
  return (await transactions.find(id))[0]?.state ?? null;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isMqError(error) ? error.code : String(error);
  }
  return 'OK';
}

describe('half messages and decisions', () => {
  test('a half message is in no queue until it is committed', async () => {
    expect(await send('a')).toBe(1);
    expect(visible()).toEqual([]);
    expect(await stateOf('a')).toBe('pending');
    clock.nowMs += 5;
    expect(await commit('a')).toBe('body of a'.length);
    const [message] = visible();
    expect(message).toMatchObject({
      messageId: 'a',
      queueId: 0,
      queueOffset: 0,
      storeTimestampMs: clock.nowMs,
      bornTimestampMs: 7,
      tag: 'tag',
      keys: ['key'],
      sysFlag: sysFlag.TRANSACTION_COMMIT,
      userProperties: ['__transactionId__', 'a', 'name', 'värde'],
    });
    expect(message!.body.toString()).toBe('body of a');
    expect(await stateOf('a')).toBe('committed');
  });

  test('half messages of one call that fit into no entry are refused, and none is stored', async () => {
    const long = { userProperties: ['name', 'v'.repeat(30_000)], body: Buffer.alloc(0) };
    const many = Array.from({ length: 1_700 }, (_, i) => half(`id ${i}`, long));
    expect(await codeOf(transactions.send(topic, many, 'client-1'))).toBe('PAYLOAD_TOO_LARGE');
    expect(await stateOf('id 0')).toBeNull();
    expect(await codeOf(transactions.send(topic, many.slice(0, 10), 'client-1'))).toBe('OK');
  });

  test('offsets of committed messages follow those of others without a gap', async () => {
    await send('a');
    await send('b');
    await service.send(topic, [half('plain')]);
    await commit('b');
    await service.send(topic, [half('plain-2')]);
    await commit('a');
    expect(visible().map(({ messageId, queueOffset }) => [messageId, queueOffset])).toEqual([
      ['plain', 0],
      ['b', 1],
      ['plain-2', 2],
      ['a', 3],
    ]);
  });

  test('a rolled back message is never seen', async () => {
    await send('a');
    expect(await rollback('a')).toBe(0);
    expect(visible()).toEqual([]);
    expect(await stateOf('a')).toBe('rolled-back');
    expect(state.tables.halves.pendingCount).toBe(0);
  });

  test('the first decision stands; the same one again is fine, the contrary one is told', async () => {
    await send('a');
    await send('b');
    await commit('a');
    await rollback('b');
    expect(await commit('a')).toBe(0);
    expect(await rollback('b')).toBe(0);
    expect(await codeOf(rollback('a'))).toBe('INVALID_TRANSACTION_ID');
    await expect(commit('b')).rejects.toThrow(/rolled back at .*first decision stands/);
    expect(await codeOf(commit('never'))).toBe('INVALID_TRANSACTION_ID');
    expect(await codeOf(transactions.end('other', 'a', true, 1))).toBe('INVALID_TRANSACTION_ID');
    expect(visibleIds()).toEqual(['a']);
  });

  test('decisions that race: one wins, and all are told which', async () => {
    await send('a');
    const codes = await Promise.all([
      codeOf(commit('a')),
      codeOf(rollback('a')),
      codeOf(commit('a')),
    ]);
    expect(codes).toEqual(['OK', 'INVALID_TRANSACTION_ID', 'OK']);
    expect(visibleIds()).toEqual(['a']);
  });

  test('a message that comes again is stored once, also after its decision', async () => {
    const first = await send('a');
    expect(await send('a')).toBe(first);
    expect(await Promise.all([send('b'), send('b')])).toEqual([2, 2]);
    await commit('a');
    await rollback('b');
    await send('a');
    await send('b');
    expect(state.tables.halves.pendingCount).toBe(0);
    await commit('a');
    expect(visibleIds()).toEqual(['a']);
    expect(transactions.probe).toMatchObject({ halvesStored: 2, halvesRepeated: 4 });
  });

  test('several in one call, with message groups, and a user property of the same name', async () => {
    const numbers = await transactions.send(
      topic,
      [half('a', { messageGroup: 'g' }), half('b', { userProperties: ['__transactionId__', 'x'] })],
      'client-1',
    );
    expect(numbers).toEqual([1, 2]);
    await commit('a');
    await commit('b');
    expect(visible().map((message) => message.userProperties)).toEqual([
      ['__transactionId__', 'a', 'name', 'värde'],
      ['__transactionId__', 'b'],
    ]);
    expect(visible()[0]!.messageGroup).toBe('g');
  });

  test('no more than the limit wait; a decision makes room', async () => {
    await start({ transactionPendingMax: '2' });
    const codes = await Promise.all(['a', 'b', 'c'].map((id) => codeOf(send(id))));
    expect(codes).toEqual(['OK', 'OK', 'TOO_MANY_REQUESTS']);
    await expect(send('c')).rejects.toThrow(/transactionPendingMax/);
    await rollback('a');
    expect(await codeOf(send('c'))).toBe('OK');
  });

  test('half messages go with their topic', async () => {
    await send('a');
    await service.deleteTopic('T');
    await service.putTopic(topic);
    expect(state.tables.halves.pendingCount).toBe(0);
    expect(await codeOf(commit('a'))).toBe('INVALID_TRANSACTION_ID');
    expect(visible()).toEqual([]);
    await clock.advance(60_000);
    expect(producers.asked).toEqual([]);
  });

  test('a deletion on its way drops the commit behind it', async () => {
    await send('a');
    node.hold = true;
    const deleted = service.deleteTopic('T');
    const committed = codeOf(commit('a'));
    await settle();
    node.hold = false;
    node.commit();
    await deleted;
    expect(await committed).toBe('INVALID_TRANSACTION_ID');
    expect(state.tables.topics.has('T')).toBe(false);
  });
});

describe('outcomes that nobody knows', () => {
  test('while a decision may still be applied no other is proposed', async () => {
    await send('a');
    node.refuse = 'unknown';
    expect(await codeOf(commit('a'))).toBe('REQUEST_TIMEOUT');
    node.refuse = null;
    const proposed = node.proposed;
    expect(await codeOf(commit('a'))).toBe('REQUEST_TIMEOUT');
    expect(await codeOf(rollback('a'))).toBe('REQUEST_TIMEOUT');
    expect(node.proposed).toBe(proposed);
    // Leading anew: what was proposed before is in the tables, or nowhere.
    follow();
    lead();
    expect(await codeOf(rollback('a'))).toBe('OK');
    expect(visible()).toEqual([]);
  });

  test('it is applied late: every later decision sees it', async () => {
    await send('a');
    node.hold = true;
    const first = codeOf(commit('a'));
    await settle();
    const late = node.take();
    for (const proposal of late) proposal.rejected('unknown');
    expect(await first).toBe('REQUEST_TIMEOUT');
    expect(await codeOf(rollback('a'))).toBe('REQUEST_TIMEOUT');
    node.hold = false;
    for (const proposal of late) node.propose(withoutAnswer(proposal));
    await settle();
    expect(await codeOf(rollback('a'))).toBe('INVALID_TRANSACTION_ID');
    expect(await codeOf(commit('a'))).toBe('OK');
    expect(visibleIds()).toEqual(['a']);
  });

  test('a commit whose message is read while the leadership goes and comes back does not count', async () => {
    await send('a');
    const capture = state.capture();
    await stateStore.save(capture.appliedIndex, capture.rows, capture.cold);
    state.captureSaved(capture);
    const coldGet = stateStore.coldGet.bind(stateStore);
    const reads: (() => void)[] = [];
    stateStore.coldGet = async (key) => {
      await new Promise<void>((resolve) => reads.push(resolve));
      return coldGet(key);
    };
    const first = codeOf(commit('a'));
    follow();
    lead();
    const second = codeOf(commit('a'));
    node.hold = true;
    await settle();
    for (const read of reads.reverse()) read();
    await settle();
    node.commit();
    node.hold = false;
    expect(await Promise.all([first, second])).toEqual(['HA_NOT_AVAILABLE', 'OK']);
    expect(visibleIds()).toEqual(['a']);
  });

  test('a refused decision leaves the way free for the contrary one', async () => {
    await send('a');
    node.refuse = 'overloaded';
    expect(await codeOf(commit('a'))).toBe('TOO_MANY_REQUESTS');
    node.refuse = null;
    expect(await codeOf(rollback('a'))).toBe('OK');
  });

  test('a replica that does not lead refuses everything', async () => {
    await send('a');
    follow();
    for (const call of [
      send('b'),
      commit('a'),
      transactions.find('a'),
      transactions.resume(null, null),
    ])
      expect(await codeOf(call)).toBe('HA_NOT_AVAILABLE');
    await clock.advance(60_000);
    expect(producers.asked).toEqual([]);
  });
});

function withoutAnswer(proposal: Parameters<SingleNode['propose']>[0]): typeof proposal {
  return {
    sizeBytes: proposal.sizeBytes,
    recordCount: proposal.recordCount,
    write: (frame, at, context) => proposal.write(frame, at, context),
    committed: () => undefined,
    rejected: () => undefined,
  };
}

describe('check-back', () => {
  const one: ReachableProducer = { clientId: 'client-1', nodeId: 0 };
  const two: ReachableProducer = { clientId: 'client-2', nodeId: 1 };

  test('asks at the time, also after the wall clock stepped back behind the log', async () => {
    producers.producers = [one];
    await send('a');
    clock.wallOffsetMs = -3_600_000;
    await send('b');
    follow();
    lead();
    await clock.advance(6_031);
    expect(producers.asked).toHaveLength(2);
  });

  test('asks at the time, then every interval, with the whole message', async () => {
    producers.producers = [one];
    await send('a');
    const bornMs = clock.nowMs;
    await clock.advance(5_999);
    expect(producers.asked).toEqual([]);
    await clock.advance(31);
    expect(producers.asked).toHaveLength(1);
    expect(producers.asked[0]!.atMs - bornMs).toBeGreaterThanOrEqual(6_000);
    expect(producers.asked[0]!.atMs - bornMs).toBeLessThanOrEqual(6_020);
    const { message } = decodeRecoverOrphanedTransaction(producers.commands[0]!)!;
    expect(message).toMatchObject({
      topic: { namespace: '', name: 'T' },
      messageId: 'a',
      tag: 'tag',
      keys: ['key'],
      messageType: messageType.TRANSACTION,
      bornTimestampMs: 7,
      storeTimestampMs: bornMs,
      receiptHandle: '',
      deliveryAttempt: 0,
    });
    expect(message.body.toString()).toBe('body of a');
    expect(message.bodyDigest?.type).toBe(2);
    await clock.advance(60_100);
    expect(producers.asked).toHaveLength(3);
    expect((await transactions.find('a'))[0]).toMatchObject({ checks: 3, state: 'pending' });
    expect(await commit('a')).toBeGreaterThan(0);
    await clock.advance(100_000);
    expect(producers.asked).toHaveLength(3);
    expect(visibleIds()).toEqual(['a']);
  });

  test('the message says when to ask first', async () => {
    producers.producers = [one];
    await send('slow', { transactionRecoveryMs: 60_000 });
    await send('fast', { transactionRecoveryMs: 1_000 });
    await send('zero', { transactionRecoveryMs: 0 });
    await clock.advance(7_000);
    expect(producers.asked.map(({ id }) => id)).toEqual(['fast', 'zero']);
    await clock.advance(52_900);
    expect(producers.asked.filter(({ id }) => id === 'slow')).toHaveLength(0);
    await clock.advance(200);
    expect(producers.asked.filter(({ id }) => id === 'slow')).toHaveLength(1);
  });

  test('first the sender, then all in turn; another one when the sender is gone', async () => {
    producers.producers = [two, one];
    await send('a');
    await clock.advance(150_000);
    const order = producers.asked.map(({ clientId }) => clientId);
    expect(order[0]).toBe('client-1');
    expect(new Set(order.slice(1))).toEqual(new Set(['client-1', 'client-2']));
    producers.producers = [two];
    await send('b');
    await clock.advance(6_100);
    expect(producers.asked.at(-1)).toMatchObject({ clientId: 'client-2', id: 'b' });
  });

  test('a stream that takes nothing does not count; the next producer is asked', async () => {
    producers.producers = [one, two];
    producers.deaf.add('client-1');
    await send('a');
    await clock.advance(6_100);
    expect(producers.asked.map(({ clientId }) => clientId)).toEqual(['client-2']);
    producers.deaf.add('client-2');
    await clock.advance(60_000);
    expect((await transactions.find('a'))[0]!.checks).toBe(1);
    producers.deaf.clear();
    await clock.advance(1_100);
    expect((await transactions.find('a'))[0]!.checks).toBe(2);
  });

  test('without a producer nothing is counted, and one look a second serves all of a topic', async () => {
    for (let i = 0; i < 50; i++) await send(`m${i}`);
    await clock.advance(600_000);
    expect((await transactions.find('m7'))[0]).toMatchObject({ checks: 0, state: 'pending' });
    expect(producers.finds).toBeLessThan(620);
    producers.producers = [two];
    await clock.advance(1_100);
    expect(new Set(producers.asked.map(({ id }) => id)).size).toBe(50);
    expect(producers.asked).toHaveLength(50);
  });

  test('a new leader goes on where the old one was', async () => {
    producers.producers = [one];
    await send('a');
    await clock.advance(6_100);
    follow();
    await clock.advance(100_000);
    expect(producers.asked).toHaveLength(1);
    lead();
    await clock.advance(50);
    expect(producers.asked).toHaveLength(2);
    await clock.advance(30_100);
    expect((await transactions.find('a'))[0]!.checks).toBe(3);
  });

  test('a check whose count is refused is asked again at its time, and counted once', async () => {
    producers.producers = [one];
    await send('a');
    await clock.advance(5_900);
    node.refuse = 'overloaded';
    await clock.advance(200);
    node.refuse = null;
    expect(producers.asked).toHaveLength(1);
    await clock.advance(30_200);
    expect(producers.asked).toHaveLength(2);
    expect((await transactions.find('a'))[0]!.checks).toBe(1);
  });

  test('no question while a decision is on its way', async () => {
    producers.producers = [one];
    await send('a');
    await clock.advance(5_900);
    node.hold = true;
    const done = commit('a');
    await clock.advance(3_000);
    expect(producers.asked).toEqual([]);
    node.hold = false;
    node.commit();
    await done;
    await clock.advance(100_000);
    expect(producers.asked).toEqual([]);
  });
});

describe('parked transactions', () => {
  const producer: ReachableProducer = { clientId: 'client-2', nodeId: 1 };

  beforeEach(async () => {
    service.stop();
    await start({ transactionCheckMax: '2', transactionParkedMax: '2' });
    producers.producers = [producer];
  });

  test('parked after the last question, readable, never delivered; resumed with all checks', async () => {
    await send('a');
    await clock.advance(6_100 + 30_100);
    expect(producers.asked).toHaveLength(2);
    expect(await stateOf('a')).toBe('pending');
    await clock.advance(30_000);
    expect(await stateOf('a')).toBe('parked');
    expect(transactions.list({ topic: null, state: 'parked', countMax: 9 })).toMatchObject([
      { transactionId: 'a', topic: 'T', checks: 2, nextCheckAtMs: null },
    ]);
    expect(visible(PARKED_TRANSACTIONS_TOPIC)).toMatchObject([{ messageId: 'a', sysFlag: 0 }]);
    expect(visible(PARKED_TRANSACTIONS_TOPIC)[0]!.properties.get('REAL_TOPIC')).toBe('T');
    expect(visible()).toEqual([]);
    await clock.advance(300_000);
    expect(producers.asked).toHaveLength(2);
    expect(await transactions.resume(null, 'b')).toBe(0);
    expect(await transactions.resume(null, 'a')).toBe(1);
    await clock.advance(50);
    expect(producers.asked).toHaveLength(3);
    await commit('a');
    expect(visibleIds()).toEqual(['a']);
  });

  test('a parking that nobody answered is not made twice, however late the log tells', async () => {
    await send('a');
    await clock.advance(6_100 + 30_100);
    node.hold = true;
    await clock.advance(30_000);
    expect(node.waiting).toBe(1);
    node.seal();
    node.giveUpSealed();
    await clock.advance(10 * 60_000);
    expect(node.waiting).toBe(0);
    node.hold = false;
    node.commit();
    await settle();
    expect(await stateOf('a')).toBe('parked');
    expect(await transactions.resume(null, 'a')).toBe(1);
    await clock.advance(100_000);
    expect(await stateOf('a')).toBe('parked');
    // Once for each time that it was parked.
    expect(visible(PARKED_TRANSACTIONS_TOPIC)).toHaveLength(2);
  });

  test('a parking without an answer that was lost is made by the next leader', async () => {
    await send('a');
    await clock.advance(6_100 + 30_100);
    node.hold = true;
    await clock.advance(30_000);
    node.seal();
    node.giveUpSealed();
    await settle();
    follow();
    node.loseAll();
    node.hold = false;
    lead();
    await clock.advance(60_000);
    expect(await stateOf('a')).toBe('parked');
    expect(visible(PARKED_TRANSACTIONS_TOPIC)).toHaveLength(1);
  });

  test('a late decision still counts', async () => {
    await send('a');
    await clock.advance(100_000);
    expect(await stateOf('a')).toBe('parked');
    await commit('a');
    expect(await stateOf('a')).toBe('committed');
    expect(state.tables.halves.parkedCount).toBe(0);
    expect(visibleIds()).toEqual(['a']);
  });

  test('beyond the limit those parked first are given up', async () => {
    for (const id of ['a', 'b', 'c']) {
      await send(id);
      await clock.advance(1_000);
    }
    await clock.advance(100_000);
    expect(await stateOf('a')).toBe('discarded');
    expect(transactions.list({ topic: 'T', state: 'parked', countMax: 9 })).toHaveLength(2);
    await expect(commit('a')).rejects.toThrow(/given up/);
    expect(transactions.probe).toMatchObject({ parked: 3, discarded: 1 });
    expect(await transactions.resume('T', null)).toBe(2);
    expect(await transactions.resume('T', null)).toBe(0);
  });
});

describe('outcomes', () => {
  test('are forgotten when they are old, or too many', async () => {
    service.stop();
    await start({ transactionOutcomeMs: '60000', transactionOutcomesMax: '5' });
    for (let i = 0; i < 8; i++) {
      await send(`m${i}`);
      await commit(`m${i}`);
    }
    expect(state.tables.cold.count).toBe(16);
    await clock.advance(10_100);
    expect(await stateOf('m2')).toBe(null);
    expect(await stateOf('m3')).toBe('committed');
    expect(state.tables.cold.count).toBe(10);
    await clock.advance(61_000);
    expect(await stateOf('m7')).toBe(null);
    expect(state.tables.cold.count).toBe(0);
    expect(await codeOf(commit('m7'))).toBe('INVALID_TRANSACTION_ID');
  });

  test('a forget command that is repeated has no effect', async () => {
    for (const id of ['a', 'b']) {
      await send(id);
      await commit(id);
    }
    const proposer = new RecordsProposer(node, new NextOffsets(state.tables));
    const forget = {
      kind: 'forget-outcomes',
      firstOutcome: 1,
      keys: [outcomeKey('T', 'a')],
    } as const;
    expect(await proposer.command(forget)).toBe(1);
    expect(await proposer.command(forget)).toBe(0);
    expect(await stateOf('a')).toBe(null);
    expect(await stateOf('b')).toBe('committed');
  });
});

describe('the state', () => {
  async function rebuilt(): Promise<BrokerStateMachine> {
    const replayed = await openBrokerState({
      stateStore,
      queueIndex: new MemoryQueueIndex(),
      log: node.log,
      logger: silentLogger,
      onFatal: unexpectedFatal,
    });
    for (const entry of node.log.entries.slice(replayed.appliedIndex)) {
      replayed.apply(entry, null);
      replayed.applied();
    }
    return replayed;
  }

  test('comes back from the log, and from rows saved at any time', async () => {
    producers.producers = [{ clientId: 'p', nodeId: 0 }];
    for (const id of ['a', 'b', 'c', 'd']) await send(id);
    await commit('a');
    await clock.advance(6_100);
    expect((await rebuilt()).digest()).toBe(state.digest());
    const capture = state.capture();
    await stateStore.save(capture.appliedIndex, capture.rows, capture.cold);
    state.captureSaved(capture);
    await rollback('b');
    await send('e');
    const again = await rebuilt();
    expect(again.digest()).toBe(state.digest());
    expect([...again.tables.halves.rows()].map(({ messageId }) => messageId)).toEqual([
      'c',
      'd',
      'e',
    ]);
    expect(again.tables.halves.find('T', 'c')).toMatchObject({ checks: 1, clientId: 'client-1' });
    // Saved rows, memory and what lies between: all of it can be read.
    expect(await codeOf(commit('c'))).toBe('OK');
    expect(await stateOf('a')).toBe('committed');
    expect(visibleIds()).toEqual(['a', 'c']);
  });
});
