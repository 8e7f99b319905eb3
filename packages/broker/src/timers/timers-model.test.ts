import { expect, test } from '@jest/globals';
import { createPrng, isMqError, silentLogger, type Prng } from '@raftmq/base';
import { type ColdRow } from '@raftmq/broker-store';
import { decodeStoredMessage, propertyName } from '@raftmq/protocol';
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

const topic: TopicConfig = { name: 'T', type: 'DELAY', queues: 3, permission: 6 };
const settings = Object.fromEntries(
  Object.entries(messagingServiceSettings).map(([name, entry]) => [name, entry.default]),
) as MessagingServiceSettings;

/** A clock whose wall may be moved against its monotonic time. */
class JumpingClock extends ManualClock {
  offsetMs = 0;

  override wallMs(): number {
    return this.nowMs + this.offsetMs;
  }
}

/** A store whose answers show what there was when it was asked, and arrive later. */
class SlowStore extends MemoryStateStore {
  readonly #clock: ManualClock;
  readonly #prng: Prng;

  constructor(clock: ManualClock, prng: Prng) {
    super();
    this.#clock = clock;
    this.#prng = prng;
  }

  override async coldGet(key: string): Promise<Buffer | null> {
    const row = await super.coldGet(key);
    await this.#delay();
    return row;
  }

  override async coldRange(
    ...range: Parameters<MemoryStateStore['coldRange']>
  ): Promise<readonly ColdRow[]> {
    const rows = await super.coldRange(...range);
    await this.#delay();
    return rows;
  }

  #delay(): Promise<void> {
    const delayMs = this.#prng.pick([0, 0, 5, 60, 700]);
    if (delayMs === 0) return Promise.resolve();
    return new Promise((resolve) => this.#clock.setTimer(delayMs, resolve));
  }
}

interface Replica {
  readonly store: MemoryStateStore;
  index: MemoryQueueIndex;
  state: BrokerStateMachine;
  service: MessagingService;
}

type Fate = 'waiting' | 'recalled' | 'open';

/** What the naive model knows of a message: nothing but when it is due, and whether it may come. */
interface Expected {
  readonly dueMs: number;
  handle: string;
  fate: Fate;
}

/** Two replicas over one log, one of them leading; proposals are delayed, lost and left open as Raft may do it. */
class World {
  readonly clock = new JumpingClock();
  readonly node = new SingleNode(this.clock);
  readonly expected = new Map<string, Expected>();
  readonly replicas: Replica[] = [];
  readonly #prng: Prng;
  readonly #calls: Promise<unknown>[] = [];
  #leader = 0;
  #term = 0;

  constructor(seed: number) {
    this.#prng = createPrng(seed);
  }

  async start(): Promise<void> {
    for (let id = 0; id < 2; id++) {
      this.replicas.push(await this.#open(new SlowStore(this.clock, this.#prng)));
    }
    this.#machines();
    await this.#lead(0);
    await this.leader.service.putTopic(topic);
  }

  get leader(): Replica {
    return this.replicas[this.#leader]!;
  }

  async step(): Promise<void> {
    const prng = this.#prng;
    const dice = prng.integer(0, 99);
    if (dice < 45) this.#send();
    else if (dice < 60) this.#recall();
    else if (dice < 78) await this.clock.advance(prng.pick([1, 7, 100, 900, 4_000]));
    else if (dice < 84) await this.#checkpoint(prng.pick(this.replicas));
    else if (dice < 87) this.clock.offsetMs += prng.pick([-3_000, -200, 300, 5_000]);
    else if (dice < 90) this.node.refuse = this.node.refuse === null ? 'overloaded' : null;
    else if (dice < 94) await this.#holdUp();
    else if (dice < 98) await this.#changeLeader();
    else await this.#restart(1 - this.#leader);
    await settle();
  }

  /** Lets everything that is due come; nothing goes wrong any more. */
  async finish(): Promise<void> {
    this.node.refuse = null;
    this.#release();
    for (let i = 0; i < 40; i++) await this.clock.advance(2_000);
    await Promise.all(this.#calls);
    for (const { service } of this.replicas) service.stop();
  }

  delivered(): ReadonlyMap<string, readonly { storeMs: number; dueMs: number }[]> {
    const found = new Map<string, { storeMs: number; dueMs: number }[]>();
    const { index } = this.leader;
    for (let queueId = 0; queueId < topic.queues; queueId++) {
      const slice = index.read('T', queueId, 0, 1_000_000);
      for (let i = 0; i < slice.count; i++) {
        const record = this.node.log.cachedRecord(slice.positions[i]!, slice.sizesBytes[i]!)!;
        const { messageId, storeTimestampMs, properties } = decodeStoredMessage(record);
        const dueMs = Number(properties.get(propertyName.TIMER_DELIVER_MS));
        const one = { storeMs: storeTimestampMs, dueMs };
        const list = found.get(messageId);
        if (list === undefined) found.set(messageId, [one]);
        else list.push(one);
      }
    }
    return found;
  }

  #send(): void {
    const prng = this.#prng;
    const messages: TimedPublishMessage[] = [];
    for (let left = prng.integer(1, 12); left > 0; left--) {
      const delayMs = prng.pick([-5, 0, 1, 50, 900, 2_600, 5_100, 9_000, 30_000]);
      const dueMs = this.clock.wallMs() + delayMs + prng.integer(0, 20);
      const messageId = `m${this.expected.size}`;
      messages.push({ ...blank, messageId, deliveryTimestampMs: dueMs });
      this.expected.set(messageId, { dueMs, handle: '', fate: 'open' });
    }
    const call = this.leader.service.sendTimed(topic, messages).then(
      (results) =>
        results.forEach(({ recallHandle }, i) => {
          const expected = this.expected.get(messages[i]!.messageId)!;
          expected.handle = recallHandle;
          expected.fate = 'waiting';
        }),
      (error: unknown) => expect(isMqError(error)).toBe(true),
    );
    this.#calls.push(call);
  }

  #recall(): void {
    const candidates = [...this.expected.values()].filter(({ handle }) => handle !== '');
    if (candidates.length === 0) return;
    const target = this.#prng.pick(candidates.slice(-60));
    const before = target.fate;
    const call = this.leader.service.recall('T', target.handle).then(
      () => (target.fate = 'recalled'),
      (error: unknown) => {
        if (!isMqError(error)) throw error;
        if (error.code === 'REQUEST_TIMEOUT' && before === 'waiting') target.fate = 'open';
      },
    );
    this.#calls.push(call);
  }

  /** Proposals wait for a while; then they commit, or commit with nobody told. */
  async #holdUp(): Promise<void> {
    const prng = this.#prng;
    this.node.hold = true;
    this.#send();
    this.#recall();
    await this.clock.advance(prng.pick([1, 500, 3_000]));
    this.clock.offsetMs += prng.pick([0, 0, -1_000]);
    if (prng.integer(0, 1) === 0) {
      this.node.seal();
      this.node.giveUpSealed();
      await this.clock.advance(prng.pick([1, 500, 3_000]));
    }
    this.#release();
  }

  #release(): void {
    this.node.hold = false;
    this.node.commit();
  }

  async #changeLeader(): Promise<void> {
    this.node.hold = true;
    await this.clock.advance(this.#prng.pick([1, 200, 2_000]));
    if (this.#prng.integer(0, 1) === 0) this.node.seal();
    if (this.#prng.integer(0, 1) === 0) this.node.commit();
    this.leader.state.roleChanged(this.#role(false));
    this.node.loseAll();
    this.node.hold = false;
    await this.#lead(this.#prng.integer(0, 1));
  }

  async #lead(id: number): Promise<void> {
    this.#term++;
    this.#leader = id;
    this.leader.state.roleChanged(this.#role(true));
    this.#machines();
    await settle();
  }

  #role(leading: boolean): Parameters<BrokerStateMachine['roleChanged']>[0] {
    return {
      role: leading ? 'leader' : 'follower',
      term: this.#term,
      leaderId: this.#leader,
      writable: leading,
    };
  }

  /** The leader's results are the ones that count. */
  #machines(): void {
    const machines = [this.leader, ...this.replicas.filter((one) => one !== this.leader)];
    this.node.machines.splice(0, Infinity, ...machines.map(({ state }) => state));
  }

  async #restart(id: number): Promise<void> {
    const { store, service } = this.replicas[id]!;
    service.stop();
    this.replicas[id] = await this.#open(store);
    this.#machines();
  }

  async #checkpoint({ state, store }: Replica): Promise<void> {
    const capture = state.capture();
    // Time passes, and entries are applied, while it is saved.
    if (this.#prng.integer(0, 1) === 0) await this.clock.advance(50);
    await store.save(capture.appliedIndex, capture.rows, capture.cold);
    if (this.#prng.integer(0, 1) === 0) await this.clock.advance(50);
    state.captureSaved(capture);
  }

  async #open(store: MemoryStateStore): Promise<Replica> {
    const { log } = this.node;
    const index = new MemoryQueueIndex();
    const state = await openBrokerState({
      stateStore: store,
      queueIndex: index,
      log,
      logger: silentLogger,
      onFatal: unexpectedFatal,
    });
    for (const entry of log.read(state.appliedIndex + 1, log.lastIndex)) state.apply(entry, null);
    state.applied();
    const service = new MessagingService({
      state,
      proposer: this.node,
      queueIndex: index,
      log,
      clock: this.clock,
      logger: silentLogger,
      settings,
      timerSettings: { timersLoadedMax: this.#prng.pick([64, 20_000]) },
      brokerGroup: 'broker-a',
      randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
    });
    return { store, index, state, service };
  }
}

const blank: TimedPublishMessage = {
  messageId: '',
  body: Buffer.from('body'),
  tag: null,
  keys: [],
  userProperties: [],
  messageGroup: null,
  traceContext: null,
  bornTimestampMs: 0,
  bornHost: '',
  gzip: false,
  deliveryTimestampMs: null,
};

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'every message comes once, at its time or later, unless it was recalled: seed %d',
  async (seed) => {
    const world = new World(seed);
    await world.start();
    for (let step = 0; step < 400; step++) await world.step();
    await world.finish();
    const delivered = world.delivered();
    for (const [messageId, { fate, dueMs }] of world.expected) {
      const seen = delivered.get(messageId) ?? [];
      const count = seen.length;
      const right = fate === 'open' ? count <= 1 : count === (fate === 'waiting' ? 1 : 0);
      expect({ messageId, fate, count, right }).toMatchObject({ right: true });
      for (const { storeMs, dueMs: storedDueMs } of seen) {
        expect(storedDueMs).toBe(dueMs);
        expect(storeMs).toBeGreaterThanOrEqual(dueMs);
      }
    }
    const [a, b] = world.replicas.map(({ state }) => state);
    expect(a!.tables.timers.pending).toBe(0);
    expect(a!.tables.cold.count).toBe(0);
    expect(a!.digest()).toBe(b!.digest());
    expect(world.expected.size).toBeGreaterThan(500);
  },
  60_000,
);
