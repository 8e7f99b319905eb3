import { defaultsOf, silentLogger } from '@raftmq/base';
import {
  Checkpoints,
  MessagingService,
  messagingServiceSettings,
  openBrokerState,
  RecentSends,
  stateSettings,
  type BrokerStateMachine,
  type ProducerLink,
} from '@raftmq/broker/internal';
import {
  MemoryQueueIndex,
  MemoryStateStore,
  unexpectedFatal,
  type ManualClock,
  type SingleNode,
} from '@raftmq/broker/testing';
import { LITE_SUBSCRIPTIONS_MAX, LITE_TOPICS_MAX } from './lite-clients.js';

/** What the log's replicas share. */
export interface ReplicaSurroundings {
  readonly clock: ManualClock;
  readonly node: SingleNode;
  readonly producers: ProducerLink;
}

/** One replica's state over what it has saved, with the service that answers clients while it leads. */
export class Replica {
  readonly state: BrokerStateMachine;
  readonly service: MessagingService;
  readonly #stateStore: MemoryStateStore;
  readonly #queueIndex: MemoryQueueIndex;
  readonly #checkpoints: Checkpoints;

  private constructor(
    around: ReplicaSurroundings,
    state: BrokerStateMachine,
    stateStore: MemoryStateStore,
    queueIndex: MemoryQueueIndex,
  ) {
    const { clock, node } = around;
    const logger = silentLogger;
    this.state = state;
    this.#stateStore = stateStore;
    this.#queueIndex = queueIndex;
    this.service = new MessagingService({
      state,
      proposer: node,
      queueIndex,
      log: node.log,
      clock,
      logger,
      settings: {
        ...defaultsOf(messagingServiceSettings),
        groupConsumeFrom: 'first',
        turnWaitMs: 0,
        transactionCheckFirstMs: 2_000,
        transactionCheckIntervalMs: 2_000,
        transactionCheckMax: 3,
        liteTopicsMax: LITE_TOPICS_MAX,
        liteSubscriptionsMax: LITE_SUBSCRIPTIONS_MAX,
        liteTopicIdleMs: 120_000,
      },
      timerSettings: { timersLoadedMax: 16 },
      brokerGroup: 'model',
      randomBytes: (sizeBytes) => Buffer.alloc(sizeBytes, 7),
    });
    this.service.transactions.connect(around.producers);
    this.#checkpoints = new Checkpoints({
      state,
      queueIndex,
      stateStore,
      log: node.log,
      clock,
      logger,
      settings: defaultsOf(stateSettings),
      onFatal: unexpectedFatal,
    });
  }

  /** Opens what is saved and applies the log behind it. */
  static async open(
    around: ReplicaSurroundings,
    stateStore = new MemoryStateStore(),
    queueIndex = new MemoryQueueIndex(),
  ): Promise<Replica> {
    const { log } = around.node;
    const state = await openBrokerState({
      stateStore,
      queueIndex,
      log,
      logger: silentLogger,
      recentSends: new RecentSends(defaultsOf(stateSettings), Buffer.alloc(8, 3)),
      sendDedupRebuildBytes: defaultsOf(stateSettings).sendDedupRebuildBytes,
      onFatal: unexpectedFatal,
    });
    for (const entry of log.read(state.appliedIndex + 1, log.lastIndex)) state.apply(entry, null);
    state.applied();
    return new Replica(around, state, stateStore, queueIndex);
  }

  save(): Promise<void> {
    return this.#checkpoints.save();
  }

  /** The process ends, and begins again with its last checkpoint. */
  restart(around: ReplicaSurroundings): Promise<Replica> {
    this.service.stop();
    this.state.setListener(null);
    return Replica.open(around, this.#stateStore, this.#queueIndex);
  }

  lead(term: number): void {
    this.state.roleChanged({ role: 'leader', term, leaderId: 0, writable: true });
  }

  follow(term: number): void {
    this.state.roleChanged({ role: 'follower', term, leaderId: 0, writable: false });
  }
}
