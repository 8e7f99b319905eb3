import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isMqError, silentLogger } from '@raftmq/base';
import {
  decodeStoredMessage,
  propertyName,
  storedBody,
  storedStoreTimestampMs,
  type StoredMessage,
} from '@raftmq/protocol';
import { type TimedPublishMessage, type TopicConfig } from '../messaging.js';
import { MessagingService } from '../messaging-service/messaging-service.js';
import {
  messagingServiceSettings,
  type MessagingServiceSettings,
} from '../messaging-service/settings.js';
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
import { type TimerSettings } from './settings.js';

const topic: TopicConfig = { name: 'T', type: 'DELAY', queues: 1, permission: 6 };
const settings = Object.fromEntries(
  Object.entries(messagingServiceSettings).map(([name, entry]) => [name, entry.default]),
) as MessagingServiceSettings;

let clock: ManualClock;
let node: SingleNode;
let queueIndex: MemoryQueueIndex;
let stateStore: MemoryStateStore;
let state: BrokerStateMachine;
let service: MessagingService;

/** A replica over the log, the store and the clock that there are. */
async function open(timerSettings: Partial<TimerSettings> = {}): Promise<void> {
  queueIndex = new MemoryQueueIndex();
  state = await openBrokerState({
    stateStore,
    queueIndex,
    log: node.log,
    logger: silentLogger,
    onFatal: unexpectedFatal,
  });
  for (const entry of node.log.read(state.appliedIndex + 1, node.log.lastIndex))
    state.apply(entry, null);
  state.applied();
  node.machines.splice(0, Infinity, state);
  service = new MessagingService({
    state,
    proposer: node,
    queueIndex,
    log: node.log,
    clock,
    logger: silentLogger,
    settings,
    timerSettings,
    brokerGroup: 'broker-a',
    randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
  });
}

let term = 0;

async function lead(): Promise<void> {
  state.roleChanged({ role: 'leader', term: ++term, leaderId: 0, writable: true });
  await settle();
}

function follow(): void {
  state.roleChanged({ role: 'follower', term: ++term, leaderId: 1, writable: false });
}

async function start(timerSettings: Partial<TimerSettings> = {}): Promise<void> {
  clock = new ManualClock();
  node = new SingleNode(clock);
  stateStore = new MemoryStateStore();
  await open(timerSettings);
  await lead();
  await service.putTopic(topic);
}

async function checkpoint(): Promise<void> {
  const capture = state.capture();
  await stateStore.save(capture.appliedIndex, capture.rows, capture.cold);
  state.captureSaved(capture);
}

beforeEach(() => start());
afterEach(() => service.stop());

function message(body: string, dueMs: number | null): TimedPublishMessage {
  return {
    messageId: `id-${body}`,
    body: Buffer.from(body),
    tag: 'tag',
    keys: ['k1', 'k 2'],
    userProperties: ['color', 'blue'],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: clock.nowMs,
    bornHost: 'host:1',
    gzip: false,
    deliveryTimestampMs: dueMs,
  };
}

async function send(body: string, delayMs: number): Promise<string> {
  const [result] = await service.sendTimed(topic, [message(body, clock.nowMs + delayMs)]);
  return result!.recallHandle;
}

/** Messages of the topic in the order of its queue. */
function delivered(name = topic.name): StoredMessage[] {
  const slice = queueIndex.read(name, 0, 0, 100_000);
  return Array.from({ length: slice.count }, (_, i) =>
    decodeStoredMessage(node.log.cachedRecord(slice.positions[i]!, slice.sizesBytes[i]!)!),
  );
}

function bodies(name = topic.name): string[] {
  return delivered(name).map((one) => one.body.toString());
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return isMqError(error) ? error.code : `foreign: ${String(error)}`;
  }
  return 'none';
}

describe('delivery', () => {
  test('a message enters its queue at its time, not a millisecond before', async () => {
    const dueMs = clock.nowMs + 7_345;
    expect(await send('a', 7_345)).not.toBe('');
    await clock.advance(7_344);
    expect(delivered()).toEqual([]);
    await clock.advance(1);
    const [stored] = delivered();
    expect(stored).toMatchObject({
      messageId: 'id-a',
      tag: 'tag',
      keys: ['k1', 'k 2'],
      userProperties: ['color', 'blue'],
      storeTimestampMs: dueMs,
      queueOffset: 0,
    });
    expect(stored!.properties.get(propertyName.TIMER_DELIVER_MS)).toBe(String(dueMs));
    expect(state.tables.timers.pending).toBe(0);
    expect(state.tables.cold.count).toBe(0);
    expect(service.timers.probe).toMatchObject({ put: 1, fired: 1, latenessMaxMs: 0 });
    expect(service.timers.loaded).toBe(0);
  });

  test('a time in the past is now, and such a message cannot be recalled', async () => {
    const results = await service.sendTimed(topic, [
      message('past', clock.nowMs - 1_000),
      message('now', clock.nowMs),
      message('later', clock.nowMs + 1),
      message('untimed', null),
    ]);
    expect(bodies()).toEqual(['past', 'now', 'untimed']);
    expect(results.map(({ queueOffset }) => queueOffset)).toEqual([0, 1, 0, 2]);
    expect(results.map(({ recallHandle }) => recallHandle !== '')).toEqual([
      false,
      false,
      true,
      false,
    ]);
    await clock.advance(1);
    expect(bodies()).toEqual(['past', 'now', 'untimed', 'later']);
  });

  test('equal times are delivered in the order of sending, others by time', async () => {
    for (let i = 0; i < 20; i++) await send(`b${i}`, 2_000);
    for (let i = 0; i < 20; i++) await send(`a${i}`, 1_000);
    await clock.advance(5_000);
    const numbered = (letter: string): string[] =>
      Array.from({ length: 20 }, (_, i) => `${letter}${i}`);
    expect(bodies()).toEqual([...numbered('a'), ...numbered('b')]);
  });

  test('messages far ahead are not in memory, and come all the same', async () => {
    const days = [1, 7, 39];
    for (const day of days) await send(`day ${day}`, day * 86_400_000);
    await clock.advance(100);
    expect(service.timers.loaded).toBe(0);
    for (const day of days) {
      clock.nowMs += day * 86_400_000 - (clock.nowMs % 1) - 10_000;
      await clock.advance(20_000);
    }
    expect(new Set(bodies())).toEqual(new Set(days.map((day) => `day ${day}`)));
  });

  test('a burst is larger than memory may hold', async () => {
    await start({ timersLoadedMax: 64 });
    for (let i = 0; i < 10; i++) {
      const batch = Array.from({ length: 100 }, (_, j) =>
        message(`${i * 100 + j}`, clock.nowMs + 3_000 + ((i * 100 + j) % 7)),
      );
      await service.sendTimed(topic, batch);
      expect(service.timers.loaded).toBeLessThanOrEqual(64);
      if (i === 5) await checkpoint();
    }
    await clock.advance(20_000);
    expect(bodies()).toHaveLength(1_000);
    expect(new Set(bodies()).size).toBe(1_000);
    expect(service.timers.loaded).toBe(0);
    for (const { storeTimestampMs, properties } of delivered()) {
      expect(storeTimestampMs).toBeGreaterThanOrEqual(
        Number(properties.get(propertyName.TIMER_DELIVER_MS)),
      );
    }
  });

  test('messages go round the queues', async () => {
    await service.putTopic({ ...topic, name: 'Q', queues: 4 });
    const wide = { ...topic, name: 'Q', queues: 4 };
    const dueMs = clock.nowMs + 10;
    await service.sendTimed(
      wide,
      Array.from({ length: 8 }, (_, i) => message(`${i}`, dueMs)),
    );
    await clock.advance(10);
    expect([0, 1, 2, 3].map((queueId) => queueIndex.maxOffset('Q', queueId))).toEqual([2, 2, 2, 2]);
  });

  test('a deleted topic takes its messages along, also when it is made anew', async () => {
    await send('old', 1_000);
    await service.deleteTopic('T');
    await service.putTopic(topic);
    await send('new', 1_500);
    await clock.advance(5_000);
    expect(bodies()).toEqual(['new']);
    expect(service.timers.probe).toMatchObject({ fired: 1, dropped: 1 });
    expect(state.tables.timers.pending).toBe(0);
  });
});

describe('clocks', () => {
  test('a clock that jumps ahead is noticed within a second', async () => {
    await send('a', 3_600_000);
    await clock.advance(10);
    const real = clock.wallMs.bind(clock);
    clock.wallMs = () => real() + 3_600_000;
    await clock.advance(1_000);
    expect(bodies()).toEqual(['a']);
  });

  test('a clock that went back between finding and sealing makes nobody early', async () => {
    await send('a', 5_000);
    node.hold = true;
    await clock.advance(5_000);
    expect(node.waiting).toBe(1);
    const real = clock.wallMs.bind(clock);
    clock.wallMs = () => real() - 3_000;
    node.hold = false;
    node.commit();
    await settle();
    expect(bodies()).toEqual([]);
    expect(service.timers.probe.early).toBe(1);
    await clock.advance(2_999);
    expect(bodies()).toEqual([]);
    await clock.advance(1);
    expect(bodies()).toEqual(['a']);
    expect(state.tables.timers.pending).toBe(0);
  });
});

describe('exactly once', () => {
  test('a proposal that was refused is made again', async () => {
    await send('a', 1_000);
    node.refuse = 'overloaded';
    await clock.advance(5_000);
    expect(bodies()).toEqual([]);
    node.refuse = null;
    await clock.advance(200);
    expect(bodies()).toEqual(['a']);
  });

  test('a proposal whose outcome is unknown is not', async () => {
    await send('a', 1_000);
    node.hold = true;
    await clock.advance(1_000);
    node.seal();
    node.giveUpSealed();
    await clock.advance(60_000);
    expect(node.waiting).toBe(0);
    // It was in the log all the time.
    node.hold = false;
    node.commit();
    await clock.advance(60_000);
    expect(bodies()).toEqual(['a']);
    expect(state.tables.timers.pending).toBe(0);
  });

  test('a proposal that came to nothing is made again, even if nobody tells its outcome', async () => {
    await send('a', 5_000);
    node.hold = true;
    await clock.advance(5_000);
    const real = clock.wallMs.bind(clock);
    clock.wallMs = () => real() - 3_000;
    node.seal();
    node.giveUpSealed();
    node.hold = false;
    node.commit();
    await clock.advance(3_000);
    expect(bodies()).toEqual(['a']);
  });

  test('it fires after a change of the leader when the proposal was lost', async () => {
    await send('a', 1_000);
    node.hold = true;
    await clock.advance(1_000);
    node.seal();
    follow();
    node.loseAll();
    node.hold = false;
    await clock.advance(60_000);
    expect(bodies()).toEqual([]);
    await lead();
    await clock.advance(10);
    expect(bodies()).toEqual(['a']);
  });

  test.each([false, true])(
    'waiting messages survive a restart, with rows saved: %s',
    async (saved) => {
      for (let i = 0; i < 50; i++) await send(`${i}`, 1_000 + i * 100);
      if (saved) await checkpoint();
      await clock.advance(2_000);
      const before = bodies().length;
      expect(before).toBeGreaterThan(5);
      const digest = state.digest();
      service.stop();
      await open();
      expect(state.digest()).toBe(digest);
      await lead();
      await clock.advance(10_000);
      const all = node.log.entries.length;
      expect(all).toBeGreaterThan(0);
      const seen = saved ? state.tables.topics.get('T')!.queues[0]!.endOffset : bodies().length;
      expect(seen).toBe(50);
    },
  );

  test('no timer fires while a load is under way that still shows it', async () => {
    await send('a', 1_000);
    await checkpoint();
    follow();
    const range = stateStore.coldRange.bind(stateStore);
    let answer: () => void = () => undefined;
    stateStore.coldRange = async (...args) => {
      const rows = await range(...args);
      await new Promise<void>((resolve) => (answer = resolve));
      return rows;
    };
    await lead();
    const handle = (await service.sendTimed(topic, [message('b', clock.nowMs + 900)]))[0]!;
    await service.recall('T', handle.recallHandle);
    stateStore.coldRange = range;
    answer();
    await clock.advance(5_000);
    expect(bodies()).toEqual(['a']);
    expect(state.tables.timers.pending).toBe(0);
  });
});

describe('recall', () => {
  test('a recalled message never comes, and a second recall is fine', async () => {
    const near = await send('near', 1_000);
    const far = await send('far', 86_400_000);
    await checkpoint();
    expect(await service.recall('T', near)).toBe('id-near');
    expect(await service.recall('T', far)).toBe('id-far');
    expect(await service.recall('T', near)).toBe('id-near');
    expect(await service.recall('T', far)).toBe('id-far');
    expect(state.tables.timers.pending).toBe(0);
    expect(state.tables.cold.count).toBe(0);
    clock.nowMs += 86_400_000;
    await clock.advance(5_000);
    expect(bodies()).toEqual([]);
    expect(service.timers.probe.recalled).toBe(2);
  });

  test('two recalls at once are one', async () => {
    const handle = await send('a', 1_000);
    await Promise.all([service.recall('T', handle), service.recall('T', handle)]);
    expect(service.timers.probe.recalled).toBe(1);
    expect(state.tables.timers.pending).toBe(0);
  });

  test('too late is told', async () => {
    const handle = await send('a', 1_000);
    node.hold = true;
    await clock.advance(1_000);
    expect(await codeOf(service.recall('T', handle))).toBe('RECALL_FAILED');
    node.hold = false;
    node.commit();
    await settle();
    expect(await codeOf(service.recall('T', handle))).toBe('RECALL_FAILED');
    expect(bodies()).toEqual(['a']);
    // Not even with a clock that says otherwise.
    const real = clock.wallMs.bind(clock);
    clock.wallMs = () => real() - 5_000;
    expect(await codeOf(service.recall('T', handle))).toBe('RECALL_FAILED');
  });

  test('what is no handle of the topic is refused', async () => {
    const handle = await send('a', 1_000);
    for (const [name, text] of [
      ['T', 'garbage'],
      ['T', ''],
      ['U', handle],
    ] as const) {
      expect(await codeOf(service.recall(name, text))).toBe('RECALL_FAILED');
    }
    await clock.advance(1_000);
    expect(bodies()).toEqual(['a']);
    await start({ recallEnable: false });
    expect(await send('b', 1_000)).toBe('');
    expect(await codeOf(service.recall('T', handle))).toBe('FORBIDDEN');
  });

  test('a recall that was refused leaves the message waiting', async () => {
    const near = await send('near', 1_000);
    const far = await send('far', 20_000);
    node.refuse = 'overloaded';
    expect(await codeOf(service.recall('T', near))).toBe('TOO_MANY_REQUESTS');
    expect(await codeOf(service.recall('T', far))).toBe('TOO_MANY_REQUESTS');
    node.refuse = null;
    await clock.advance(1_000);
    expect(bodies()).toEqual(['near']);
    await clock.advance(20_000);
    expect(bodies()).toEqual(['near', 'far']);
  });

  test('nobody fires a message while its recall is open', async () => {
    const handle = await send('a', 1_000);
    node.hold = true;
    const recall = service.recall('T', handle);
    await settle();
    await clock.advance(5_000);
    expect(node.waiting).toBe(1);
    node.hold = false;
    node.commit();
    await recall;
    await clock.advance(5_000);
    expect(bodies()).toEqual([]);
    expect(state.tables.timers.pending).toBe(0);
  });
});

test('more than may wait are refused, and taken again when some were delivered', async () => {
  await start({ timersMax: 3 });
  await send('a', 1_000);
  await send('b', 2_000);
  const two = [message('c', clock.nowMs + 1_000), message('d', clock.nowMs + 1_000)];
  expect(await codeOf(service.sendTimed(topic, two))).toBe('TOO_MANY_REQUESTS');
  await service.sendTimed(topic, [message('now', clock.nowMs)]);
  await clock.advance(1_000);
  expect(await codeOf(service.sendTimed(topic, two))).toBe('none');
  expect(service.timers.probe.refused).toBe(2);
});

test('the bodies of fired messages are what was sent', async () => {
  const body = Buffer.alloc(100_000, 0xa5);
  await service.sendTimed(topic, [{ ...message('x', clock.nowMs + 50), body }]);
  await checkpoint();
  follow();
  await lead();
  await clock.advance(50);
  const slice = queueIndex.read('T', 0, 0, 1);
  const record = node.log.cachedRecord(slice.positions[0]!, slice.sizesBytes[0]!)!;
  expect(storedBody(record).equals(body)).toBe(true);
  expect(storedStoreTimestampMs(record)).toBe(clock.nowMs);
});
