import { afterEach, describe, expect, test } from '@jest/globals';
import { createPrng, defaultsOf, isMqError, silentLogger, type Prng } from '@raftmq/base';
import { ALL_MESSAGES } from '@raftmq/protocol';
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
import { testMessage } from '../testing/service-fixture.js';
import { messagingServiceSettings } from './settings.js';

/*
 * Random pulls, receives, acks, offset updates and resets of two groups, one of them ordered, while two replicas of one
 * log take turns at leading and lose what had not been agreed on. A committed offset goes back by a reset and by nothing
 * else, whoever leads.
 */

const GROUPS = ['plain', 'ordered'] as const;
const QUEUES = 2;

interface Replica {
  readonly state: BrokerStateMachine;
  readonly service: MessagingService;
}

class World {
  readonly prng: Prng;
  readonly clock = new ManualClock();
  readonly node = new SingleNode(this.clock);
  replicas: Replica[] = [];
  leader = 0;
  term = 1;
  failovers = 0;
  resets = 0;
  readonly held: { readonly group: string; readonly handle: string }[] = [];
  /** By group and queue: the largest committed offset seen since the reset `epoch`. */
  readonly floors = new Map<string, { readonly epoch: number; readonly offset: number }>();

  constructor(seed: number) {
    this.prng = createPrng(seed);
  }

  get service(): MessagingService {
    return this.replicas[this.leader]!.service;
  }

  async start(): Promise<void> {
    this.replicas = await Promise.all([this.#replica(), this.#replica()]);
    this.#lead();
    await settle();
    await this.service.putTopic({ name: 'T', type: 'NORMAL', queues: QUEUES, permission: 6 });
    for (const name of GROUPS)
      await this.service.putGroup({ name, fifo: name === 'ordered', maxAttempts: 3 });
  }

  async #replica(): Promise<Replica> {
    const queueIndex = new MemoryQueueIndex();
    const state = await openBrokerState({
      stateStore: new MemoryStateStore(),
      queueIndex,
      log: this.node.log,
      logger: silentLogger,
      onFatal: unexpectedFatal,
    });
    this.node.machines.push(state);
    const service = new MessagingService({
      state,
      proposer: this.node,
      queueIndex,
      log: this.node.log,
      clock: this.clock,
      logger: silentLogger,
      settings: defaultsOf(messagingServiceSettings),
      brokerGroup: 'broker-a',
      randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
    });
    return { state, service };
  }

  #lead(): void {
    this.replicas.forEach(({ state }, id) =>
      state.roleChanged({
        role: id === this.leader ? 'leader' : 'follower',
        term: this.term,
        leaderId: this.leader,
        writable: id === this.leader,
      }),
    );
  }

  /** Several operations at once; a refusal is an answer like any other. */
  async step(): Promise<void> {
    this.node.hold = this.prng.chance(0.2);
    const under = Array.from({ length: this.prng.integer(1, 4) }, () =>
      this.#operation().catch((error: unknown) => {
        if (!isMqError(error)) throw error;
      }),
    );
    await settle();
    if (this.node.hold && this.prng.chance(0.5)) await this.#failOver();
    this.node.hold = false;
    this.node.commit();
    let settled = false;
    const all = Promise.all(under).then(() => (settled = true));
    // A receive may wait for the turn of another one.
    while (!settled) await this.clock.advance(250);
    await all;
    await this.clock.advance(this.prng.integer(0, 6_000));
    this.check();
  }

  /** What waits is lost, and the other replica leads. */
  async #failOver(): Promise<void> {
    this.node.lose();
    this.leader = 1 - this.leader;
    this.term++;
    this.failovers++;
    this.#lead();
    await settle();
  }

  async #operation(): Promise<unknown> {
    const { service, prng } = this;
    const group = prng.pick(GROUPS);
    const queue = { group, topic: 'T', queueId: prng.integer(0, QUEUES - 1) };
    const draw = prng.next();
    const signal = new AbortController().signal;
    if (draw < 0.25) {
      const body = String(prng.integer(0, 1e9));
      return service.send(service.topic('T')!, [testMessage(body)]);
    }
    if (draw < 0.5) return this.#receive(group);
    if (draw < 0.7) return this.#ack();
    if (draw < 0.8) {
      const offset = prng.integer(0, 20);
      const request = { ...queue, offset, batchSize: 5, pollingMs: 0, filter: ALL_MESSAGES };
      return service.pull({ ...request, signal });
    }
    if (draw < 0.95) {
      const now = (await service.committedOffset(queue)) ?? 0;
      return service.updateOffset(queue, Math.max(0, now + prng.integer(-4, 4)));
    }
    this.resets++;
    const { queueId } = queue;
    const target = prng.pick([
      { kind: 'beginning' },
      { kind: 'end' },
      { kind: 'offset', offset: prng.integer(0, 9) },
    ] as const);
    return service.resetOffset(group, 'T', prng.chance(0.5) ? null : queueId, target, false);
  }

  async #receive(group: string): Promise<void> {
    const messages = await this.service.receive({
      group,
      topic: 'T',
      queueId: null,
      batchSize: this.prng.integer(1, 6),
      invisibleMs: 10_000,
      autoRenew: false,
      clientId: 'c',
      pollingMs: 0,
      filter: ALL_MESSAGES,
      attemptId: null,
      signal: new AbortController().signal,
    });
    for (const { receiptHandle: handle } of messages) this.held.push({ group, handle });
  }

  #ack(): Promise<unknown> {
    if (this.held.length === 0) return Promise.resolve();
    const { group, handle } = this.prng.pick(this.held.slice(-12));
    return this.service.ack(group, 'T', [{ messageId: 'x', receiptHandle: handle }]);
  }

  check(): void {
    const [one, two] = this.replicas.map(({ state }) => state);
    expect(two!.appliedIndex).toBe(one!.appliedIndex);
    expect(two!.digest()).toBe(one!.digest());
    for (const group of GROUPS) {
      for (let queueId = 0; queueId < QUEUES; queueId++) {
        const state = one!.tables.delivery(group, 'T', queueId)?.state;
        if (state === undefined) continue;
        const key = `${group}/${queueId}`;
        const { epoch, committedOffset: offset } = state;
        const floor = this.floors.get(key);
        if (floor?.epoch === epoch) expect(offset).toBeGreaterThanOrEqual(floor.offset);
        expect(offset).toBeLessThanOrEqual(
          one!.tables.topics.get('T')!.queues[queueId]?.endOffset ?? 0,
        );
        this.floors.set(key, { epoch, offset });
      }
    }
  }
}

describe('committed offsets', () => {
  let world: World;
  afterEach(() => {
    for (const { service } of world.replicas) service.stop();
  });

  test.each([1, 2, 3, 4])(
    'seed %i: 400 random steps with failovers',
    async (seed) => {
      world = new World(seed);
      await world.start();
      for (let left = 400; left > 0; left--) await world.step();
      expect(world.failovers).toBeGreaterThan(10);
      expect(world.resets).toBeGreaterThan(10);
      expect([...world.floors.values()].some(({ offset }) => offset > 20)).toBe(true);
    },
    60_000,
  );
});
