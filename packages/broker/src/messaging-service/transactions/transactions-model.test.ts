import { describe, expect, test } from '@jest/globals';
import { createPrng, isMqError, loadConfig, silentLogger, type Prng } from '@raftmq/base';
import {
  decodeRecoverOrphanedTransaction,
  isStoredMessage,
  PARKED_TRANSACTIONS_TOPIC,
  storedMessageId,
  storedTopic,
} from '@raftmq/protocol';
import { ENTRY_HEADER_SIZE_BYTES, type Proposal } from '@raftmq/raft';
import { type HalfPublish, type TopicConfig } from '../../messaging.js';
import { brokerSettings } from '../../settings.js';
import { decodeCommand } from '../../state/commands/index.js';
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
import { MessagingService } from '../messaging-service.js';
import { type ProducerLink, type ReachableProducer } from './producers.js';

const CHECK_MAX = 3;
const topics: readonly TopicConfig[] = ['T', 'U'].map((name) => ({
  name,
  type: 'TRANSACTION',
  queues: 2,
  permission: 6,
}));
const settings = loadConfig(brokerSettings, {
  flags: {
    transactionCheckFirstMs: '6000',
    transactionCheckIntervalMs: '10000',
    transactionCheckMax: String(CHECK_MAX),
    transactionPendingMax: '40',
    transactionParkedMax: '4',
    transactionOutcomeMs: '86400000',
  },
});

/** One transaction as a person would describe it. */
interface Told {
  state: 'pending' | 'parked' | 'committed' | 'rolled-back' | 'discarded';
  checks: number;
}

/** Reads the log from its beginning, with nothing but maps: what must be true after it. */
class NaiveReader {
  readonly told = new Map<string, Told>();
  readonly visible: string[] = [];
  parkedCopies = 0;
  readonly #byNumber = new Map<number, string>();
  readonly #topics = new Set<string>();
  #last = 0;

  read(node: SingleNode): this {
    for (const entry of node.log.entries) {
      let at = ENTRY_HEADER_SIZE_BYTES;
      for (let left = entry.recordCount; left > 0; left--) {
        const sizeBytes = entry.frame.readUInt32BE(at);
        this.#record(entry.frame.subarray(at, at + sizeBytes));
        at += sizeBytes;
      }
    }
    return this;
  }

  #record(record: Buffer): void {
    if (isStoredMessage(record)) {
      if (storedTopic(record) === PARKED_TRANSACTIONS_TOPIC) this.parkedCopies++;
      else if (this.#topics.has(storedTopic(record))) this.visible.push(idOf(record));
      return;
    }
    const command = decodeCommand(record, 0, record.length);
    if (command.kind === 'put-topic') this.#topics.add(command.topic.name);
    if (command.kind === 'put-half') this.#putHalf(command.message);
    if (command.kind === 'count-checks') {
      for (const { number, checksBefore } of command.checks) {
        const half = this.#open(number);
        if (half?.state === 'pending' && half.checks === checksBefore) half.checks++;
      }
    }
    if (command.kind === 'end-transaction') {
      const half = this.#open(command.number);
      if (half !== undefined) half.state = command.commit ? 'committed' : 'rolled-back';
    }
    if (command.kind === 'park-half') this.#park(command.number, command.parkedMax);
    if (command.kind === 'resume-halves') {
      for (const number of command.numbers) {
        const half = this.#open(number);
        if (half?.state === 'parked') Object.assign(half, { state: 'pending', checks: 0 });
      }
    }
  }

  #putHalf(message: Buffer): void {
    const id = idOf(message);
    const state = this.told.get(id)?.state;
    if (!this.#topics.has(storedTopic(message)) || state === 'pending' || state === 'parked')
      return;
    expect(state).toBeUndefined();
    this.told.set(id, { state: 'pending', checks: 0 });
    this.#byNumber.set(++this.#last, id);
  }

  #park(number: number, parkedMax: number): void {
    const half = this.#open(number);
    if (half?.state !== 'pending') return;
    expect(half.checks).toBe(CHECK_MAX);
    // Those parked first are at the front.
    const id = this.#byNumber.get(number)!;
    this.told.delete(id);
    half.state = 'parked';
    this.told.set(id, half);
    const parked = [...this.told.values()].filter((other) => other.state === 'parked');
    for (const old of parked.slice(0, Math.max(0, parked.length - parkedMax))) {
      old.state = 'discarded';
    }
  }

  #open(number: number): Told | undefined {
    const half = this.told.get(this.#byNumber.get(number) ?? '');
    return half?.state === 'pending' || half?.state === 'parked' ? half : undefined;
  }
}

function idOf(record: Buffer): string {
  return `${storedTopic(record)}/${storedMessageId(record)}`;
}

interface Replica {
  readonly state: BrokerStateMachine;
  readonly service: MessagingService;
  readonly queueIndex: MemoryQueueIndex;
  readonly stateStore: MemoryStateStore;
}

/** Two replicas over one log, which take turns in leading; everything that can go wrong with a proposal does. */
class World implements ProducerLink {
  readonly prng: Prng;
  readonly clock = new ManualClock();
  readonly node = new SingleNode(this.clock);
  replicas: Replica[] = [];
  leader = 0;
  term = 0;
  /** Ids used so far, as `topic/id`. */
  readonly ids: string[] = [];
  /** Answers OK that clients got. */
  readonly promised = new Map<string, Set<'stored' | 'commit' | 'rollback'>>();
  readonly refusals = new Set<string>();
  /** Proposals whose clients were told that nobody knows. */
  limbo: Proposal[] = [];
  calls: Promise<void>[] = [];
  producersGone = false;
  asked = 0;

  constructor(seed: number) {
    this.prng = createPrng(seed);
  }

  async open(): Promise<void> {
    for (let i = 0; i < 2; i++) this.replicas.push(await this.replica());
    this.lead(0);
    await settle();
    for (const topic of topics) await this.service.putTopic(topic);
  }

  async replica(): Promise<Replica> {
    const queueIndex = new MemoryQueueIndex();
    const stateStore = new MemoryStateStore();
    const { clock, node } = this;
    const logger = silentLogger;
    const { log } = node;
    const onFatal = unexpectedFatal;
    const state = await openBrokerState({ stateStore, queueIndex, log, logger, onFatal });
    node.machines.push(state);
    const options = { state, proposer: node, queueIndex, log, clock, logger, settings };
    const service = new MessagingService({ ...options, brokerGroup: 'broker-a' });
    service.transactions.connect(this);
    return { state, service, queueIndex, stateStore };
  }

  get service(): MessagingService {
    return this.replicas[this.leader]!.service;
  }

  lead(id: number): void {
    this.leader = id;
    const term = ++this.term;
    this.replicas[1 - id]!.state.roleChanged({
      role: 'follower',
      term,
      leaderId: id,
      writable: false,
    });
    this.replicas[id]!.state.roleChanged({ role: 'leader', term, leaderId: id, writable: true });
  }

  find(): Promise<readonly ReachableProducer[]> {
    return Promise.resolve(this.producersGone ? [] : [{ clientId: 'c', nodeId: 0 }]);
  }

  /** A producer: sometimes deaf, sometimes of two minds, sometimes answering twice. */
  hand(_: ReachableProducer, command: Buffer): Promise<boolean> {
    if (this.prng.chance(0.1)) return Promise.resolve(false);
    const { message, transactionId } = decodeRecoverOrphanedTransaction(command)!;
    this.asked++;
    for (let answers = this.prng.integer(0, 2); answers > 0; answers--) {
      if (this.prng.chance(0.6)) continue;
      this.end(`${message.topic.name}/${transactionId}`, this.prng.chance(0.5), 2);
    }
    return Promise.resolve(true);
  }

  async step(): Promise<void> {
    const draw = this.prng.next();
    if (draw < 0.3) this.send();
    else if (draw < 0.6) {
      // Decisions that race.
      for (let left = this.prng.integer(1, 3); left > 0; left--) {
        if (this.ids.length > 0) this.end(this.pick(), this.prng.chance(0.5), 1);
      }
    } else if (draw < 0.75) await this.clock.advance(this.prng.integer(1, 8_000));
    else if (draw < 0.8) this.node.hold = true;
    else if (draw < 0.86) await this.release();
    else if (draw < 0.89) this.forget();
    else if (draw < 0.92) await this.elect();
    else if (draw < 0.94) await this.checkpoint();
    else if (draw < 0.96) this.producersGone = !this.producersGone;
    else if (draw < 0.98) this.resume();
    else await settle();
    if (this.prng.chance(0.5)) await settle();
  }

  pick(): string {
    const recent = this.prng.chance(0.8) ? 12 : this.ids.length;
    return this.prng.pick(this.ids.slice(-recent));
  }

  send(): void {
    const again = this.ids.length > 0 && this.prng.chance(0.2);
    const topic = this.prng.pick(topics);
    const key = again ? this.pick() : `${topic.name}/m${this.ids.length}`;
    if (!again) this.ids.push(key);
    const [name, id] = key.split('/') as [string, string];
    const half = message(id, this.prng.chance(0.2) ? 15_000 : null);
    const config = topics.find((other) => other.name === name)!;
    const call = this.service.transactions.send(config, [half], 'c');
    this.follow(call, key, 'stored');
  }

  end(key: string, commit: boolean, source: number): void {
    const [name, id] = key.split('/') as [string, string];
    const call = this.service.transactions.end(name, id, commit, source);
    this.follow(call, key, commit ? 'commit' : 'rollback');
  }

  resume(): void {
    const topic = this.prng.chance(0.5) ? 'T' : null;
    this.calls.push(
      this.service.transactions.resume(topic, null).then(
        () => undefined,
        (error: unknown) => this.refused(error),
      ),
    );
  }

  follow(call: Promise<unknown>, key: string, what: 'stored' | 'commit' | 'rollback'): void {
    const kept = call.then(
      () => {
        const promises = this.promised.get(key) ?? new Set();
        this.promised.set(key, promises.add(what));
      },
      (error: unknown) => this.refused(error),
    );
    this.calls.push(kept);
  }

  refused(error: unknown): void {
    if (!isMqError(error)) throw error;
    this.refusals.add(error.code);
  }

  /** What is held enters the log, or the clients are told that nobody knows. */
  async release(): Promise<void> {
    if (this.prng.chance(0.4)) this.forget();
    this.node.hold = false;
    this.node.commit();
    // What nobody knew of arrives after all, or some of it, in its order.
    if (this.prng.chance(0.7)) this.arrive();
    await settle();
  }

  forget(): void {
    const held = this.node.take();
    for (const proposal of held) proposal.rejected('unknown');
    this.limbo.push(...held);
  }

  arrive(): void {
    for (const proposal of this.limbo) this.node.propose(withoutAnswer(proposal));
    this.limbo = [];
  }

  /** The other replica leads: what was on its way is in the log by then, or lost. */
  async elect(): Promise<void> {
    if (this.prng.chance(0.5)) {
      this.arrive();
      this.node.commit();
    }
    this.node.hold = false;
    for (const proposal of this.node.take()) proposal.rejected('lost');
    this.limbo = [];
    this.lead(1 - this.leader);
    await settle();
  }

  async checkpoint(): Promise<void> {
    const { state, stateStore } = this.prng.pick(this.replicas);
    const capture = state.capture();
    // Reads that are under way while rows move to the store.
    await settle();
    await stateStore.save(capture.appliedIndex, capture.rows, capture.cold);
    state.captureSaved(capture);
  }

  async finish(): Promise<void> {
    this.node.hold = false;
    this.arrive();
    this.node.commit();
    await settle();
    await this.elect();
    await Promise.all(this.calls);
    this.calls = [];
  }

  async compare(): Promise<void> {
    const naive = new NaiveReader().read(this.node);
    const [first, second] = this.replicas as [Replica, Replica];
    expect(first.state.digest()).toBe(second.state.digest());
    const { state } = this.replicas[this.leader]!;
    const open = new Map<string, Told>();
    for (const row of state.tables.halves.rows()) {
      const told = { state: row.parked ? 'parked' : 'pending', checks: row.checks } as const;
      open.set(`${row.topic}/${row.messageId}`, told);
    }
    const wanted = [...naive.told].filter(([, { state: s }]) => s === 'pending' || s === 'parked');
    expect(Object.fromEntries(open)).toEqual(Object.fromEntries(wanted));
    expect(new Set(naive.visible).size).toBe(naive.visible.length);
    for (const [key, told] of naive.told) {
      const times = naive.visible.filter((id) => id === key).length;
      expect([key, times]).toEqual([key, told.state === 'committed' ? 1 : 0]);
      const [, id] = key.split('/') as [string, string];
      const [found] = (await this.service.transactions.find(id)).filter(
        (status) => `${status.topic}/${id}` === key,
      );
      expect([key, found?.state, found?.checks]).toEqual([key, told.state, told.checks]);
    }
    for (const [key, promises] of this.promised) {
      const state = naive.told.get(key)?.state;
      expect([key, state]).not.toEqual([key, undefined]);
      if (promises.has('commit')) expect([key, state]).toEqual([key, 'committed']);
      if (promises.has('rollback')) expect([key, state]).toEqual([key, 'rolled-back']);
    }
  }

  /** A replica that starts from a checkpoint and the log, or from the log alone, is as the others. */
  async rebuild(stateStore: MemoryStateStore): Promise<void> {
    const { log } = this.node;
    const onFatal = unexpectedFatal;
    const queueIndex = new MemoryQueueIndex();
    const logger = silentLogger;
    const state = await openBrokerState({ stateStore, queueIndex, log, logger, onFatal });
    for (const entry of log.entries.slice(state.appliedIndex)) state.apply(entry, null);
    expect(state.digest()).toBe(this.replicas[0]!.state.digest());
  }
}

function withoutAnswer(proposal: Proposal): Proposal {
  return {
    sizeBytes: proposal.sizeBytes,
    recordCount: proposal.recordCount,
    write: (frame, at, context) => proposal.write(frame, at, context),
    committed: () => undefined,
    rejected: () => undefined,
  };
}

function message(messageId: string, transactionRecoveryMs: number | null): HalfPublish {
  return {
    messageId,
    body: Buffer.from(messageId),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: '',
    gzip: false,
    transactionRecoveryMs,
  };
}

describe('transactions against a reader of the log, under changing leaders', () => {
  test.each([1, 2, 3, 4, 5, 6])(
    'seed %i: 1,700 random steps',
    async (seed) => {
      const world = new World(seed);
      await world.open();
      for (let round = 0; round < 10; round++) {
        for (let left = 170; left > 0; left--) await world.step();
        await world.finish();
        await world.compare();
      }
      await world.rebuild(new MemoryStateStore());
      for (const { stateStore } of world.replicas) await world.rebuild(stateStore);
      // The steps went everywhere they should.
      const states = new Set(
        [...new NaiveReader().read(world.node).told.values()].map((t) => t.state),
      );
      expect([...states].sort()).toEqual(
        expect.arrayContaining(['committed', 'pending', 'rolled-back']),
      );
      expect([...world.refusals]).toEqual(
        expect.arrayContaining(['INVALID_TRANSACTION_ID', 'REQUEST_TIMEOUT']),
      );
      expect(world.asked).toBeGreaterThan(50);
      for (const { service } of world.replicas) service.stop();
    },
    60_000,
  );
});
