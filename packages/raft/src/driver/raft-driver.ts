import {
  assert,
  MqError,
  RingQueue,
  type CancelTimer,
  type Clock,
  type Logger,
  type Prng,
} from '@raftmq/base';
import { type Entry } from '../core/entry.js';
import { createCore, type Core, type RaftCoreConfig } from './core-door.js';
import {
  type Effects,
  type HardState,
  type Input,
  type Message,
  type NodeId,
  type Role,
} from '../core/types.js';
import {
  type HardStateStore,
  type LogStorage,
  type Proposal,
  type RejectReason,
  type RoleStatus,
  type StateMachine,
  type Transport,
} from '../ports.js';
import { Applier } from './applier.js';
import { DiskGate, type GatedStep } from './disk-gate.js';
import { createRaftProbe, type RaftProbe } from './probe.js';
import { PROPOSAL_SIZE_BYTES_MAX, ProposalQueue } from './proposal-queue.js';
import { ReadRequests } from './read-requests.js';
import { loopScheduler, type Scheduler } from './scheduler.js';
import { raftDriverConfig, type RaftDriverConfig } from './settings.js';
import { Transfer } from './transfer.js';
import { WaitingEntries } from './waiting-entries.js';

export interface RaftDriverOptions {
  readonly id: NodeId;
  /** All replicas of the group, this one included. */
  readonly voters: readonly NodeId[];
  /** What differs from the defaults of the two settings tables. */
  readonly config: Partial<RaftDriverConfig> & { readonly core?: Partial<RaftCoreConfig> };
  readonly log: LogStorage;
  readonly hardState: HardStateStore;
  readonly transport: Transport;
  readonly stateMachine: StateMachine;
  readonly clock: Clock;
  readonly random: Prng;
  readonly logger: Logger;
  /** Called once, when a write, a sync or an assertion failed: the process has to exit. Nothing leaves the driver afterwards. */
  readonly onFatal: (error: unknown) => void;
  /** Node's own event loop when left out. */
  readonly scheduler?: Scheduler;
}

/** A picture of one replica, for tools and metrics. */
export interface RaftStatus extends RoleStatus {
  readonly id: NodeId;
  readonly votedFor: NodeId | null;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** Entries through here are durable on this replica. */
  readonly syncedIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly queuedProposals: number;
  readonly queuedBytes: number;
  /** Sealed entries without an outcome. */
  readonly waitingEntries: number;
  readonly waitingReads: number;
  readonly peersConnected: readonly NodeId[];
}

type State = 'new' | 'running' | 'stopping' | 'stopped' | 'dead';

const NO_MESSAGES: readonly Message[] = [];

/**
 * Runs one replica of one group: feeds the core with messages, time and finished disk work, and carries out its effects
 * in the order they demand. It decides nothing about the protocol.
 *
 * A proposal's way: `propose` queues it; at the end of a turn of the event loop, when the disk is free, the queue is
 * sealed into one entry; the core replicates it; when it is applied, everyone in it is answered in one pass.
 *
 * Everything runs on one thread; no method may be called from inside `StateMachine.apply`.
 */
export class RaftDriver {
  /** Counters, for metrics; see {@link RaftProbe}. */
  readonly probe: RaftProbe = createRaftProbe();
  readonly #options: RaftDriverOptions;
  readonly #config: RaftDriverConfig;
  readonly #log: LogStorage;
  readonly #clock: Clock;
  readonly #transport: Transport;
  readonly #scheduler: Scheduler;
  readonly #logger: Logger;

  readonly #queue: ProposalQueue;
  readonly #waiting = new WaitingEntries();
  readonly #reads: ReadRequests;
  readonly #transfer = new Transfer();
  readonly #gate = new DiskGate((messages) => this.#send(messages));
  readonly #applier: Applier;

  #state: State = 'new';
  #core: Core | null = null;
  #role: RoleStatus = { role: 'follower', term: 0, leaderId: null, writable: false };
  #inputs = new RingQueue<Input>();
  #stepping = false;
  #committedThrough = 0;
  #syncedIndex = 0;
  #appendsInFlight = 0;
  #writesInFlight = 0;
  #hardStateSaves: Promise<void> = Promise.resolve();
  #diskIdle: (() => void) | null = null;
  #turnEndScheduled = false;
  #applyScheduled = false;
  #lastTurnAtMs = 0;
  #cancelTick: CancelTimer = () => undefined;

  constructor(options: RaftDriverOptions) {
    this.#options = options;
    this.#config = raftDriverConfig(options.config);
    this.#log = options.log;
    this.#clock = options.clock;
    this.#transport = options.transport;
    this.#scheduler = options.scheduler ?? loopScheduler;
    this.#logger = options.logger;
    this.#queue = new ProposalQueue(this.#config);
    this.#reads = new ReadRequests(this.#config.readsMax, this.#config.proposalTimeoutMs);
    this.#applier = new Applier({
      log: options.log,
      stateMachine: options.stateMachine,
      waiting: this.#waiting,
      probe: this.probe,
      clock: options.clock,
      applySliceBytes: this.#config.applySliceBytes,
      applySliceMs: this.#config.applySliceMs,
    });
  }

  /**
   * Loads term and vote, starts the transport and takes part in elections. Call once.
   * @throws MqError from the hard-state store or the transport; the driver is then stopped
   */
  async start(): Promise<void> {
    assert(this.#state === 'new', 'a driver is started once');
    const { id, voters, config, hardState, random, log } = this.#options;
    const saved = await hardState.load();
    this.#core = createCore({
      id,
      voters,
      config: config.core ?? {},
      log,
      hardState: raised(saved, log),
      random,
    });
    this.#syncedIndex = log.lastIndex;
    this.#lastTurnAtMs = this.#clock.monotonicMs();
    this.#state = 'running';
    this.#publishRole();
    try {
      await this.#transport.start({
        received: (message) => this.#received(message),
        peerConnected: (peer) => this.#logger.info({ peer }, 'peer connected'),
        peerLost: (peer) => this.#input({ kind: 'peer-lost', peer }),
      });
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#armTick();
  }

  /**
   * Leaves the group without ceremony (hand leadership over first for a clean stop): rejects what was not sealed with
   * "stopped", what was with "unknown", and resolves when no disk work is under way any more.
   */
  async stop(): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'stopping') return;
    const dead = this.#state === 'dead';
    this.#state = 'stopping';
    this.#cancelTick();
    this.#queue.rejectAll('stopped');
    this.probe.rejectedUnknown += this.#waiting.expire(Infinity);
    this.#reads.rejectAll();
    this.#transfer.fail('this replica is stopping');
    await this.#transport.stop();
    if (!dead && this.#writesInFlight > 0)
      await new Promise<void>((resolve) => (this.#diskIdle = resolve));
    this.#state = 'stopped';
  }

  /**
   * Queues records for the log; the proposal is answered exactly once, possibly within this call when it is refused.
   * The driver writes it later, so what it refers to must stay as it is until `write` was called.
   */
  propose(proposal: Proposal): void {
    assert(proposal.sizeBytes <= PROPOSAL_SIZE_BYTES_MAX, 'a proposal fits into one entry');
    assert(proposal.recordCount > 0, 'a proposal has records');
    const reason = this.#refusal() ?? (this.#queue.push(proposal) ? null : 'overloaded');
    if (reason !== null) return this.#refuse(proposal, reason);
    this.#scheduleTurnEnd();
  }

  /**
   * A linearizable read (R10): asks a majority whether this replica still leads.
   * @returns an index that is applied here when the promise resolves; whatever was committed before the call is visible
   * @throws MqError HA_NOT_AVAILABLE not the leader; TOO_MANY_REQUESTS; REQUEST_TIMEOUT no majority answered in time
   */
  readIndex(): Promise<number> {
    if (this.#state !== 'running' || this.#role.role !== 'leader') {
      return Promise.reject(
        new MqError('HA_NOT_AVAILABLE', 'this replica does not lead its group; ask the leader'),
      );
    }
    const read = this.#reads.add();
    this.#scheduleTurnEnd();
    return read;
  }

  /**
   * Hands leadership to `target`, or to the replica that is furthest ahead when null. Resolves when this replica does
   * not lead any more.
   * @throws MqError PRECONDITION_FAILED not the leader, or nobody to hand over to; HA_NOT_AVAILABLE the target did not take over in time
   */
  transferLeadership(target: NodeId | null): Promise<void> {
    const core = this.#core;
    if (this.#state !== 'running' || core === null || this.#role.role !== 'leader') {
      return Promise.reject(
        new MqError('PRECONDITION_FAILED', 'this replica does not lead its group; ask the leader'),
      );
    }
    const done = this.#transfer.begin();
    this.#input({ kind: 'transfer', target });
    if (this.#role.role === 'leader' && core.canPropose)
      this.#transfer.fail('no other replica can take over now', 'PRECONDITION_FAILED');
    return done;
  }

  /** The role as the state machine was last told. */
  get role(): RoleStatus {
    return this.#role;
  }

  status(): RaftStatus {
    const core = this.#core;
    return {
      ...this.#role,
      id: this.#options.id,
      votedFor: core?.votedFor ?? null,
      firstIndex: this.#log.firstIndex,
      lastIndex: this.#log.lastIndex,
      syncedIndex: this.#syncedIndex,
      commitIndex: core?.commitIndex ?? 0,
      appliedIndex: this.#applier.appliedIndex,
      queuedProposals: this.#queue.size,
      queuedBytes: this.#queue.bytes,
      waitingEntries: this.#waiting.size,
      waitingReads: this.#reads.waiting,
      peersConnected: this.#options.voters.filter(
        (peer) => peer !== this.#options.id && this.#transport.isConnected(peer),
      ),
    };
  }

  #refusal(): RejectReason | null {
    if (this.#state !== 'running') return 'stopped';
    if (!this.#role.writable) return 'not-leader';
    if (this.#queue.size < this.#config.noQuorumPendingMax) return null;
    return this.#core!.leaseValid(this.#clock.monotonicMs()) ? null : 'no-quorum';
  }

  #refuse(proposal: Proposal, reason: RejectReason): void {
    this.#countRejected(reason, 1);
    proposal.rejected(reason);
  }

  #countRejected(reason: RejectReason, count: number): void {
    if (reason === 'not-leader') this.probe.rejectedNotLeader += count;
    else if (reason === 'overloaded') this.probe.rejectedOverloaded += count;
    else if (reason === 'no-quorum') this.probe.rejectedNoQuorum += count;
  }

  #received(message: Message): void {
    if (message.to !== this.#options.id) return;
    this.probe.messagesReceived++;
    this.#input({ kind: 'message', message });
  }

  /** The one door of the core: handles `input`, and whatever inputs come up while it is handled. */
  #input(input: Input): void {
    if (this.#state !== 'running') return;
    if (this.#stepping) return this.#inputs.push(input);
    this.#stepping = true;
    try {
      this.#noticeStall();
      for (let next: Input | undefined = input; next !== undefined; next = this.#inputs.shift()) {
        this.#step(next);
        if (!this.#running()) break;
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#stepping = false;
    }
  }

  /** Not inlined: the state changes behind the compiler's back. */
  #running(): boolean {
    return this.#state === 'running';
  }

  #step(input: Input): void {
    const effects = this.#core!.step(input, this.#clock.monotonicMs(), this.#clock.wallMs());
    this.#carryOut(effects);
  }

  /** A loop that stood still may have outlived its lease: the core looks at the clock before anything else (R31). */
  #noticeStall(): void {
    const nowMs = this.#clock.monotonicMs();
    const gapMs = nowMs - this.#lastTurnAtMs;
    this.#lastTurnAtMs = nowMs;
    if (gapMs <= this.#config.stallMs) return;
    this.probe.stalls++;
    this.probe.stallMaxMs = Math.max(this.probe.stallMaxMs, gapMs);
    this.#logger.warn({ gapMs: Math.round(gapMs) }, 'the event loop stood still');
    this.#step({ kind: 'tick' });
  }

  #carryOut(effects: Effects): void {
    const { hardState, appends, sendAfterSync } = effects;
    const held = sendAfterSync.length === 0 ? NO_MESSAGES : sendAfterSync.slice();
    const gated = this.#gate.enter(
      (hardState === null ? 0 : 1) + (appends.length === 0 ? 0 : 1),
      held,
    );
    if (hardState !== null) this.#save(hardState, gated!);
    if (appends.length > 0) this.#append(appends.slice(), gated!);
    if (effects.sendNow.length > 0) this.#send(effects.sendNow);
    this.#committedThrough = effects.committedThrough;
    for (const result of effects.reads) this.#reads.answered(result);
    if (effects.roleChanged) this.#publishRole();
    this.#apply();
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) this.#transport.send(message);
    this.probe.messagesSent += messages.length;
  }

  #save(hardState: HardState, gated: GatedStep): void {
    this.probe.hardStateSaves++;
    this.#writesInFlight++;
    // One after the other: an older record must never land behind a newer one.
    this.#hardStateSaves = this.#hardStateSaves
      .then(() => this.#options.hardState.save(hardState))
      .then(
        () => this.#wrote(gated),
        (error: unknown) => this.#writeFailed(error),
      );
  }

  #append(entries: readonly Entry[], gated: GatedStep): void {
    const startedAtMs = this.#clock.monotonicMs();
    this.#appendsInFlight++;
    this.#writesInFlight++;
    this.#syncedIndex = Math.min(this.#syncedIndex, entries[0]!.index - 1);
    this.#log.append(entries).then(
      () => this.#appended(entries[entries.length - 1]!, startedAtMs, gated),
      (error: unknown) => this.#writeFailed(error),
    );
  }

  #appended(last: Entry, startedAtMs: number, gated: GatedStep): void {
    this.#appendsInFlight--;
    const latencyMs = this.#clock.monotonicMs() - startedAtMs;
    this.probe.appends++;
    this.probe.appendLatencySumMs += latencyMs;
    if (latencyMs > this.probe.appendLatencyMaxMs) this.probe.appendLatencyMaxMs = latencyMs;
    if (
      last.index <= this.#log.lastIndex &&
      last.index >= this.#log.firstIndex &&
      this.#log.termAt(last.index) === last.term
    ) {
      this.#syncedIndex = Math.max(this.#syncedIndex, last.index);
    }
    this.#wrote(gated);
    this.#input({ kind: 'synced', throughIndex: last.index, term: last.term });
    this.#scheduleTurnEnd();
  }

  /** One write is durable: lets go what waited for it. */
  #wrote(gated: GatedStep): void {
    this.#writeEnded();
    if (this.#running()) this.#gate.done(gated);
  }

  #writeFailed(error: unknown): void {
    this.#writeEnded();
    this.#fail(error);
  }

  #writeEnded(): void {
    this.#writesInFlight--;
    if (this.#writesInFlight === 0 && this.#diskIdle !== null) this.#diskIdle();
  }

  #apply(): void {
    if (this.#applyScheduled || this.#applier.appliedIndex >= this.#committedThrough) return;
    const done = this.#applier.run(this.#committedThrough);
    this.#reads.applied(this.#applier.appliedIndex);
    if (!this.#role.writable) this.#publishRole();
    if (!done) {
      this.#applyScheduled = true;
      this.#scheduler.defer(() => this.#applyMore());
    }
    this.#scheduleTurnEnd();
  }

  #applyMore(): void {
    this.#applyScheduled = false;
    this.#guarded(() => this.#apply());
  }

  /** Runs a piece of a turn outside of `#input`; what it throws ends the driver. */
  #guarded(work: () => void): void {
    if (!this.#running()) return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #scheduleTurnEnd(): void {
    if (
      this.#turnEndScheduled ||
      !this.#running() ||
      (this.#queue.size === 0 && this.#reads.waiting === 0)
    )
      return;
    this.#turnEndScheduled = true;
    this.#scheduler.defer(this.#turnEnd);
  }

  readonly #turnEnd = (): void => {
    this.#turnEndScheduled = false;
    if (!this.#running()) return;
    const nowMs = this.#clock.monotonicMs();
    const readId = this.#reads.ask(nowMs);
    if (readId !== null) this.#input({ kind: 'read', id: readId });
    this.#guarded(() => {
      while (this.#maySeal()) this.#seal();
    });
  };

  #maySeal(): boolean {
    return (
      this.#queue.size > 0 &&
      this.#running() &&
      this.#role.writable &&
      this.#core!.canPropose &&
      this.#appendsInFlight < this.#config.maxUnsyncedEntries &&
      this.#log.endPosition - this.#applier.appliedEndPosition < this.#config.uncommittedBytesMax &&
      this.#core!.leaseValid(this.#clock.monotonicMs())
    );
  }

  #seal(): void {
    const log = this.#log;
    const batch = this.#queue.seal({
      index: log.lastIndex + 1,
      term: this.#core!.term,
      position: log.endPosition,
      storeTimestampMs: Math.max(log.lastStoreTimestampMs, this.#clock.wallMs()),
    });
    const { entry, proposals } = batch;
    this.#waiting.add(entry, proposals, this.#clock.monotonicMs());
    this.probe.sealedEntries++;
    this.probe.sealedBytes += entry.frame.length;
    this.probe.sealedRecords += entry.recordCount;
    this.probe.sealedProposals += proposals.length;
    if (entry.recordCount > this.probe.batchRecordsMax)
      this.probe.batchRecordsMax = entry.recordCount;
    this.#input({ kind: 'propose', entry });
  }

  /** Tells the state machine when role, term, leader or writability changed. */
  #publishRole(): void {
    const core = this.#core!;
    const before = this.#role;
    const noopIndex = core.noopIndex;
    const writable =
      core.role === 'leader' && noopIndex !== null && this.#applier.appliedIndex >= noopIndex;
    const { role, term, leaderId } = core;
    if (
      role === before.role &&
      term === before.term &&
      leaderId === before.leaderId &&
      writable === before.writable
    )
      return;
    this.#role = { role, term, leaderId, writable };
    this.#countRole(before.role, role, before.leaderId !== leaderId && leaderId !== null);
    this.#logger.info({ role, term, leaderId, writable }, 'role changed');
    if (before.role === 'leader' && role !== 'leader') {
      // Same term: nobody took over, the majority went away (R30). Neither kind was ever sealed, so nothing can commit.
      const reason = term === before.term ? 'no-quorum' : 'not-leader';
      this.#countRejected(reason, this.#queue.rejectAll(reason));
      this.#transfer.succeed();
    }
    this.#options.stateMachine.roleChanged(this.#role);
  }

  #countRole(before: Role, now: Role, newLeader: boolean): void {
    if (now === 'pre-candidate' && before !== 'pre-candidate') this.probe.campaigns++;
    if (now === 'leader' && before !== 'leader') this.probe.electionsWon++;
    if (before === 'leader' && now !== 'leader') this.probe.leadershipLost++;
    if (newLeader) this.probe.leaderChanges++;
  }

  #armTick(): void {
    if (this.#running()) this.#cancelTick = this.#clock.setTimer(this.#config.tickMs, this.#tick);
  }

  readonly #tick = (): void => {
    this.#input({ kind: 'tick' });
    this.#guarded(() => this.#expire(this.#clock.monotonicMs()));
    this.#scheduleTurnEnd();
    this.#armTick();
  };

  #expire(nowMs: number): void {
    this.#countRejected('overloaded', this.#queue.expire(nowMs));
    this.probe.rejectedUnknown += this.#waiting.expire(nowMs - this.#config.proposalTimeoutMs);
    this.#reads.expire(nowMs);
    if (this.#role.role === 'leader' && this.#core!.canPropose)
      this.#transfer.fail('the other replica did not take over in time');
  }

  /** Stops everything at once, without an answer to anyone (R25). */
  #fail(error: unknown): void {
    if (this.#state !== 'running') return;
    this.#state = 'dead';
    this.#cancelTick();
    this.#gate.clear();
    this.#inputs.clear();
    this.#options.onFatal(error);
  }
}

/** A log entry of a later term than the saved one: the record did not make it to disk, the entry did; no vote left in between. */
function raised(saved: HardState, log: LogStorage): HardState {
  const lastTerm = log.termAt(log.lastIndex);
  return lastTerm > saved.term ? { term: lastTerm, votedFor: null } : saved;
}
