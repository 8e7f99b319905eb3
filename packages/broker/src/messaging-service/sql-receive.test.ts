import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { defaultsOf, createPrng, silentLogger } from '@raftmq/base';
import { ALL_MESSAGES, parseMessageFilter, storedBody, type MessageFilter } from '@raftmq/protocol';
import { type PublishMessage, type ReceiveRequest, type TopicConfig } from '../messaging.js';
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
import { messagingServiceSettings, type MessagingServiceSettings } from './settings.js';
import { type RecordLog } from './turn-records.js';

const settings: MessagingServiceSettings = {
  ...defaultsOf(messagingServiceSettings),
  autoCreateGroup: true,
  groupMaxAttempts: 17,
  openMessagesMax: 100_000,
  pollersPerQueueMax: 8,
  pollersMax: 12,
  turnWaitMs: 1_000,
  renewClientsMax: 1_000,
};

/** A log whose memory forgets: records that are not `warm` have to be read. */
class ForgetfulLog implements RecordLog {
  warm: (position: number) => boolean = () => true;
  reads = 0;
  readsAtOnce = 0;
  readsAtOnceMax = 0;
  beforeRead: () => void = () => undefined;
  readonly #log: RecordLog;

  constructor(log: RecordLog) {
    this.#log = log;
  }

  cachedRecord(position: number, sizeBytes: number): Buffer | null {
    return this.warm(position) ? this.#log.cachedRecord(position, sizeBytes) : null;
  }

  async readRecord(position: number, sizeBytes: number): Promise<Buffer | null> {
    this.reads++;
    this.readsAtOnceMax = Math.max(this.readsAtOnceMax, ++this.readsAtOnce);
    this.beforeRead();
    await Promise.resolve();
    this.readsAtOnce--;
    return this.#log.cachedRecord(position, sizeBytes);
  }
}

let clock: ManualClock;
let log: ForgetfulLog;
let state: BrokerStateMachine;
let service: MessagingService;
let topic: TopicConfig;

async function start(queues = 1): Promise<void> {
  clock = new ManualClock();
  const node = new SingleNode(clock);
  const queueIndex = new MemoryQueueIndex();
  log = new ForgetfulLog(node.log);
  state = await openBrokerState({
    stateStore: new MemoryStateStore(),
    queueIndex,
    log: node.log,
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
    settings,
    brokerGroup: 'broker-a',
    randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
  });
  state.roleChanged({ role: 'leader', term: 1, leaderId: 0, writable: true });
  await settle();
  topic = { name: 'T', type: 'NORMAL', queues, permission: 6 };
  await service.putTopic(topic);
  await service.putGroup({ name: 'og', fifo: true, maxAttempts: 3 });
}

beforeEach(() => start());
afterEach(() => service.stop());

function sql(expression: string): MessageFilter {
  return parseMessageFilter(2, expression);
}

function message(n: number, properties: readonly string[]): PublishMessage {
  return {
    messageId: `id-${n}`,
    body: Buffer.from(String(n)),
    tag: null,
    keys: [],
    userProperties: properties,
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: 'host',
    gzip: false,
  };
}

/** Sends messages 0 … count - 1, with their number as the property `n`. */
async function send(count: number, from = 0): Promise<void> {
  const messages = Array.from({ length: count }, (_, i) =>
    message(from + i, ['n', String(from + i)]),
  );
  for (let at = 0; at < count; at += 100) await service.send(topic, messages.slice(at, at + 100));
}

function request(filter: MessageFilter, fields: Partial<ReceiveRequest> = {}): ReceiveRequest {
  return {
    group: 'g',
    topic: 'T',
    queueId: null,
    batchSize: 16,
    invisibleMs: 10_000,
    autoRenew: false,
    clientId: 'client',
    pollingMs: 0,
    filter,
    attemptId: null,
    signal: new AbortController().signal,
    ...fields,
  };
}

async function receive(
  filter: MessageFilter,
  fields: Partial<ReceiveRequest> = {},
): Promise<number[]> {
  const messages = await service.receive(request(filter, fields));
  return messages.map(({ record }) => Number(storedBody(record).toString()));
}

async function receiveAndAck(filter: MessageFilter, group = 'g'): Promise<number[]> {
  const messages = await service.receive(request(filter, { group }));
  const targets = messages.map(({ receiptHandle }) => ({ messageId: 'x', receiptHandle }));
  if (targets.length > 0) await service.ack(group, 'T', targets);
  return messages.map(({ record }) => Number(storedBody(record).toString()));
}

/** Receives until nothing more comes, without or with acks. */
async function drain(filter: MessageFilter, group: string, ack = true): Promise<number[]> {
  const got: number[] = [];
  for (;;) {
    const batch = ack ? await receiveAndAck(filter, group) : await receive(filter, { group });
    if (batch.length === 0) return got;
    got.push(...batch);
  }
}

function committed(group = 'g'): number {
  return state.tables.delivery(group, 'T', 0)?.state.committedOffset ?? 0;
}

describe.each([
  ['in memory', () => true],
  ['on disk', () => false],
  ['half in memory', (position: number) => position % 3 > 0],
])('messages %s', (_, warm) => {
  beforeEach(() => {
    log.warm = warm;
  });

  test('those that the filter lets through come in order, the others count as consumed', async () => {
    await send(100);
    const filter = sql('n BETWEEN 10 AND 12 OR n = 50');
    expect(await drain(filter, 'g')).toEqual([10, 11, 12, 50]);
    expect(committed()).toBeGreaterThanOrEqual(51);
    expect(await receive(filter)).toEqual([]);
    expect(await receive(ALL_MESSAGES)).toEqual([]);
  });

  test('a match behind many others is found by one call', async () => {
    await send(2_500);
    expect(await receive(sql('n = 2400'))).toEqual([2_400]);
    expect(log.readsAtOnceMax).toBeLessThanOrEqual(64);
  });

  test('an ordered group gets them in order, also behind many others', async () => {
    await send(3_000);
    const filter = sql('n IN (5, 7, 2800)');
    expect(await drain(filter, 'og')).toEqual([5, 7, 2_800]);
  });

  test('an ordered batch whose time is over comes again if the filter still lets it through', async () => {
    await send(2_000);
    expect((await receive(sql('n < 3'), { group: 'og' }))[0]).toBe(0);
    await clock.advance(11_000);
    expect(await drain(sql('n = 1 OR n = 1500'), 'og')).toEqual([1, 1_500]);
    expect(committed('og')).toBeGreaterThanOrEqual(1_501);
  });

  test('what was handed out before is dropped when the filter refuses it now', async () => {
    await send(4);
    expect(await drain(sql('n < 3'), 'g', false)).toEqual([0, 1, 2]);
    await clock.advance(11_000);
    expect(await drain(sql('n = 1'), 'g')).toEqual([1]);
    await clock.advance(11_000);
    expect(await receive(sql('n < 3'))).toEqual([]);
    expect(committed()).toBeGreaterThanOrEqual(3);
  });

  test('a waiting call is answered by a message that it asked for, not by another', async () => {
    const answers: number[][] = [];
    const waiting = receive(sql('n = 7'), { pollingMs: 5_000 }).then((got) => answers.push(got));
    await settle();
    await send(1, 6);
    await clock.advance(100);
    expect(answers).toEqual([]);
    await send(1, 7);
    await clock.advance(100);
    await waiting;
    expect(answers).toEqual([[7]]);
  });
});

test('a waiting call still ends at its time when nothing that comes fits', async () => {
  log.warm = () => false;
  const answers: number[][] = [];
  void receive(sql('n = -1'), { pollingMs: 1_000 }).then((got) => answers.push(got));
  for (let i = 0; i < 9; i++) {
    await send(200, i * 200);
    await clock.advance(100);
  }
  expect(answers).toEqual([]);
  await clock.advance(120);
  expect(answers).toEqual([[]]);
});

test('a call whose time passes while it reads is answered, and the next one goes on behind', async () => {
  await send(6_000);
  log.warm = () => false;
  // Every read takes some time.
  log.beforeRead = () => void (clock.nowMs += 1);
  const filter = sql('n = 5900');
  expect(await receive(filter, { pollingMs: 1_000 })).toEqual([]);
  const readsOfFirst = log.reads;
  expect(readsOfFirst).toBeLessThan(2_500);
  let got: number[] = [];
  for (let calls = 0; calls < 40 && got.length === 0; calls++) {
    got = await receive(filter, { pollingMs: 1_000 });
  }
  expect(got).toEqual([5_900]);
  expect(log.reads).toBeLessThan(6_100);
});

test('a caller that goes away while messages are read gets no lease', async () => {
  await send(10);
  log.warm = () => false;
  const gone = new AbortController();
  log.beforeRead = () => gone.abort();
  expect(await receive(sql('n = 5'), { signal: gone.signal })).toEqual([]);
  log.beforeRead = () => undefined;
  expect(await receive(sql('n = 5'))).toEqual([5]);
});

test('several queues: every match is delivered once, whatever is in memory', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    service.stop();
    await start(4);
    const prng = createPrng(seed);
    const coldness = prng.next();
    log.warm = () => prng.next() >= coldness;
    const expected: number[] = [];
    for (let n = 0; n < 200; n++) {
      const color = prng.pick(['red', 'green', 'blue']);
      if (color === 'red' && n % 2 === 0) expected.push(n);
      await service.send(topic, [message(n, ['color', color, 'even', String(n % 2 === 0)])]);
    }
    const filter = sql("color = 'red' AND even");
    const got: number[] = [];
    for (let empty = 0; empty < 3;) {
      const batch = await receiveAndAck(filter);
      got.push(...batch);
      empty = batch.length === 0 ? empty + 1 : 0;
    }
    expect(got.sort((a, b) => a - b)).toEqual(expected);
  }
});
