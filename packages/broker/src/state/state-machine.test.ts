import { describe, expect, test } from '@jest/globals';
import { createPrng, defaultsOf, silentLogger, type Prng } from '@raftmq/base';
import { javaStringHashCode, prepareStoredMessage } from '@raftmq/protocol';
import { type DeliveryGrant } from '../pop/delivery.js';
import { NextOffsets } from '../messaging-service/next-offsets.js';
import { RecordsProposal, type ProposedRecord } from '../messaging-service/proposals.js';
import { Checkpoints } from './checkpoints.js';
import { type Command } from './commands/index.js';
import { openBrokerState } from './recovery.js';
import {
  ManualClock,
  MemoryLog,
  MemoryQueueIndex,
  MemoryStateStore,
  settle,
  SingleNode,
  unexpectedFatal,
} from '../testing/single-node.js';
import { stateSettings } from './settings.js';
import { type BrokerStateMachine } from './state-machine.js';

const settings = defaultsOf(stateSettings);

interface Replica {
  readonly queueIndex: MemoryQueueIndex;
  readonly stateStore: MemoryStateStore;
  readonly state: BrokerStateMachine;
  readonly checkpoints: Checkpoints;
}

async function open(
  log: MemoryLog,
  clock: ManualClock,
  queueIndex = new MemoryQueueIndex(),
  stateStore = new MemoryStateStore(),
): Promise<Replica> {
  const logger = silentLogger;
  const state = await openBrokerState({
    stateStore,
    queueIndex,
    log,
    logger,
    onFatal: unexpectedFatal,
  });
  const checkpoints = new Checkpoints({
    state,
    queueIndex,
    stateStore,
    log,
    clock,
    logger,
    settings,
    onFatal: unexpectedFatal,
  });
  return { queueIndex, stateStore, state, checkpoints };
}

/** Applies what the log has behind the state. */
function catchUp(state: BrokerStateMachine, log: MemoryLog, throughIndex = log.lastIndex): void {
  for (const entry of log.read(state.appliedIndex + 1, throughIndex)) state.apply(entry, null);
}

function contents(index: MemoryQueueIndex): string {
  const queues = [...index.entries].filter(([, entries]) => entries.length > 0);
  return JSON.stringify(queues.sort(([a], [b]) => (a < b ? -1 : 1)));
}

class Load {
  readonly clock = new ManualClock();
  readonly node = new SingleNode(this.clock);
  readonly prng: Prng;
  readonly leader: Replica;
  readonly log: MemoryLog;
  readonly offsets: NextOffsets;
  readonly leases: {
    name: { group: string; topic: string; queueId: number };
    leaseId: number;
    offset: number;
  }[] = [];

  /** @param log as the leader's checkpoints know it; `node.log` has the entries */
  constructor(seed: number, leader: Replica, log: MemoryLog) {
    this.prng = createPrng(seed);
    this.leader = leader;
    this.log = log;
    this.offsets = new NextOffsets(leader.state.tables);
    this.node.machines.push(leader.state);
  }

  static async start(seed: number): Promise<Load> {
    const log = new MemoryLog();
    return new Load(seed, await open(log, new ManualClock()), log);
  }

  propose(...records: readonly ProposedRecord[]): readonly unknown[] {
    let answer: readonly unknown[] | null = null;
    this.node.hold = true;
    this.node.propose(
      new RecordsProposal(
        records,
        this.offsets,
        (results) => (answer = results),
        (error) => {
          throw error;
        },
      ),
    );
    this.node.commit();
    return answer!;
  }

  command(command: Command): unknown {
    return this.propose({ command })[0];
  }

  messages(topic: string, queueId: number, count: number): ProposedRecord[] {
    return Array.from({ length: count }, () => {
      const tag = this.prng.pick(['A', 'B', null]);
      const message = {
        messageId: `m${this.prng.integer(0, 1e9)}`,
        body: Buffer.alloc(this.prng.integer(1, 60), 1),
        tag,
        keys: [],
        userProperties: [],
        messageGroup: null,
        traceContext: null,
        bornTimestampMs: 1,
        bornHost: '',
        gzip: false,
      };
      return { message: prepareStoredMessage(message, topic), queueId };
    });
  }

  step(): void {
    const { prng } = this;
    this.clock.nowMs += prng.integer(0, 500);
    const topic = prng.pick(['T', 'U']);
    const name = { group: prng.pick(['g', 'og']), topic, queueId: prng.integer(0, 1) };
    const draw = prng.next();
    const row = this.leader.state.tables.topics.get(topic);
    if (row === undefined || draw < 0.05) {
      const config = { name: topic, type: 'NORMAL' as const, queues: 2, permission: 6 };
      this.command({ kind: 'put-topic', topic: config, ifMissing: true });
    } else if (draw < 0.07) this.command({ kind: 'delete-topic', name: topic });
    else if (draw < 0.12) {
      const group = {
        name: name.group,
        fifo: name.group === 'og',
        maxAttempts: prng.integer(3, 17),
      };
      this.command({ kind: 'put-group', group, ifMissing: false });
    } else if (draw < 0.4) this.propose(...this.messages(topic, name.queueId, prng.integer(1, 5)));
    else if (draw < 0.6) {
      const state = this.leader.state.tables.delivery(name.group, topic, name.queueId)?.state;
      const fromOffset = Math.min(
        state?.kind === 'ordered' ? state.committedOffset : (state?.nextOffset ?? 0),
        row.queues[name.queueId]?.endOffset ?? 0,
      );
      const count = Math.min(
        prng.integer(0, 4),
        (row.queues[name.queueId]?.endOffset ?? 0) - fromOffset,
      );
      const order = {
        clientId: 'c',
        autoRenew: prng.chance(0.5),
        attemptId: null,
        invisibleMs: 1_000,
      };
      const runs = [{ fromOffset, count, dropped: false }];
      const command = { kind: 'deliver' as const, ...name, ...order, epoch: row.epoch, runs };
      const grant = this.command({ ...command, endOffset: fromOffset + count }) as DeliveryGrant;
      for (const offset of grant.offsets)
        this.leases.push({ name, leaseId: grant.leaseId, offset });
    } else if (this.leases.length > 0) {
      const lease = prng.pick(this.leases.slice(-10));
      const { leaseId, offset } = lease;
      if (draw < 0.85) this.command({ kind: 'ack', ...lease.name, targets: [{ offset, leaseId }] });
      else if (draw < 0.92) {
        this.command({
          kind: 'change-invisible',
          ...lease.name,
          offsets: [offset],
          leaseId,
          invisibleMs: 50,
          suspend: false,
        });
      } else if (draw < 0.96) this.command({ kind: 'dead-letter', ...lease.name, offset });
      else
        this.command({
          kind: 'renew-leases',
          ...lease.name,
          leaseIds: [leaseId],
          invisibleMs: 9_000,
          release: false,
          known: draw < 0.98,
        });
    }
  }
}

describe('the state machine', () => {
  test.each([11, 12, 13, 14])(
    'seed %i: a follower, a restart and a rebuild reach the same digest',
    async (seed) => {
      const load = await Load.start(seed);
      const { log } = load.node;
      const follower = await open(log, load.clock);
      let restarted = await open(log, load.clock);
      const digests = new Set<string>();
      for (let i = 0; i < 400; i++) {
        load.step();
        catchUp(follower.state, log);
        expect(follower.state.digest()).toBe(load.leader.state.digest());
        digests.add(follower.state.digest());
        if (load.prng.chance(0.1)) {
          catchUp(restarted.state, log);
          await restarted.checkpoints.save();
        }
        if (load.prng.chance(0.1)) {
          // Killed somewhere behind its checkpoint.
          catchUp(restarted.state, log);
          restarted = await open(log, load.clock, restarted.queueIndex, restarted.stateStore);
          expect(restarted.state.appliedIndex).toBe(restarted.stateStore.appliedIndex);
          catchUp(restarted.state, log);
          expect(restarted.state.digest()).toBe(load.leader.state.digest());
        }
      }
      const rebuilt = await open(log, load.clock);
      catchUp(rebuilt.state, log);
      expect(rebuilt.state.digest()).toBe(load.leader.state.digest());
      expect(contents(rebuilt.queueIndex)).toBe(contents(load.leader.queueIndex));
      catchUp(restarted.state, log);
      await restarted.checkpoints.stop();
      expect(contents(restarted.queueIndex)).toBe(contents(rebuilt.queueIndex));
      // Every kind of change shows in the digest.
      expect(digests.size).toBeGreaterThan(200);
    },
  );

  test('the digest tells messages at other positions apart', async () => {
    const digestOf = async (bodySizeBytes: number): Promise<string> => {
      const load = await Load.start(1);
      const config = { name: 'T', type: 'NORMAL' as const, queues: 1, permission: 6 };
      load.command({ kind: 'put-topic', topic: config, ifMissing: false });
      const message = { ...baseMessage, body: Buffer.alloc(bodySizeBytes) };
      load.propose({ message: prepareStoredMessage(message, 'T'), queueId: 0 });
      return load.leader.state.digest();
    };
    expect(await digestOf(10)).toBe(await digestOf(10));
    expect(await digestOf(10)).not.toBe(await digestOf(11));
  });

  test('messages are indexed with their place, size and tag', async () => {
    const load = await Load.start(2);
    load.command({
      kind: 'put-topic',
      topic: { name: 'T', type: 'NORMAL', queues: 1, permission: 6 },
      ifMissing: false,
    });
    const message = prepareStoredMessage({ ...baseMessage, tag: 'TagA' }, 'T');
    expect(load.propose({ message, queueId: 0 }, { message, queueId: 0 })).toEqual([0, 1]);
    const { log } = load.node;
    const slice = load.leader.queueIndex.read('T', 0, 0, 10);
    expect([...slice.sizesBytes]).toEqual([message.sizeBytes, message.sizeBytes]);
    expect(slice.tagHashes[0]).toBe(javaStringHashCode('TagA'));
    const record = log.cachedRecord(slice.positions[1]!, message.sizeBytes)!;
    expect(record.readBigInt64BE(28)).toBe(BigInt(slice.positions[1]!));
  });

  test('queue files that are gone are filled again from the log', async () => {
    const load = await Load.start(21);
    for (let i = 0; i < 200; i++) load.step();
    const { log } = load.node;
    const replica = await open(log, load.clock);
    catchUp(replica.state, log);
    await replica.checkpoints.stop();
    const again = await open(log, load.clock, new MemoryQueueIndex(), replica.stateStore);
    expect(contents(again.queueIndex)).toBe(contents(replica.queueIndex));
    expect(contents(again.queueIndex)).not.toBe('[]');
  });

  test('queue files that reach beyond the rows are cut back, those of unknown topics removed', async () => {
    const load = await Load.start(7);
    const config = { name: 'T', type: 'NORMAL' as const, queues: 1, permission: 6 };
    load.command({ kind: 'put-topic', topic: config, ifMissing: false });
    load.propose(...load.messages('T', 0, 2));
    await load.leader.checkpoints.save();
    const { queueIndex, stateStore } = load.leader;
    queueIndex.append('T', 0, 2, 12_345, 1, 0);
    queueIndex.append('T', 1, 0, 12_345, 1, 0);
    queueIndex.append('ghost', 0, 0, 12_345, 1, 0);
    await open(load.node.log, load.clock, queueIndex, stateStore);
    expect([...queueIndex.entries].map(([key, entries]) => [key, entries.length])).toEqual([
      ['T/0', 2],
      ['T/1', 0],
    ]);
  });

  test('files of a deleted topic outlive it until the next checkpoint, so that a crash finds them', async () => {
    const load = await Load.start(3);
    const config = { name: 'T', type: 'NORMAL' as const, queues: 1, permission: 6 };
    load.command({ kind: 'put-topic', topic: config, ifMissing: false });
    load.propose(...load.messages('T', 0, 3));
    await load.leader.checkpoints.save();
    load.command({ kind: 'delete-topic', name: 'T' });
    expect(load.leader.queueIndex.maxOffset('T', 0)).toBe(3);
    await load.leader.checkpoints.save();
    expect(load.leader.queueIndex.maxOffset('T', 0)).toBe(0);
    expect([...load.leader.stateStore.rows.keys()].filter((key) => key.includes('/T'))).toEqual([]);
  });

  test('rows that are missing are an error when the log no longer has its beginning', async () => {
    const load = await Load.start(4);
    for (let i = 0; i < 20; i++) load.step();
    load.node.log.firstIndex = 5;
    await expect(open(load.node.log, load.clock)).rejects.toMatchObject({ code: 'LOG_CORRUPTED' });
  });

  test('checkpoints come by time, only when something changed, and one at the end', async () => {
    const load = await Load.start(5);
    const { stateStore, checkpoints, queueIndex } = load.leader;
    const clock = new ManualClock();
    const timed = new Checkpoints({
      state: load.leader.state,
      queueIndex,
      stateStore,
      log: load.node.log,
      clock,
      logger: silentLogger,
      settings,
      onFatal: unexpectedFatal,
    });
    timed.start();
    load.step();
    await clock.advance(4_900);
    expect(stateStore.appliedIndex).toBe(0);
    await clock.advance(200);
    expect(stateStore.appliedIndex).toBe(1);
    const flushes = queueIndex.flushes;
    await clock.advance(20_000);
    expect(queueIndex.flushes).toBe(flushes);
    load.step();
    expect(timed.savedIndex).toBe(0);
    await timed.stop();
    expect(timed.savedIndex).toBe(2);
    expect(checkpoints.savedIndex).toBe(0);
  });

  test('rows go out only when the log that they come from is durable', async () => {
    const load = await Load.start(7);
    load.step();
    const { stateStore, checkpoints } = load.leader;
    let durable!: () => void;
    load.log.makeDurable = () => new Promise((resolve) => (durable = resolve));
    const saved = checkpoints.save();
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(stateStore.appliedIndex).toBe(0);
    durable();
    await saved;
    expect(stateStore.appliedIndex).toBe(1);
  });

  test('a checkpoint comes early when many rows have changed', async () => {
    const log = new MemoryLog();
    const { state, queueIndex, stateStore } = await open(log, new ManualClock());
    const load = new Load(7, { state, queueIndex, stateStore, checkpoints: null! }, log);
    new Checkpoints({
      state,
      queueIndex,
      stateStore,
      log,
      clock: load.clock,
      logger: silentLogger,
      settings: { ...settings, checkpointRowsMax: 4 },
      onFatal: unexpectedFatal,
    });
    const put = (name: string): unknown =>
      load.command({
        kind: 'put-topic',
        topic: { name, type: 'NORMAL', queues: 1, permission: 6 },
        ifMissing: false,
      });
    for (const name of ['A', 'B', 'C']) put(name);
    await settle();
    expect(stateStore.appliedIndex).toBe(0);
    put('D');
    await settle();
    expect(stateStore.appliedIndex).toBe(4);
    expect([...stateStore.rows.keys()].filter((key) => key.startsWith('topic/')).length).toBe(4);
    put('E');
    await settle();
    expect(stateStore.appliedIndex).toBe(4);
    expect(state.probe).toMatchObject({ checkpoints: 1, checkpointsEarly: 1 });
  });

  test('a record of the future stops the replica', async () => {
    const load = await Load.start(6);
    const record = Buffer.alloc(12);
    record.writeUInt32BE(12, 0);
    record.writeUInt32BE(0xdaa320ab, 4);
    const proposal = {
      sizeBytes: 12,
      recordCount: 1,
      write: (frame: Buffer, at: number) => at + record.copy(frame, at),
      committed: () => undefined,
      rejected: () => undefined,
    };
    load.node.hold = true;
    load.node.propose(proposal);
    expect(() => load.node.commit()).toThrow('newer version');
  });
});

const baseMessage = {
  messageId: 'm',
  body: Buffer.from('b'),
  tag: null,
  keys: [],
  userProperties: [],
  messageGroup: null,
  traceContext: null,
  bornTimestampMs: 1,
  bornHost: '',
  gzip: false,
};
