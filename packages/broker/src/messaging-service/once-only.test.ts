import { beforeEach, describe, expect, test } from '@jest/globals';
import { isMqError, silentLogger } from '@raftmq/base';
import { prepareStoredMessage, storedBody, storedMessageId } from '@raftmq/protocol';
import { ENTRY_HEADER_SIZE_BYTES, entryType, sealEntry, type Proposal } from '@raftmq/raft';
import { type PublishMessage, type SendResult, type TopicConfig } from '../messaging.js';
import { RecentSends } from '../state/recent-sends.js';
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
import { NextOffsets } from './next-offsets.js';
import { OnceOnly } from './once-only.js';
import { createMessagingProbe, type MessagingProbe } from './probe.js';
import { RecordsProposer, type Proposer } from './proposals.js';

const config: TopicConfig = { name: 'T', type: 'NORMAL', queues: 2, permission: 6 };
const limits = { sendDedupWindowMs: 120_000, sendDedupMax: 8192 };

let clock: ManualClock;
let node: SingleNode;
let stateStore: MemoryStateStore;
let queueIndex: MemoryQueueIndex;
let state: BrokerStateMachine;
let onceOnly: OnceOnly;
let probe: MessagingProbe;
let records: RecordsProposer;
let leads: boolean;

/** A replica that leads, over the log and the saved rows that there are. */
async function lead(proposer: Proposer = node, remembers = true): Promise<void> {
  queueIndex = new MemoryQueueIndex();
  state = await openBrokerState({
    stateStore,
    queueIndex,
    log: node.log,
    logger: silentLogger,
    recentSends: remembers ? new RecentSends(limits, Buffer.from('01234567')) : null,
    sendDedupRebuildBytes: 1024 * 1024,
    onFatal: unexpectedFatal,
  });
  for (const entry of node.log.read(state.appliedIndex + 1, node.log.lastIndex)) {
    state.apply(entry, null);
  }
  node.machines.splice(0, node.machines.length, state);
  probe = createMessagingProbe();
  leads = true;
  const offsets = new NextOffsets(state.tables);
  records = new RecordsProposer(proposer, offsets);
  onceOnly = new OnceOnly({
    recent: state.recentSends,
    proposer,
    offsets,
    queueIndex,
    log: node.log,
    clock,
    probe,
    appliedIndex: () => state.appliedIndex,
    refusal: () => (leads ? null : (new Error('not leading') as never)),
  });
}

beforeEach(async () => {
  clock = new ManualClock();
  node = new SingleNode(clock);
  stateStore = new MemoryStateStore();
  await lead();
  await records.command({ kind: 'put-topic', topic: config, ifMissing: false });
});

function message(messageId: string, body = `body of ${messageId}`): PublishMessage {
  return {
    messageId,
    body: Buffer.from(body),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: 'host',
    gzip: false,
  };
}

function send(messages: readonly PublishMessage[], queueId = 0): Promise<SendResult> {
  const topic = state.tables.topics.get('T')!;
  const prepared = messages.map((m) => prepareStoredMessage(m, 'T'));
  return onceOnly.send({ topic, queueId, messages, prepared });
}

/** `id=body` of all that is stored in a queue. */
function stored(queueId = 0): string[] {
  node.log.slow = false;
  const { count, positions, sizesBytes } = queueIndex.read('T', queueId, 0, 10_000);
  return Array.from({ length: count }, (_, i) => {
    const record = node.log.cachedRecord(positions[i]!, sizesBytes[i]!)!;
    return `${storedMessageId(record)}=${storedBody(record).toString()}`;
  });
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'OK',
    (error: unknown) => (isMqError(error) ? error.code : String(error)),
  );

const offsetsOf = ({ firstQueueOffset, repeats }: SendResult, count: number): readonly number[] =>
  repeats?.offsets ?? Array.from({ length: count }, (_, i) => firstQueueOffset + i);

describe('a message that was stored', () => {
  test.each([false, true])(
    'is answered with its place, not stored again (from disk: %s)',
    async (slow) => {
      await send([message('x')]);
      await send([message('a')]);
      node.log.slow = slow;
      const again = await send([message('a')], 1);
      expect(again).toMatchObject({
        firstQueueOffset: 1,
        repeats: { offsets: [1], isNew: [false] },
      });
      expect(await Promise.all([send([message('a')]), send([message('a')])])).toMatchObject([
        { firstQueueOffset: 1 },
        { firstQueueOffset: 1 },
      ]);
      expect(stored()).toEqual(['x=body of x', 'a=body of a']);
      expect(stored(1)).toEqual([]);
      expect(probe.messagesRepeated).toBe(3);
    },
  );

  test('is known in calls of several messages, also among new ones', async () => {
    const first = await send([message('a'), message('b'), message('c')]);
    expect(first.repeats).toBeUndefined();
    expect(offsetsOf(await send([message('a'), message('b'), message('c')]), 3)).toEqual([0, 1, 2]);
    const mixed = await send([message('d'), message('b'), message('e'), message('a')]);
    expect(mixed.repeats).toEqual({ offsets: [3, 1, 4, 0], isNew: [true, false, true, false] });
    expect(stored()).toHaveLength(5);
    expect(probe.messagesRepeated).toBe(5);
  });

  test('with the same id and another body is another message', async () => {
    await send([message('a', 'one')]);
    expect(await send([message('a', 'two')])).toEqual({ queueId: 0, firstQueueOffset: 1 });
    expect(await send([message('a', 'one')])).toMatchObject({ firstQueueOffset: 0 });
    expect(await send([message('a', 'two')])).toMatchObject({ firstQueueOffset: 1 });
    expect(stored()).toEqual(['a=one', 'a=two']);
  });

  test('is forgotten after the window', async () => {
    await send([message('a')]);
    clock.nowMs += limits.sendDedupWindowMs;
    await send([message('a')]);
    expect(stored()).toHaveLength(1);
    clock.nowMs += 2_000;
    await send([message('a')]);
    expect(stored()).toHaveLength(2);
  });

  test('is gone with its topic', async () => {
    await send([message('a')]);
    await records.command({ kind: 'delete-topic', name: 'T' });
    await queueIndex.deleteTopic('T');
    await records.command({ kind: 'put-topic', topic: config, ifMissing: false });
    expect(await send([message('a')])).toEqual({ queueId: 0, firstQueueOffset: 0 });
    expect(stored()).toEqual(['a=body of a']);
  });

  test.each([false, true])(
    'is known to the next leader (restarted from saved rows: %s)',
    async (saved) => {
      await send([message('a'), message('b')]);
      if (saved) {
        const { appliedIndex, rows, cold } = state.capture();
        await stateStore.save(appliedIndex, rows, cold);
      }
      const before = queueIndex;
      await lead();
      expect(state.appliedIndex).toBe(node.log.lastIndex);
      // Where rows are saved, the queue files are as well.
      if (saved) expect(queueIndex.maxOffset('T', 0)).toBe(before.maxOffset('T', 0));
      expect(offsetsOf(await send([message('a'), message('b')]), 2)).toEqual([0, 1]);
      expect(stored()).toHaveLength(2);
    },
  );

  test('is stored again when nothing is to be remembered', async () => {
    await lead(node, false);
    await send([message('a')]);
    expect(await send([message('a')])).toEqual({ queueId: 0, firstQueueOffset: 1 });
  });
});

describe('a message under way', () => {
  test('is waited for', async () => {
    node.hold = true;
    const first = send([message('a'), message('b')]);
    const again = [send([message('b')]), send([message('a'), message('b'), message('c')])];
    await settle();
    expect(node.waiting).toBe(1);
    node.hold = false;
    node.commit();
    expect(offsetsOf(await first, 2)).toEqual([0, 1]);
    expect(offsetsOf(await again[0]!, 1)).toEqual([1]);
    expect(offsetsOf(await again[1]!, 3)).toEqual([0, 1, 2]);
    expect(stored()).toHaveLength(3);
    expect(onceOnly.open).toBe(0);
  });

  test('with another body is not', async () => {
    node.hold = true;
    const sent = [send([message('a', 'one')]), send([message('a', 'two')])];
    await settle();
    expect(node.waiting).toBe(2);
    node.hold = false;
    node.commit();
    expect((await Promise.all(sent)).map((result) => result.firstQueueOffset)).toEqual([0, 1]);
  });

  test('fails for all who wait, and can be sent again then', async () => {
    node.hold = true;
    const sent = [codeOf(send([message('a')])), codeOf(send([message('a')]))];
    await settle();
    node.lose();
    expect(await Promise.all(sent)).toEqual(['HA_NOT_AVAILABLE', 'HA_NOT_AVAILABLE']);
    node.hold = false;
    await lead();
    expect(await send([message('a')])).toEqual({ queueId: 0, firstQueueOffset: 0 });
    node.refuse = 'overloaded';
    expect(await codeOf(send([message('b')]))).toBe('TOO_MANY_REQUESTS');
    node.refuse = null;
    expect(await send([message('b')])).toEqual({ queueId: 0, firstQueueOffset: 1 });
  });

  test('is stored once by two who find out at the same time that it is not', async () => {
    await send([message('a', 'other')]);
    const both = [send([message('a')]), send([message('a')])];
    expect((await Promise.all(both)).map((result) => result.firstQueueOffset)).toEqual([1, 1]);
    expect(stored()).toHaveLength(2);
  });

  test('is not stored by a leader that is none any more', async () => {
    await send([message('a', 'other')]);
    node.log.slow = true;
    const late = codeOf(send([message('a')]));
    leads = false;
    expect(await late).toBe('Error: not leading');
    expect(stored()).toHaveLength(1);
  });

  test('keeps its guard while nobody knows its outcome', async () => {
    const proposals: Proposal[] = [];
    const sealed: (() => void)[] = [];
    await lead({
      propose: (proposal) => {
        proposals.push(proposal);
        sealed.push(sealLate(proposal));
      },
    });
    const first = codeOf(send([message('a')]));
    proposals[0]!.rejected('unknown');
    expect(await first).toBe('REQUEST_TIMEOUT');
    expect(await codeOf(send([message('a')]))).toBe('REQUEST_TIMEOUT');
    expect(proposals).toHaveLength(1);
    expect(onceOnly.open).toBe(1);

    sealed[0]!();
    expect(await send([message('a')])).toMatchObject({ firstQueueOffset: 0 });
    expect(proposals).toHaveLength(1);
    expect(onceOnly.open).toBe(0);
    expect(stored()).toEqual(['a=body of a']);
  });

  test('has no guard in the next reign: by then it is applied, or never will be', async () => {
    const proposals: Proposal[] = [];
    await lead({ propose: (proposal) => void proposals.push(proposal) });
    const first = codeOf(send([message('a')]));
    onceOnly.reset();
    void send([message('a')]);
    expect(proposals).toHaveLength(2);
    proposals[0]!.rejected('unknown');
    expect(await first).toBe('REQUEST_TIMEOUT');
    expect(onceOnly.open).toBe(1);
  });

  test('is remembered also when very much is', async () => {
    node.hold = true;
    const calls = Array.from({ length: 60 }, (_, call) =>
      Array.from({ length: 100 }, (_, i) => message(`${call}/${i}`)),
    );
    const sent = calls.map((messages) => send(messages));
    const again = calls.map((messages) => send(messages));
    await settle();
    expect(node.waiting).toBe(60);
    node.hold = false;
    node.commit();
    const results = await Promise.all([...sent, ...again]);
    for (let i = 0; i < 60; i++) {
      expect(offsetsOf(results[60 + i]!, 100)).toEqual(offsetsOf(results[i]!, 100));
    }
    expect(stored()).toHaveLength(6000);
  });
});

/** Seals a proposal into an entry of its own; it is applied when the result is called. */
function sealLate(proposal: Proposal): () => void {
  const frame = Buffer.alloc(ENTRY_HEADER_SIZE_BYTES + proposal.sizeBytes);
  const context = {
    index: node.log.lastIndex + 1,
    term: 1,
    position: node.log.endPosition,
    storeTimestampMs: clock.wallMs(),
  };
  proposal.write(frame, ENTRY_HEADER_SIZE_BYTES, context);
  const { recordCount } = proposal;
  const entry = sealEntry(frame, { ...context, type: entryType.records, recordCount });
  void node.log.append([entry]);
  return () => state.apply(entry, null);
}
