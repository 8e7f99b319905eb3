import { createPrng, silentLogger, type Clock } from '@raftmq/base';
import { MemoryLog } from '../../core/testing/memory-log.js';
import { type Entry } from '../../core/entry.js';
import { type HardState, type Message, type NodeId } from '../../core/types.js';
import {
  type HardStateStore,
  type LogStorage,
  type MemoryStore,
  type Proposal,
  type RejectReason,
  type RoleStatus,
  type SealContext,
  type StateMachine,
  type Transport,
  type TransportReceiver,
} from '../../ports.js';
import { RaftDriver } from '../raft-driver.js';
import { type RaftDriverConfig } from '../settings.js';

interface DiskJob {
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

/** Disk work that finishes when the test says so. */
export class HeldDisk {
  readonly #jobs: DiskJob[] = [];
  /** Finish everything at once. */
  open = true;

  job(): Promise<void> {
    if (this.open) return Promise.resolve();
    return new Promise((done, failed) => this.#jobs.push({ done, failed }));
  }

  get waiting(): number {
    return this.#jobs.length;
  }

  finish(count = this.#jobs.length): void {
    for (const job of this.#jobs.splice(0, count)) job.done();
  }

  fail(error: Error): void {
    this.#jobs.shift()!.failed(error);
  }
}

/** A log in memory whose appends become durable when its disk says so. */
export class HeldLog implements LogStorage {
  readonly memory = new MemoryLog();
  readonly disk: HeldDisk;
  /** Refuses appends without effect, as a log does that failed in the background. */
  refuses = false;

  constructor(disk: HeldDisk) {
    this.disk = disk;
  }

  get firstIndex(): number {
    return this.memory.firstIndex;
  }

  get lastIndex(): number {
    return this.memory.lastIndex;
  }

  get endPosition(): number {
    return this.memory.endPosition;
  }

  get lastStoreTimestampMs(): number {
    return this.memory.lastStoreTimestampMs;
  }

  termAt(index: number): number {
    return this.memory.termAt(index);
  }

  firstIndexOfTermAt(index: number): number {
    return this.memory.firstIndexOfTermAt(index);
  }

  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[] {
    return this.memory.read(fromIndex, throughIndex, bytesMax);
  }

  append(entries: readonly Entry[]): Promise<void> {
    if (this.refuses) return Promise.reject(new Error('the log failed before'));
    this.memory.append(entries);
    return this.disk.job();
  }

  async compactThrough(): Promise<void> {}

  async close(): Promise<void> {}
}

/** One test proposal: what it wrote, and what it was told. */
export class TestProposal implements Proposal {
  readonly sizeBytes: number;
  readonly recordCount: number;
  outcome: 'open' | 'committed' | RejectReason = 'open';
  results: readonly unknown[] = [];
  context: SealContext | null = null;

  constructor(sizeBytes = 10, recordCount = 1) {
    this.sizeBytes = sizeBytes;
    this.recordCount = recordCount;
  }

  write(frame: Buffer, at: number, context: SealContext): number {
    this.context = context;
    frame.fill(this.recordCount, at, at + this.sizeBytes);
    return at + this.sizeBytes;
  }

  committed(results: readonly unknown[], from: number): void {
    this.outcome = 'committed';
    this.results = results.slice(from, from + this.recordCount);
  }

  rejected(reason: RejectReason): void {
    this.outcome = reason;
  }
}

/** Results are `<index>/<record>`. */
class TestMachine implements StateMachine {
  appliedIndex = 0;
  runs = 0;
  readonly roles: RoleStatus[] = [];
  readonly entries: Entry[] = [];

  apply(entry: Entry, results: unknown[] | null): void {
    this.appliedIndex = entry.index;
    this.entries.push(entry);
    for (let i = 0; results !== null && i < entry.recordCount; i++)
      results.push(`${entry.index}/${i}`);
  }

  roleChanged(status: RoleStatus): void {
    this.roles.push(status);
  }

  applied(): void {
    this.runs++;
  }
}

/** One driver with everything around it in the test's hands. */
export interface Member {
  readonly driver: RaftDriver;
  readonly log: HeldLog;
  readonly votes: HeldDisk;
  readonly machine: TestMachine;
  readonly sent: Message[];
  readonly fatals: unknown[];
  /** Timers that it has set so far. */
  readonly timers: number;
}

/** A group of drivers on one fake clock; messages arrive at once unless a node is cut off. */
export class Group {
  readonly members: Member[] = [];
  readonly cut = new Set<NodeId>();
  readonly #receivers = new Map<NodeId, TransportReceiver>();
  readonly #timers: { readonly atMs: number; readonly fire: () => void; cancelled: boolean }[] = [];
  readonly #deferred: (() => void)[] = [];
  readonly #inFlight: Message[] = [];
  #nowMs = 0;

  readonly clock: Clock = {
    monotonicMs: () => this.#nowMs,
    wallMs: () => 1_000_000 + Math.floor(this.#nowMs),
    setTimer: (delayMs, fire) => {
      const timer = { atMs: this.#nowMs + delayMs, fire, cancelled: false };
      this.#timers.push(timer);
      return () => {
        timer.cancelled = true;
      };
    },
  };

  constructor(
    size: number,
    config: Partial<RaftDriverConfig> = {},
    saved: HardState = { term: 0, votedFor: null },
    /** Last index that the state of each member has seen; the others begin at 0. */
    applied: readonly number[] = [],
    /** What each member knows of power cuts; the others never had any. */
    memories: readonly MemoryStore[] = [],
  ) {
    const voters = Array.from({ length: size }, (_, id) => id);
    for (const id of voters)
      this.members.push(
        this.#member(id, voters, config, saved, applied[id] ?? 0, memories[id] ?? null),
      );
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  leader(): Member {
    const leader = this.members.find((member) => member.driver.role.writable);
    if (leader === undefined) throw new Error('no member leads');
    return leader;
  }

  async start(): Promise<void> {
    for (const member of this.members) await member.driver.start();
  }

  /** Starts all members and lets virtual time pass until one of them takes writes. */
  async startAndElect(): Promise<Member> {
    await this.start();
    await this.until(() => this.members.some((member) => member.driver.role.writable));
    return this.leader();
  }

  /** Finishes the turn of the event loop: deferred work, messages, settled promises. */
  async settle(): Promise<void> {
    for (let round = 0; round < 50; round++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      const deferred = this.#deferred.splice(0);
      for (const run of deferred) run();
      const messages = this.#inFlight.splice(0);
      for (const message of messages) {
        if (!this.cut.has(message.from) && !this.cut.has(message.to))
          this.#receivers.get(message.to)?.received(message);
      }
      if (deferred.length === 0 && messages.length === 0) return;
    }
  }

  /** Lets `lengthMs` of virtual time pass, timer by timer. */
  async pass(lengthMs: number): Promise<void> {
    const endMs = this.#nowMs + lengthMs;
    for (;;) {
      await this.settle();
      const due = this.#timers
        .filter((timer) => !timer.cancelled && timer.atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.splice(this.#timers.indexOf(due), 1);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.fire();
    }
    this.#nowMs = endMs;
    await this.settle();
  }

  /** The connection of `id` to `peer` breaks. */
  lose(id: NodeId, peer: NodeId): void {
    this.#receivers.get(id)!.peerLost(peer);
  }

  /** Moves the clock without running anything: the process stood still. */
  stall(lengthMs: number): void {
    this.#nowMs += lengthMs;
  }

  async until(holds: () => boolean, withinMs = 20_000): Promise<void> {
    const deadlineMs = this.#nowMs + withinMs;
    while (!holds()) {
      if (this.#nowMs >= deadlineMs)
        throw new Error(`the condition did not hold within ${withinMs} ms`);
      await this.pass(20);
    }
  }

  #member(
    id: NodeId,
    voters: readonly NodeId[],
    config: Partial<RaftDriverConfig>,
    saved: HardState,
    applied: number,
    memory: MemoryStore | null,
  ): Member {
    const log = new HeldLog(new HeldDisk());
    const votes = new HeldDisk();
    const machine = new TestMachine();
    machine.appliedIndex = applied;
    const sent: Message[] = [];
    const fatals: unknown[] = [];
    const hardState: HardStateStore = { load: async () => saved, save: () => votes.job() };
    const transport: Transport = {
      start: async (receiver) => void this.#receivers.set(id, receiver),
      send: (message) => {
        sent.push(message);
        this.#inFlight.push(message);
      },
      isConnected: (peer) => !this.cut.has(peer) && !this.cut.has(id),
      stop: async () => void this.#receivers.delete(id),
    };
    let timers = 0;
    const driver = new RaftDriver({
      id,
      voters,
      config,
      log,
      hardState,
      ...(memory === null ? {} : { memory }),
      transport,
      stateMachine: machine,
      clock: {
        ...this.clock,
        setTimer: (delayMs, fire) => {
          timers++;
          return this.clock.setTimer(delayMs, fire);
        },
      },
      random: createPrng(id + 1),
      logger: silentLogger,
      onFatal: (error) => fatals.push(error),
      scheduler: { defer: (run) => void this.#deferred.push(run) },
    });
    return {
      driver,
      log,
      votes,
      machine,
      sent,
      fatals,
      get timers() {
        return timers;
      },
    };
  }
}
