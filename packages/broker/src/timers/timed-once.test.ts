import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isMqError, silentLogger } from '@raftmq/base';
import { storedBody } from '@raftmq/protocol';
import { type TimedPublishMessage, type TopicConfig } from '../messaging.js';
import { MessagingService } from '../messaging-service/messaging-service.js';
import {
  messagingServiceSettings,
  type MessagingServiceSettings,
} from '../messaging-service/settings.js';
import { RecentSends } from '../state/recent-sends.js';
import { openBrokerState } from '../state/recovery.js';
import { type BrokerStateMachine } from '../state/state-machine.js';
import { testMessage } from '../testing/service-fixture.js';
import {
  ManualClock,
  MemoryQueueIndex,
  MemoryStateStore,
  settle,
  SingleNode,
  unexpectedFatal,
} from '../testing/single-node.js';

/* Messages with a delivery time that are sent again under the same id: stored once, whatever became of the first one. */

const topic: TopicConfig = { name: 'T', type: 'DELAY', queues: 2, permission: 6 };
const settings = Object.fromEntries(
  Object.entries(messagingServiceSettings).map(([name, entry]) => [name, entry.default]),
) as MessagingServiceSettings;
const WINDOW_MS = 120_000;

let clock: ManualClock;
let node: SingleNode;
let stateStore: MemoryStateStore;
let queueIndex: MemoryQueueIndex;
let state: BrokerStateMachine;
let service: MessagingService;
let term = 0;

/** A replica over the log, rows and clock that there are; it leads. */
async function open(): Promise<void> {
  queueIndex = new MemoryQueueIndex();
  state = await openBrokerState({
    stateStore,
    queueIndex,
    log: node.log,
    logger: silentLogger,
    recentSends: new RecentSends(
      { sendDedupWindowMs: WINDOW_MS, sendDedupMax: 1_000 },
      Buffer.alloc(8, 5),
    ),
    sendDedupRebuildBytes: 1_000_000,
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
    brokerGroup: 'broker-a',
    randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
  });
  state.roleChanged({ role: 'leader', term: ++term, leaderId: 0, writable: true });
  await settle();
}

/** The process ends and starts again, with its last checkpoint of now, or without one. */
async function restart(saved: boolean): Promise<void> {
  if (saved) {
    const capture = state.capture();
    await stateStore.save(capture.appliedIndex, capture.rows, capture.cold);
    state.captureSaved(capture);
  }
  service.stop();
  await open();
}

beforeEach(async () => {
  clock = new ManualClock();
  node = new SingleNode(clock);
  stateStore = new MemoryStateStore();
  await open();
  await service.putTopic(topic);
});

afterEach(() => service.stop());

function timed(body: string, dueMs: number, id = body): TimedPublishMessage {
  return { ...testMessage(body, { messageId: id }), deliveryTimestampMs: dueMs };
}

async function send(...messages: TimedPublishMessage[]): Promise<readonly [string, boolean][]> {
  const results = await service.sendTimed(topic, messages);
  return results.map(({ recallHandle, isNew }) => [recallHandle, isNew]);
}

function visible(): string[] {
  const bodies: string[] = [];
  for (const [, entries] of queueIndex.entries) {
    for (const { position, sizeBytes } of entries)
      bodies.push(storedBody(node.log.cachedRecord(position, sizeBytes)!).toString());
  }
  return bodies.sort();
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isMqError(error) ? error.code : String(error);
  }
  return 'OK';
}

describe('a repeated message with a delivery time', () => {
  test('that waits gets the same recall handle, and is delivered once', async () => {
    const message = timed('a', clock.nowMs + 5_000);
    const [[handle, isNew]] = (await send(message)) as [[string, boolean]];
    expect(isNew).toBe(true);
    expect(await send(message)).toEqual([[handle, false]]);
    expect(state.tables.timers.pending).toBe(1);
    await clock.advance(6_000);
    expect(visible()).toEqual(['a']);
    expect(service.probe.messagesRepeated).toBe(1);
    expect(service.probe.messagesSent).toBe(1);
  });

  test.each([false, true])(
    'is known after a restart (saved rows: %s), and its handle recalls it',
    async (saved) => {
      const dueMs = clock.nowMs + 5_000;
      const first = await send(timed('a', dueMs), timed('b', dueMs), timed('c', dueMs + 1));
      await restart(saved);
      const again = await send(timed('b', dueMs), timed('c', dueMs + 1));
      expect(again).toEqual([
        [first[1]![0], false],
        [first[2]![0], false],
      ]);
      expect(await service.recall('T', again[0]![0])).toBe('b');
      await clock.advance(6_000);
      expect(visible()).toEqual(['a', 'c']);
    },
  );

  test('that was delivered in the meantime is answered with its place', async () => {
    const message = timed('a', clock.nowMs + 1_000);
    await send(message);
    await clock.advance(2_000);
    expect(visible()).toEqual(['a']);
    const [again] = await service.sendTimed(topic, [message]);
    expect(again).toEqual({ queueOffset: 0, recallHandle: '', isNew: false });
    await clock.advance(2_000);
    expect(visible()).toEqual(['a']);
  });

  test('that was recalled stays so', async () => {
    const message = timed('a', clock.nowMs + 5_000);
    const [[handle]] = (await send(message)) as [[string, boolean]];
    await service.recall('T', handle);
    expect(await send(message)).toEqual([[handle, false]]);
    await clock.advance(6_000);
    expect(visible()).toEqual([]);
  });

  test('that is under way shares the outcome of the first', async () => {
    const message = timed('a', clock.nowMs + 5_000);
    node.hold = true;
    const both = [send(message), send(message)];
    await settle();
    node.commit();
    node.hold = false;
    const [first, second] = await Promise.all(both);
    expect(second![0]![0]).toBe(first![0]![0]);
    expect([first![0]![1], second![0]![1]]).toEqual([true, false]);
    expect(state.tables.timers.pending).toBe(1);
  });

  test('of a call whose outcome is not known waits for it, and nothing is stored beside it', async () => {
    const message = timed('a', clock.nowMs + 5_000);
    node.refuse = 'unknown';
    expect(await codeOf(send(message))).toBe('REQUEST_TIMEOUT');
    node.refuse = null;
    // Never sealed here: it is known at once that it will not come.
    expect((await send(message))[0]![1]).toBe(true);
    expect(state.tables.timers.pending).toBe(1);
  });

  test('in a call with new ones stores those only', async () => {
    const dueMs = clock.nowMs + 5_000;
    const [[a]] = (await send(timed('a', dueMs))) as [[string, boolean]];
    const again = await send(timed('a', dueMs), timed('b', dueMs));
    expect(again[0]).toEqual([a, false]);
    expect(again[1]![1]).toBe(true);
    await clock.advance(6_000);
    expect(visible()).toEqual(['a', 'b']);
  });

  test('with another body, or out of the window, is another message', async () => {
    const dueMs = clock.nowMs + 2 * WINDOW_MS;
    await send(timed('a', dueMs));
    expect((await send(timed('other', dueMs, 'a')))[0]![1]).toBe(true);
    await clock.advance(WINDOW_MS + 2_000);
    expect((await send(timed('a', dueMs)))[0]![1]).toBe(true);
    expect(state.tables.timers.pending).toBe(3);
  });

  test('of a topic that was deleted and made anew is new', async () => {
    const message = timed('a', clock.nowMs + 5_000);
    await send(message);
    await service.deleteTopic('T');
    await service.putTopic(topic);
    expect((await send(message))[0]![1]).toBe(true);
    await restart(true);
    expect((await send(message))[0]![1]).toBe(false);
    await clock.advance(6_000);
    expect(visible()).toEqual(['a']);
  });

  test('counts against the limit of waiting messages only once', async () => {
    const message = timed('a', clock.nowMs + 5_000);
    await send(message);
    for (let i = 0; i < 10; i++) await send(message);
    expect(service.timers.probe.put).toBe(1);
  });
});
