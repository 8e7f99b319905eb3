import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { MqError } from '@raftmq/base';
import { ALL_MESSAGES, storedBody, tagFilter } from '@raftmq/protocol';
import { type PullRequest, type PullResult, type TopicConfig } from '../messaging.js';
import { settle } from '../testing/single-node.js';
import { codeOf, ServiceFixture } from '../testing/service-fixture.js';

const topic: TopicConfig = { name: 'T', type: 'NORMAL', queues: 1, permission: 6 };
const queue = { group: 'g', topic: 'T', queueId: 0 };
let fixture: ServiceFixture;

beforeEach(async () => {
  fixture = await ServiceFixture.start();
  await fixture.service.putTopic(topic);
  await fixture.service.putGroup({ name: 'g', fifo: false, maxAttempts: 5 });
});
afterEach(() => fixture.service.stop());

function pullRequest(fields: Partial<PullRequest> = {}): PullRequest {
  const signal = new AbortController().signal;
  return {
    ...queue,
    offset: 0,
    batchSize: 32,
    pollingMs: 0,
    filter: ALL_MESSAGES,
    signal,
    ...fields,
  };
}

function pull(fields: Partial<PullRequest> = {}): Promise<PullResult> {
  return fixture.service.pull(pullRequest(fields));
}

function bodies(result: PullResult): string[] {
  return result.records.map((record) => storedBody(record).toString());
}

describe('pull', () => {
  test('reads from an offset on, leases nothing, and says where to go on', async () => {
    await fixture.send('a', 'b', 'c');
    const first = await pull({ batchSize: 2 });
    expect(bodies(first)).toEqual(['a', 'b']);
    expect(first.nextOffset).toBe(2);
    expect(bodies(await pull({ offset: 1 }))).toEqual(['b', 'c']);
    // Again, and nothing is written to the log for it.
    const before = fixture.node.log.lastIndex;
    expect(bodies(await pull({ batchSize: 2 }))).toEqual(['a', 'b']);
    expect(fixture.node.log.lastIndex).toBe(before);
    expect(await pull({ offset: 3 })).toEqual({ records: [], nextOffset: 3, misplaced: null });
    expect(fixture.service.probe.messagesPulled).toBe(6);
  });

  test('passes over what the filter refuses, and next_offset with it', async () => {
    await fixture.sendTagged(['a', 'A'], ['b', 'B'], ['c', 'A'], ['d', 'B']);
    const found = await pull({ filter: tagFilter(['A']) });
    expect(bodies(found)).toEqual(['a', 'c']);
    expect(found.nextOffset).toBe(4);
    expect(await pull({ filter: tagFilter(['C']) })).toMatchObject({ records: [], nextOffset: 4 });
    // A full batch ends before the next match, not behind it.
    expect(await pull({ filter: tagFilter(['A']), batchSize: 1 })).toMatchObject({ nextOffset: 2 });
    // Two tags with one hash: the record decides.
    await fixture.sendTagged(['x', 'Aa'], ['y', 'BB']);
    expect(bodies(await pull({ offset: 4, filter: tagFilter(['BB']) }))).toEqual(['y']);
    expect(bodies(await pull({ offset: 4, filter: tagFilter(['Aa']) }))).toEqual(['x']);
  });

  test('an offset outside of the queue is answered with the nearest one', async () => {
    await fixture.send('a', 'b', 'c');
    fixture.queueIndex.forgetBelow('T', 0, 2);
    expect(await pull({ offset: 1 })).toEqual({ records: [], nextOffset: 2, misplaced: 'before' });
    expect(await pull({ offset: 4 })).toEqual({ records: [], nextOffset: 3, misplaced: 'behind' });
    expect(await pull({ offset: -1 })).toMatchObject({ nextOffset: 2, misplaced: 'behind' });
  });

  test('waits for a message, for its time, or until the caller goes', async () => {
    const waiting = pull({ pollingMs: 5_000 });
    await settle();
    expect(fixture.service.waitingPolls).toBe(1);
    await fixture.send('a');
    expect(bodies(await waiting)).toEqual(['a']);

    const inVain = pull({ offset: 1, pollingMs: 5_000 });
    await fixture.clock.advance(5_020);
    expect(await inVain).toEqual({ records: [], nextOffset: 1, misplaced: null });

    const abort = new AbortController();
    const gone = pull({ offset: 1, pollingMs: 5_000, signal: abort.signal });
    await settle();
    abort.abort();
    expect((await gone).records).toEqual([]);
    expect(fixture.service.waitingPolls).toBe(0);

    const filtered = pull({ offset: 1, pollingMs: 5_000, filter: tagFilter(['A']) });
    await settle();
    await fixture.sendTagged(['b', 'B']);
    await settle();
    expect(fixture.service.waitingPolls).toBe(1);
    await fixture.sendTagged(['c', 'A']);
    expect(await filtered).toMatchObject({ nextOffset: 3 });
  });

  test('refuses what is not there', async () => {
    expect(await codeOf(pull({ queueId: 1 }))).toBe('FORBIDDEN');
    expect(await codeOf(pull({ topic: 'U' }))).toBe('TOPIC_NOT_FOUND');
    await fixture.service.putTopic({ ...topic, permission: 2 });
    expect(await codeOf(pull())).toBe('FORBIDDEN');
  });

  test('a group that is deleted fails its pulls at the next message', async () => {
    const waiting = codeOf(pull({ pollingMs: 5_000 }));
    await settle();
    await fixture.service.deleteGroup('g');
    await fixture.send('a');
    expect(await waiting).toBe('CONSUMER_GROUP_NOT_FOUND');
  });
});

describe('offset updates', () => {
  test('move on, never back, and not beyond the end', async () => {
    await fixture.send('a', 'b', 'c');
    expect(await fixture.service.committedOffset(queue)).toBeNull();
    expect(await fixture.service.updateOffset(queue, 2)).toBe(2);
    expect(await fixture.service.updateOffset(queue, 1)).toBe(2);
    expect(await fixture.service.committedOffset(queue)).toBe(2);
    expect(await codeOf(fixture.service.updateOffset(queue, 4))).toBe('ILLEGAL_OFFSET');
    expect(await codeOf(fixture.service.updateOffset(queue, -1))).toBe('ILLEGAL_OFFSET');
    expect((await fixture.receive()).map((m) => m.body)).toEqual(['c']);
  });

  test('count as acknowledgements of what they pass, and leave the rest with its holder', async () => {
    await fixture.send('a', 'b', 'c', 'd');
    const held = await fixture.receive({ batchSize: 3 });
    expect(await fixture.service.updateOffset(queue, 2)).toBe(2);
    expect(await fixture.ack('g', held[0]!.handle, held[1]!.handle)).toEqual([null, null]);
    expect(await fixture.service.committedOffset(queue)).toBe(2);
    expect(await fixture.ack('g', held[2]!.handle)).toEqual([null]);
    expect(await fixture.service.committedOffset(queue)).toBe(3);
    await fixture.clock.advance(20_000);
    expect((await fixture.receive()).map((m) => m.body)).toEqual(['d']);
  });

  test('unblock an ordered group whose batch they pass', async () => {
    await fixture.service.putGroup({ name: 'o', fifo: true, maxAttempts: 5 });
    await fixture.send('a', 'b', 'c');
    const ordered = { ...queue, group: 'o' };
    await fixture.receive({ group: 'o', batchSize: 2 });
    expect(await fixture.receive({ group: 'o' })).toEqual([]);
    expect(await fixture.service.updateOffset(ordered, 1)).toBe(1);
    expect(await fixture.receive({ group: 'o' })).toEqual([]);
    expect(await fixture.service.updateOffset(ordered, 2)).toBe(2);
    expect((await fixture.receive({ group: 'o' })).map((m) => m.body)).toEqual(['c']);
  });

  test('query: beginning, end, time', async () => {
    await fixture.send('a', 'b');
    await fixture.clock.advance(1_000);
    const timestampMs = fixture.clock.wallMs();
    await fixture.send('c');
    fixture.queueIndex.forgetBelow('T', 0, 1);
    expect(await fixture.service.queryOffset('T', 0, { kind: 'beginning' })).toBe(1);
    expect(await fixture.service.queryOffset('T', 0, { kind: 'end' })).toBe(3);
    expect(await fixture.service.queryOffset('T', 0, { kind: 'timestamp', timestampMs })).toBe(2);
    expect(await codeOf(fixture.service.queryOffset('T', 9, { kind: 'end' }))).toBe('FORBIDDEN');
  });
});

describe('offsets that are asked for', () => {
  test('are those of a leader that a majority confirms, as of the time it did', async () => {
    await fixture.send('a', 'b', 'c');
    await fixture.service.updateOffset(queue, 1);
    const confirms: (() => void)[] = [];
    fixture.confirmLeading = () => new Promise<void>((resolve) => confirms.push(resolve));
    const committed = fixture.service.committedOffset(queue);
    const end = fixture.service.queryOffset('T', 0, { kind: 'end' });
    await fixture.service.updateOffset(queue, 3);
    await fixture.send('d');
    for (const confirm of confirms) confirm();
    expect(await Promise.all([committed, end])).toEqual([3, 4]);
  });

  test('are not given by one that was replaced and does not know yet', async () => {
    await fixture.service.updateOffset(queue, 0);
    fixture.confirmLeading = () =>
      Promise.reject(new MqError('HA_NOT_AVAILABLE', 'ask the leader'));
    expect(await codeOf(fixture.service.committedOffset(queue))).toBe('HA_NOT_AVAILABLE');
    const end = fixture.service.queryOffset('T', 0, { kind: 'end' });
    expect(await codeOf(end)).toBe('HA_NOT_AVAILABLE');
  });
});

describe('reset', () => {
  test('back to the beginning while a member polls and holds messages', async () => {
    await fixture.send('a', 'b', 'c');
    const held = await fixture.receive();
    await fixture.ack('g', held[0]!.handle);
    const polling = fixture.receive({ pollingMs: 10_000 });
    await settle();
    const dry = await fixture.service.resetOffset('g', 'T', null, { kind: 'beginning' }, true);
    expect(dry).toEqual([{ queueId: 0, before: 1, after: 0 }]);
    expect(await fixture.service.committedOffset(queue)).toBe(1);
    expect(await fixture.service.resetOffset('g', 'T', null, { kind: 'beginning' }, false)).toEqual(
      dry,
    );
    // The waiting poll gets everything again, as first deliveries.
    const again = await polling;
    expect(again.map(({ body, attempt }) => [body, attempt])).toEqual([
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ]);
    // What was held before is nobody's.
    expect(await fixture.ack('g', held[1]!.handle)).toEqual(['INVALID_RECEIPT_HANDLE']);
    expect(await fixture.ack('g', again[1]!.handle)).toEqual([null]);
  });

  test('a delivery planned before the reset does not undo it', async () => {
    await fixture.send('a', 'b', 'c');
    const [a] = await fixture.receive({ batchSize: 1 });
    await fixture.ack('g', a!.handle);
    fixture.node.hold = true;
    const reset = fixture.service.resetOffset('g', 'T', 0, { kind: 'beginning' }, false);
    await settle();
    // Planned before the reset is applied, behind it in the log.
    const receiving = fixture.receive();
    await settle();
    expect(fixture.node.waiting).toBe(2);
    fixture.node.hold = false;
    fixture.node.commit();
    await reset;
    expect((await receiving).map((m) => m.body)).toEqual(['a', 'b', 'c']);
  });

  test('what a filter passed over before comes again after it', async () => {
    await fixture.sendTagged(['a', 'A'], ['b', 'B']);
    expect(await fixture.receive({ filter: tagFilter(['C']) })).toEqual([]);
    await fixture.service.resetOffset('g', 'T', 0, { kind: 'end' }, false);
    await fixture.service.resetOffset('g', 'T', 0, { kind: 'beginning' }, false);
    expect((await fixture.receive()).map((m) => m.body)).toEqual(['a', 'b']);
  });

  test('to the end, to a time, to an offset; not outside of the queue', async () => {
    await fixture.send('a', 'b');
    await fixture.clock.advance(1_000);
    const timestampMs = fixture.clock.wallMs();
    await fixture.send('c', 'd');
    const to = async (target: Parameters<typeof fixture.service.resetOffset>[3]) => {
      const [done] = await fixture.service.resetOffset('g', 'T', 0, target, false);
      return done!.after;
    };
    expect(await to({ kind: 'end' })).toBe(4);
    expect(await fixture.receive()).toEqual([]);
    expect(await to({ kind: 'timestamp', timestampMs })).toBe(2);
    expect((await fixture.receive()).map((m) => m.body)).toEqual(['c', 'd']);
    expect(await to({ kind: 'offset', offset: 1 })).toBe(1);
    expect((await fixture.receive()).map((m) => m.body)).toEqual(['b', 'c', 'd']);
    expect(await codeOf(to({ kind: 'offset', offset: 5 }))).toBe('ILLEGAL_OFFSET');
    const nobody = fixture.service.resetOffset('x', 'T', 0, { kind: 'end' }, false);
    expect(await codeOf(nobody)).toBe('CONSUMER_GROUP_NOT_FOUND');
    expect(fixture.service.probe.offsetResets).toBe(3);
  });

  test('of an ordered group drops its batch and its counts', async () => {
    await fixture.service.putGroup({ name: 'o', fifo: true, maxAttempts: 5 });
    await fixture.send('a', 'b');
    await fixture.receive({ group: 'o', batchSize: 1 });
    await fixture.clock.advance(10_001);
    const [second] = await fixture.receive({ group: 'o', batchSize: 1 });
    expect(second!.attempt).toBe(2);
    await fixture.service.resetOffset('o', 'T', 0, { kind: 'beginning' }, false);
    expect(await fixture.ack('o', second!.handle)).toEqual(['INVALID_RECEIPT_HANDLE']);
    const again = await fixture.receive({ group: 'o' });
    expect(again.map(({ body, attempt }) => [body, attempt])).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
  });
});

describe('where a group begins', () => {
  const begin = async (kind: 'last' | 'timestamp', timestampMs = 0): Promise<void> => {
    const consumeFrom = kind === 'last' ? { kind } : { kind, timestampMs };
    await fixture.service.putGroup({ name: 'n', fifo: false, maxAttempts: 5, consumeFrom });
  };

  test('at the first message, unless told otherwise', async () => {
    await fixture.send('a');
    expect((await fixture.receive({ group: 'new' })).map((m) => m.body)).toEqual(['a']);
  });

  test('last: behind what is there at the first poll, in all queues at once', async () => {
    await fixture.service.putTopic({ ...topic, queues: 2 });
    await fixture.send('a', 'b', 'c');
    await begin('last');
    expect(await fixture.receive({ group: 'n' })).toEqual([]);
    await fixture.send('d', 'e');
    expect((await fixture.receive({ group: 'n' })).map((m) => m.body).sort()).toEqual(['d', 'e']);
    // A queue that comes later is read from its start: nobody asked to pass over anything in it.
    await fixture.service.putTopic({ ...topic, queues: 3 });
    await fixture.send('f', 'g', 'h');
    expect((await fixture.receive({ group: 'n' })).map((m) => m.body).sort()).toEqual([
      'f',
      'g',
      'h',
    ]);
  });

  test('timestamp: at the first message stored then or later', async () => {
    await fixture.send('a');
    await fixture.clock.advance(60_000);
    const timestampMs = fixture.clock.wallMs();
    await fixture.send('b');
    await begin('timestamp', timestampMs);
    expect((await fixture.receive({ group: 'n' })).map((m) => m.body)).toEqual(['b']);
  });

  test('the setting decides for groups created on first use', async () => {
    fixture.service.stop();
    fixture = await ServiceFixture.start({ groupConsumeFrom: 'last' });
    await fixture.service.putTopic(topic);
    await fixture.send('a');
    expect(await fixture.receive({ group: 'new' })).toEqual([]);
    await fixture.send('b');
    expect((await fixture.receive({ group: 'new' })).map((m) => m.body)).toEqual(['b']);
  });
});

describe('a paused group', () => {
  const group = { name: 'g', fifo: false, maxAttempts: 5 };

  test('gets nothing, holds its polls, and goes on when it is resumed', async () => {
    await fixture.service.putGroup({ ...group, consumeEnabled: false });
    await fixture.send('a');
    expect(await fixture.receive()).toEqual([]);
    const polling = fixture.receive({ pollingMs: 60_000 });
    const pulling = pull({ pollingMs: 60_000 });
    await settle();
    await fixture.send('b');
    await settle();
    expect(fixture.service.waitingPolls).toBe(2);
    await fixture.service.putGroup(group);
    expect((await polling).map((m) => m.body)).toEqual(['a', 'b']);
    expect(bodies(await pulling)).toEqual(['a', 'b']);
  });

  test('what was handed out before may still be acknowledged; what falls due waits', async () => {
    await fixture.send('a', 'b');
    const [a] = await fixture.receive();
    await fixture.service.putGroup({ ...group, consumeEnabled: false });
    expect(await fixture.ack('g', a!.handle)).toEqual([null]);
    const polling = fixture.receive({ pollingMs: 30_000 });
    await fixture.clock.advance(20_000);
    expect(fixture.service.waitingPolls).toBe(1);
    await fixture.service.putGroup(group);
    expect((await polling).map(({ body, attempt }) => [body, attempt])).toEqual([['b', 2]]);
  });
});
