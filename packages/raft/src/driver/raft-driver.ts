import { assert, MqError, RingQueue, type CancelTimer, type Clock } from '@raftmq/base';
import { raftCoreConfig } from '../core/config.js';
import { RaftCore } from '../core/raft-core.js';
import {
  type Effects,
  type HardState,
  type Input,
  type Message,
  type NodeId,
} from '../core/types.js';
import {
  type LogStorage,
  type Proposal,
  type RejectReason,
  type RoleStatus,
  type Transport,
} from '../ports.js';
import { Applier } from './applier.js';
import { DiskWork } from './disk-work.js';
import { countRejected, countRole, createRaftProbe, type RaftProbe } from './probe.js';
import { PROPOSAL_SIZE_BYTES_MAX, ProposalQueue } from './proposal-queue.js';
import { type RaftDriverOptions, type RaftStatus } from './raft-driver-options.js';
import { ReadRequests } from './read-requests.js';
import { Recovery } from './recovery.js';
import { loopScheduler, type Scheduler } from './scheduler.js';
import { raftDriverConfig, type RaftDriverConfig } from './settings.js';
import { Transfer } from './transfer.js';
import { WaitingEntries } from './waiting-entries.js';

/** Timers count whole milliseconds. */
const TIMER_MS_MIN = 1;

type State = 'new' | 'running' | 'stopping' | 'stopped' | 'dead';

/**
 * Runs one replica of one group: feeds the core with messages, time and finished disk work, and carries out its effects
 * in the order they demand. It decides nothing about the protocol.
 *
 * A proposal's way: `propose` queues it; at the end of a turn of the event loop, when the disk is free, the queue is
 * sealed into one entry; the core replicates it; when it is applied, everyone in it is answered in one pass.
 *
 * Everything runs on one thread. The state machine may call `propose` and `status` while it applies, nothing else.
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
  readonly #queue: ProposalQueue;
  readonly #waiting = new WaitingEntries();
  readonly #reads: ReadRequests;
  readonly #transfer = new Transfer();
  readonly #applier: Applier;
  readonly #disk: DiskWork;
  readonly #recovery: Recovery;
  readonly #inputs = new RingQueue<Input>();

  #state: State = 'new';
  #core: RaftCore | null = null;
  #role: RoleStatus = { role: 'follower', term: 0, leaderId: null, writable: false };
  #stepping = false;
  #committedThrough = 0;
  #turnEndScheduled = false;
  #applyScheduled = false;
  #lastTurnAtMs = 0;
  /** When the timer fires that calls `#tick`; Infinity when none is set. */
  #tickAtMs = Infinity;
  #cancelTick: CancelTimer = () => undefined;

  constructor(options: RaftDriverOptions) {
    const { log, clock, stateMachine, hardState } = options;
    const config = raftDriverConfig(options.config);
    const probe = this.probe;
    this.#options = options;
    this.#config = config;
    this.#log = log;
    this.#clock = clock;
    this.#transport = options.transport;
    this.#scheduler = options.scheduler ?? loopScheduler;
    this.#queue = new ProposalQueue(config);
    this.#reads = new ReadRequests(config.readsMax, config.proposalTimeoutMs);
    const { applySliceBytes, applySliceMs } = config;
    const waiting = this.#waiting;
    this.#applier = new Applier({
      log,
      stateMachine,
      waiting,
      probe,
      clock,
      applySliceBytes,
      applySliceMs,
    });
    this.#recovery = new Recovery({
      standing: options.standing,
      memory: options.memory,
      logger: options.logger,
      probe,
      peers: options.voters.filter((voter) => voter !== options.id),
      isConnected: (peer) => options.transport.isConnected(peer),
      failed: (error) => this.#fail(error),
    });
    this.#disk = new DiskWork({
      log,
      hardState,
      clock,
      probe,
      // What a term that is over promised may have been cut since, and nobody counts it any more.
      send: (messages, term) => {
        if (term === this.#core!.term) this.#send(messages);
      },
      synced: (throughIndex, term) => this.#input({ kind: 'synced', throughIndex, term }),
      appendEnded: () => this.#scheduleTurnEnd(),
      failed: (error) => this.#fail(error),
    });
  }

  /**
   * Loads term and vote, starts the transport and takes part in elections. Call once.
   * @throws MqError CONFIG_INVALID, or whatever store and transport throw; the driver is then stopped
   */
  async start(): Promise<void> {
    assert(this.#state === 'new', 'a driver is started once');
    const { id, voters, random, config, standing, memory, testOnlyBugs } = this.#options;
    const log = this.#log;
    const hardState = raised(await this.#options.hardState.load(), log);
    // The core is not told what is applied: after a power cut the log may end before it, and grows again from a leader.
    this.#core = new RaftCore({
      id,
      voters,
      config: raftCoreConfig(config.core),
      log,
      hardState,
      random,
      takesPart: standing?.takesPart ?? true,
      forgetful: memory?.forgetful ?? false,
      ...(testOnlyBugs === undefined ? {} : { testOnlyBugs }),
    });
    this.#lastTurnAtMs = this.#clock.monotonicMs();
    this.#state = 'running';
    this.#publishRole(this.#core);
    try {
      await this.#transport.start({
        received: (message) => this.#received(message),
        peerConnected: (peer) => this.#input({ kind: 'peer-connected', peer }),
        peerLost: (peer) => this.#input({ kind: 'peer-lost', peer }),
        standing: (takesPart) => this.#input({ kind: 'standing', takesPart }),
      });
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#tick();
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
    this.#disk.halt();
    this.#queue.rejectAll('stopped');
    countRejected(this.probe, 'unknown', this.#waiting.expire(Infinity));
    this.#reads.rejectAll();
    this.#transfer.fail('this replica is stopping');
    await this.#transport.stop();
    if (!dead) await this.#disk.idle();
    this.#state = 'stopped';
  }

  /**
   * Queues records for the log; the proposal is answered exactly once, within this call when it is refused at once.
   * Its records are written later, so what they are made from must stay as it is until then.
   */
  propose(proposal: Proposal): void {
    assert(proposal.sizeBytes <= PROPOSAL_SIZE_BYTES_MAX, 'a proposal fits into one entry');
    assert(proposal.recordCount > 0, 'a proposal has records');
    const reason = this.#refusal() ?? (this.#queue.push(proposal) ? null : 'overloaded');
    if (reason === null) return this.#scheduleTurnEnd();
    countRejected(this.probe, reason, 1);
    proposal.rejected(reason);
  }

  /**
   * A linearizable read (R10): asks a majority whether this replica still leads.
   * @returns an index that is applied here when the promise resolves; whatever was committed before the call is visible
   * @throws MqError HA_NOT_AVAILABLE not the leader; TOO_MANY_REQUESTS; REQUEST_TIMEOUT no majority answered in time
   */
  readIndex(): Promise<number> {
    if (!this.#running() || this.#role.role !== 'leader') {
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
   * @throws MqError PRECONDITION_FAILED not the leader, or nobody to hand over to; HA_NOT_AVAILABLE the target did not
   * take over in time, and this replica leads on
   */
  transferLeadership(target: NodeId | null): Promise<void> {
    if (!this.#running() || this.#role.role !== 'leader') {
      return Promise.reject(
        new MqError('PRECONDITION_FAILED', 'this replica does not lead its group; ask the leader'),
      );
    }
    const done = this.#transfer.begin();
    this.#input({ kind: 'transfer', target });
    this.#expireTransfer('no other replica can take over now', 'PRECONDITION_FAILED');
    return done;
  }

  /** The role as the state machine was last told. */
  get role(): RoleStatus {
    return this.#role;
  }

  status(): RaftStatus {
    const { id, voters } = this.#options;
    const core = this.#core;
    return {
      ...this.#role,
      id,
      votedFor: core?.votedFor ?? null,
      recovery: core?.recovery ?? 'none',
      firstIndex: this.#log.firstIndex,
      lastIndex: this.#log.lastIndex,
      durableIndex: core?.durableIndex ?? this.#log.lastIndex,
      commitIndex: core?.commitIndex ?? 0,
      appliedIndex: this.#applier.appliedIndex,
      queuedProposals: this.#queue.size,
      queuedBytes: this.#queue.bytes,
      waitingEntries: this.#waiting.size,
      waitingReads: this.#reads.waiting,
      peersConnected: voters.filter((peer) => peer !== id && this.#transport.isConnected(peer)),
      peers: core?.progress ?? [],
    };
  }

  #refusal(): RejectReason | null {
    if (!this.#running()) return 'stopped';
    if (!this.#role.writable) return 'not-leader';
    if (this.#queue.size < this.#config.noQuorumPendingMax) return null;
    return this.#core!.leaseValid(this.#clock.monotonicMs()) ? null : 'no-quorum';
  }

  #received(message: Message): void {
    this.probe.messagesReceived++;
    this.#input({ kind: 'message', message });
  }

  /** The one door of the core: handles `input`, and whatever inputs come up while it is handled. */
  #input(input: Input, nowMs = this.#clock.monotonicMs()): void {
    if (!this.#running()) return;
    if (this.#stepping) return this.#inputs.push(input);
    this.#stepping = true;
    try {
      this.#noticeStall(nowMs);
      this.#step(input, nowMs);
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        if (!this.#running()) break;
        this.#step(next, this.#clock.monotonicMs());
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#stepping = false;
    }
    this.#armTick(nowMs);
  }

  #running(): boolean {
    return this.#state === 'running';
  }

  /** A loop that stood still may have outlived its lease: the core looks at the clock before anything else (R31). */
  #noticeStall(nowMs: number): void {
    const gapMs = nowMs - this.#lastTurnAtMs;
    this.#lastTurnAtMs = nowMs;
    if (gapMs <= this.#config.stallMs) return;
    this.probe.stalls++;
    this.probe.stallMaxMs = Math.max(this.probe.stallMaxMs, gapMs);
    this.#options.logger.warn({ gapMs: Math.round(gapMs) }, 'the event loop stood still');
    this.#step({ kind: 'tick' }, nowMs);
  }

  #step(input: Input, nowMs: number): void {
    const core = this.#core!;
    const effects: Effects = core.step(input, nowMs, this.#clock.wallMs());
    this.#committedThrough = effects.committedThrough;
    const { appends, sendNow, reads } = effects;
    if (appends.length > 0) this.#checkApplied(appends[0]!.index, core.role === 'leader');
    this.#recovery.stepped(effects);
    if (effects.roleChanged) this.#publishRole(core);
    this.#disk.carryOut(effects, core.term);
    if (sendNow.length > 0) this.#send(sendNow);
    for (const result of reads) this.#reads.answered(result);
    this.#apply();
    if (reads.length > 0) this.#reads.applied(this.#applier.appliedIndex);
  }

  /**
   * What is applied is committed, and is not replaced. It can be all the same when a majority forgot what it had
   * acknowledged: after a power cut with ASYNC_FLUSH. This replica's state is then of a log that no longer is.
   * A log that ends before what is applied may grow again from a leader, to the same entries; a leader's own may not.
   */
  #checkApplied(index: number, leads: boolean): void {
    const { appliedIndex } = this.#applier;
    if (index > appliedIndex || (!leads && index > this.#log.lastIndex)) return;
    throw new MqError(
      'LOG_CORRUPTED',
      `the group writes entry ${index} anew, which this replica has applied already, through entry ${appliedIndex}: a majority lost ` +
        'acknowledged entries. Remove the state directory of this replica, it is made again from the log; when the log no ' +
        'longer has its beginning, start this replica with an empty data directory.',
    );
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) this.#transport.send(message);
    this.probe.messagesSent += messages.length;
  }

  #apply(): void {
    if (this.#applyScheduled || this.#applier.appliedIndex >= this.#committedThrough) return;
    const done = this.#applier.run(this.#committedThrough);
    this.#reads.applied(this.#applier.appliedIndex);
    if (!this.#role.writable) this.#publishRole(this.#core!);
    if (!done) {
      this.#applyScheduled = true;
      this.#scheduler.defer(() => {
        this.#applyScheduled = false;
        this.#guarded(() => this.#apply());
      });
    }
    this.#scheduleTurnEnd();
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
    if (this.#turnEndScheduled || !this.#running()) return;
    if (this.#queue.size === 0 && !this.#reads.gathering) return;
    this.#turnEndScheduled = true;
    this.#scheduler.defer(this.#turnEnd);
  }

  readonly #turnEnd = (): void => {
    this.#turnEndScheduled = false;
    const nowMs = this.#clock.monotonicMs();
    const readId = this.#reads.ask(nowMs);
    if (readId !== null) this.#input({ kind: 'read', id: readId }, nowMs);
    this.#guarded(() => {
      this.#noticeStall(nowMs);
      while (this.#running() && this.#maySeal(nowMs)) this.#seal(nowMs);
    });
    this.#armTick(nowMs);
  };

  /** The lease is asked about the very time that the step will see: no quorum, no entry nobody can commit. */
  #maySeal(nowMs: number): boolean {
    const core = this.#core!;
    return (
      this.#queue.size > 0 &&
      this.#role.writable &&
      core.canPropose &&
      this.#disk.appendsInFlight < this.#config.maxUnsyncedEntries &&
      this.#log.endPosition - this.#applier.appliedEndPosition < this.#config.uncommittedBytesMax &&
      core.leaseValid(nowMs)
    );
  }

  #seal(nowMs: number): void {
    const log = this.#log;
    const { entry, proposals } = this.#queue.seal({
      index: log.lastIndex + 1,
      term: this.#core!.term,
      position: log.endPosition,
      storeTimestampMs: Math.max(log.lastStoreTimestampMs, this.#clock.wallMs()),
    });
    this.#waiting.add(entry, proposals, nowMs);
    const probe = this.probe;
    probe.sealedEntries++;
    probe.sealedBytes += entry.frame.length;
    probe.sealedRecords += entry.recordCount;
    probe.sealedProposals += proposals.length;
    if (entry.recordCount > probe.batchRecordsMax) probe.batchRecordsMax = entry.recordCount;
    this.#input({ kind: 'propose', entry }, nowMs);
  }

  /** Tells the state machine when role, term, leader or writability changed. */
  #publishRole(core: RaftCore): void {
    const before = this.#role;
    const { role, term, leaderId, noopIndex } = core;
    const writable = noopIndex !== null && this.#applier.appliedIndex >= noopIndex;
    if (
      role === before.role &&
      term === before.term &&
      leaderId === before.leaderId &&
      writable === before.writable
    ) {
      return;
    }
    const now: RoleStatus = { role, term, leaderId, writable };
    this.#role = now;
    countRole(this.probe, before, now);
    if (role !== before.role) this.#recovery.roleChanged(core, this.#clock.monotonicMs());
    this.#options.logger.info({ ...now }, 'role changed');
    if (before.role === 'leader' && (role !== 'leader' || term !== before.term)) {
      // Same term: nobody took over, the majority went away (R30). None of these was sealed, so none can commit.
      const reason = term === before.term ? 'no-quorum' : 'not-leader';
      countRejected(this.probe, reason, this.#queue.rejectAll(reason));
      this.#transfer.succeed();
    }
    this.#options.stateMachine.roleChanged(now);
  }

  /**
   * Sleeps until the core needs a tick, or something that waits has to be looked at. A timer that is set already for an
   * earlier time stays: when it fires it finds nothing to do and sleeps on, which costs less than moving it at each step.
   */
  #armTick(nowMs: number): void {
    if (!this.#running()) return;
    const { tickMs, stallMs } = this.#config;
    const waits =
      this.#waiting.size > 0 ||
      this.#queue.size > 0 ||
      this.#reads.waiting > 0 ||
      this.#transfer.waiting;
    // Never so long that a loop that slept looks like one that stood still.
    const lookAtMs = nowMs + (waits ? tickMs : stallMs / 2);
    const dueMs = Math.min(lookAtMs, this.#core!.deadlineMs);
    if (dueMs >= this.#tickAtMs) return;
    this.#cancelTick();
    this.#tickAtMs = dueMs;
    const delayMs = Math.max(TIMER_MS_MIN, Math.ceil(dueMs - nowMs));
    this.#cancelTick = this.#clock.setTimer(delayMs, this.#tick);
  }

  readonly #tick = (): void => {
    this.#tickAtMs = Infinity;
    this.#input({ kind: 'tick' });
    const nowMs = this.#clock.monotonicMs();
    this.#guarded(() => this.#expire(nowMs));
    this.#scheduleTurnEnd();
    this.#armTick(nowMs);
  };

  #expire(nowMs: number): void {
    countRejected(this.probe, 'overloaded', this.#queue.expire(nowMs));
    const sealedBeforeMs = nowMs - this.#config.proposalTimeoutMs;
    countRejected(this.probe, 'unknown', this.#waiting.expire(sealedBeforeMs));
    this.#reads.expire(nowMs);
    this.#expireTransfer('the other replica did not take over in time', 'HA_NOT_AVAILABLE');
  }

  #expireTransfer(message: string, code: 'HA_NOT_AVAILABLE' | 'PRECONDITION_FAILED'): void {
    if (this.#role.role === 'leader' && this.#core!.transferTarget === null) {
      this.#transfer.fail(message, code);
    }
  }

  /** Stops everything at once, without an answer to anyone (R25). */
  #fail(error: unknown): void {
    if (!this.#running()) return;
    this.#state = 'dead';
    this.#cancelTick();
    this.#disk.halt();
    this.#inputs.clear();
    this.#options.onFatal(error);
  }
}

/**
 * An entry of a later term than the saved one means that the entry reached the disk and the record did not. No vote of
 * that term can have left then, so starting in it without a vote is safe.
 */
function raised(saved: HardState, log: LogStorage): HardState {
  const lastTerm = log.termAt(log.lastIndex);
  return lastTerm > saved.term ? { term: lastTerm, votedFor: null } : saved;
}
