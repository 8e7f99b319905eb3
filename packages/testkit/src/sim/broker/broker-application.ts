import { assert, type Prng } from '@raftmq/base';
import { FileQueueIndex, KvStateStore, type StateStore } from '@raftmq/broker-store';
import {
  Checkpoints,
  MessagingService,
  openBrokerState,
  RecentSends,
  type BrokerStateMachine,
  type MessagingServiceSettings,
  type ProducerLink,
  type StateSettings,
  type TimerSettings,
} from '@raftmq/broker/internal';
import { type Proposal, type StateMachine } from '@raftmq/raft';
import {
  type Application,
  type ApplicationContext,
  type ApplicationHost,
  type Proposer,
} from '../application.js';
import { plantInMachine, plantInStore } from './broker-plants.js';
import { type Plant } from '../plants.js';
import { SimKv } from './sim-kv.js';

/** How a replica of the simulated broker group is set up; the same on all of them. */
export interface BrokerSetup {
  readonly messaging: MessagingServiceSettings;
  readonly state: StateSettings;
  readonly timers: Partial<TimerSettings>;
  readonly queueFileEntries: number;
  readonly openQueueFilesMax: number;
}

/** One machine's share of a broker group: what its disk keeps beside the log. */
export class BrokerHost implements ApplicationHost<BrokerApplication> {
  readonly setup: BrokerSetup;
  readonly plant: Plant | null;
  readonly producers: ProducerLink;
  readonly #random: Prng;
  #kv: SimKv | null = null;

  constructor(setup: BrokerSetup, producers: ProducerLink, random: Prng, plant: Plant | null) {
    this.setup = setup;
    this.producers = producers;
    this.plant = plant;
    this.#random = random;
  }

  open(context: ApplicationContext): Promise<BrokerApplication> {
    this.#kv ??= new SimKv(context.machineDisk, this.#random.fork('kv'));
    const secrets = this.#random.fork(`secrets ${context.clock.monotonicMs()}`);
    return BrokerApplication.open(this, context, this.#kv, secrets);
  }

  powerCut(): void {
    this.#kv?.powerCut();
  }

  /** Removes the saved rows while no process runs: the next one has to make them anew from the log. */
  wipeState(): void {
    this.#kv?.wipe();
  }
}

interface Parts {
  readonly queueIndex: FileQueueIndex;
  readonly stateStore: StateStore;
  readonly state: BrokerStateMachine;
  readonly checkpoints: Checkpoints;
}

/** The production parts of a broker between the Raft driver and the gRPC edge, in one simulated process. */
export class BrokerApplication implements Application {
  readonly stateMachine: StateMachine;
  readonly messaging: MessagingService;
  readonly queueIndex: FileQueueIndex;
  readonly #parts: Parts;
  #proposer: Proposer | null = null;

  private constructor(
    host: BrokerHost,
    context: ApplicationContext,
    parts: Parts,
    randomBytes: (sizeBytes: number) => Buffer,
  ) {
    const { state, queueIndex } = parts;
    this.#parts = parts;
    this.queueIndex = queueIndex;
    this.stateMachine = plantInMachine(host.plant, state);
    this.messaging = new MessagingService({
      state,
      proposer: this,
      confirmLeading: () => this.#proposer!.readIndex(),
      queueIndex,
      log: context.log,
      clock: context.clock,
      logger: context.logger,
      settings: host.setup.messaging,
      timerSettings: host.setup.timers,
      brokerGroup: 'sim',
      randomBytes,
    });
    this.messaging.transactions.connect(host.producers);
  }

  static async open(
    host: BrokerHost,
    context: ApplicationContext,
    kv: SimKv,
    secrets: Prng,
  ): Promise<BrokerApplication> {
    const { setup } = host;
    const { disk, directory, clock, log, logger, onFatal, life } = context;
    const queueIndex = await FileQueueIndex.open({
      disk,
      directory: `${directory}/queues`,
      entriesPerFile: setup.queueFileEntries,
      openFilesMax: setup.openQueueFilesMax,
    });
    const stateStore = plantInStore(host.plant, new KvStateStore(kv.attach(life)));
    const randomBytes = (sizeBytes: number): Buffer =>
      Buffer.from(Array.from({ length: sizeBytes }, () => secrets.integer(0, 255)));
    const state = await openBrokerState({
      stateStore,
      queueIndex,
      log,
      logger,
      recentSends:
        host.plant === 'sends-forgotten' ? null : new RecentSends(setup.state, randomBytes(8)),
      sendDedupRebuildBytes: setup.state.sendDedupRebuildBytes,
      onFatal,
    });
    const checkpoints = new Checkpoints({
      state,
      queueIndex,
      stateStore,
      log,
      clock,
      logger,
      settings: setup.state,
      onFatal,
    });
    const parts = { queueIndex, stateStore, state, checkpoints };
    return new BrokerApplication(host, context, parts, randomBytes);
  }

  get appliedIndex(): number {
    return this.#parts.state.appliedIndex;
  }

  get durableIndex(): number {
    return this.#parts.checkpoints.savedIndex;
  }

  digest(): string {
    return this.#parts.state.digest();
  }

  attach(proposer: Proposer): void {
    this.#proposer = proposer;
  }

  propose(proposal: Proposal): void {
    assert(this.#proposer !== null, 'nobody proposes before there is a driver');
    this.#proposer.propose(proposal);
  }

  started(): void {
    this.#parts.checkpoints.start();
  }

  stopServing(): void {
    this.messaging.stop();
  }

  async close(): Promise<void> {
    const { checkpoints, stateStore, queueIndex } = this.#parts;
    await checkpoints.stop();
    await stateStore.close();
    await queueIndex.close();
  }
}
