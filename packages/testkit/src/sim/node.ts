import { errorText, silentLogger, type Disk, type Prng } from '@raftmq/base';
import { CommitLog } from '@raftmq/broker-store';
import {
  BootManifest,
  FileHardStateStore,
  RaftDriver,
  type Entry,
  type NodeId,
  type RoleStatus,
} from '@raftmq/raft';
import { type Application, type ApplicationHost } from './application.js';
import { SimClock, type ClockSkew } from './clock.js';
import { SimDisk, type DiskError } from './disk.js';
import { DurableView } from './durable-view.js';
import { type Life } from './event-heap.js';
import { type CommittedHistory, type Invariant, type WatchedNode } from './invariants.js';
import { LogChain } from './log-chain.js';
import { type SimNetwork } from './network.js';
import { HastyHardStateStore, HastyLog, type Plant } from './plants.js';
import { Power } from './power.js';
import { type Scenario } from './scenario.js';
import { WatchedLog } from './watched-log.js';
import { WatchedMachine } from './watched-machine.js';
import { type World } from './world.js';

const IDLE: RoleStatus = { role: 'follower', term: 0, leaderId: null, writable: false };

/** What all nodes of a run share. */
export interface NodeSurroundings {
  readonly world: World;
  readonly network: SimNetwork;
  readonly scenario: Scenario;
  readonly plant: Plant | null;
  readonly committed: CommittedHistory;
  readonly invariants: () => readonly Invariant[];
  /** An entry was applied for the first time anywhere, with one result per record. */
  readonly onCommitted: (entry: Entry, results: readonly unknown[]) => void;
  /** Whether the whole state is summed up right after the entry with this index; the same on all nodes. */
  readonly digestAt: (index: number) => boolean;
  /** A node became leader. */
  readonly onElected: (node: SimNode) => void;
  /** Whether the machine may lose what it acknowledged and its disk does not have (ASYNC_FLUSH). */
  readonly mayForget: () => boolean;
  /** A process ended, and with it everyone who waited for it. */
  readonly onDeath: (node: SimNode) => void;
}

/** One machine: a disk that lasts, and at most one process at a time, made of the production parts. */
export class SimNode<A extends Application = Application> implements WatchedNode {
  readonly id: NodeId;
  readonly disk: SimDisk;
  readonly durable: DurableView;
  readonly chain = new LogChain();
  readonly skew: ClockSkew;
  role: RoleStatus = IDLE;
  readonly #around: NodeSurroundings;
  readonly #random: Prng;
  readonly #host: ApplicationHost<A>;
  readonly #directory: string;
  #life: Life | null = null;
  #driver: RaftDriver | null = null;
  #log: CommitLog | null = null;
  #application: A | null = null;
  #firstLogIndex = 1;
  #manifest: BootManifest | null = null;
  readonly #power = new Power();
  #diskErrorPlanned = false;
  #stopping = false;
  #keepUp = false;

  constructor(id: NodeId, around: NodeSurroundings, host: ApplicationHost<A>, random: Prng) {
    const { world, scenario } = around;
    this.id = id;
    this.#around = around;
    this.#host = host;
    this.#random = random;
    this.#directory = `/n${id}`;
    this.disk = new SimDisk(world, random.fork('disk'), scenario.disk);
    this.durable = new DurableView(
      this.disk,
      `${this.#directory}/commitlog`,
      `${this.#directory}/raft`,
      scenario.flushDiskType,
    );
    this.disk.onError = (life) => {
      // A process that goes on would answer for what its disk does not have.
      world.schedule(scenario.core.electionTimeoutMinMs!, life, 'alive', () => {
        world.violate(
          'stops-on-disk-error',
          `n${id} goes on after an operation of its disk failed`,
        );
      });
    };
    const { wallSkewMaxMs } = scenario;
    this.skew = {
      rate: 0.99 + random.next() * 0.02,
      wallOffsetMs: random.integer(-wallSkewMaxMs, wallSkewMaxMs),
    };
  }

  /** The process that runs, null when none does. */
  get life(): Life | null {
    return this.#life;
  }

  /** The driver once the process has started up. */
  get driver(): RaftDriver | null {
    return this.#driver;
  }

  /** What runs on the driver, null while there is none. */
  get application(): A | null {
    return this.#application;
  }

  /** The log of the process that runs. */
  get log(): CommitLog | null {
    return this.#log;
  }

  /** First log index of the process that ran last; 1 while nothing was compacted. */
  get firstLogIndex(): number {
    return this.#firstLogIndex;
  }

  /** Entries through here survive a power cut. */
  get durableIndex(): number {
    const [log, driver] = [this.#log!, this.#driver!];
    const written = driver.status().durableIndex;
    if (!this.#acknowledgesUnsynced || log.durablePosition >= log.endPosition) return written;
    return Math.min(written, log.indexAt(log.durablePosition) - 1);
  }

  /** See {@link Power.hasForgotten}. */
  get hasForgotten(): boolean {
    return this.#power.hasForgotten(this.chain, this.#around.committed);
  }

  mayHaveForgotten(index: number): boolean {
    return this.#power.mayHaveForgotten(index);
  }

  get #acknowledgesUnsynced(): boolean {
    return this.#around.scenario.flushDiskType === 'ASYNC_FLUSH';
  }

  /** Up, and not on its way down. */
  get serving(): boolean {
    return this.#driver !== null && !this.#stopping;
  }

  read(fromIndex: number, throughIndex: number): readonly Entry[] {
    const log = this.#log!;
    const entries: Entry[] = [];
    for (let index = Math.max(fromIndex, log.firstIndex); index <= throughIndex;) {
      entries.push(...log.read(index, throughIndex, 1024 * 1024));
      index = entries[entries.length - 1]!.index + 1;
    }
    return entries;
  }

  /** Starts a process, unless one runs. It serves some virtual time later. */
  boot(): void {
    if (this.#life !== null) return;
    const life: Life = { node: this.id, alive: true, pausedUntilMs: 0 };
    this.#life = life;
    this.#stopping = false;
    this.#around.world.note(this.id, 'boot');
    this.#start(life).catch((error: unknown) => {
      if (life.alive) this.#failed('restart', error);
    });
  }

  /** From now on the process runs, and is started again should it end. */
  keepUp(): void {
    this.#keepUp = true;
    if (this.#life !== null) this.#life.pausedUntilMs = 0;
    this.boot();
  }

  /** kill -9: the page cache stays. */
  kill(): void {
    this.#die('kill', true);
  }

  /** The machine loses power; see {@link Scenario.forgetful}. */
  powerCut(): void {
    if (this.#acknowledgesUnsynced) {
      if (!this.#around.mayForget()) return this.kill();
      this.#power.cut(this.chain);
    }
    if (this.#life !== null) this.#die('power cut', false);
    this.disk.powerCut();
    this.#host.powerCut();
  }

  /** SIGSTOP for a while. */
  pause(lengthMs: number): void {
    if (this.#life === null) return;
    this.#around.world.note(this.id, `pause ${lengthMs.toFixed(0)} ms`);
    this.#life.pausedUntilMs = Math.max(
      this.#life.pausedUntilMs,
      this.#around.world.nowMs + lengthMs,
    );
  }

  /** SIGTERM: serves nobody, stops the driver, closes state and log, exits. */
  stopCleanly(): void {
    const [life, driver, log, application] = [
      this.#life,
      this.#driver,
      this.#log,
      this.#application,
    ];
    if (life === null || driver === null || log === null || application === null) return;
    if (this.#stopping) return;
    this.#stopping = true;
    this.#around.world.note(this.id, 'clean stop');
    const stopped = async (): Promise<void> => {
      application.stopServing();
      await driver.stop();
      await application.close();
      await log.close();
      this.#manifest?.flushed();
      await this.#manifest?.close();
      if (life.alive) this.#die('stopped', true);
    };
    stopped().catch((error: unknown) => {
      if (life.alive) this.#failed('clean-stop', error);
    });
  }

  /** The next operation of the kind fails; the process must not survive it. */
  planDiskError(error: DiskError): void {
    if (this.#life === null) return;
    this.#diskErrorPlanned = true;
    this.disk.failNext(error);
  }

  /** Forgets log entries through `index`, as far as whole segments allow. */
  compact(index: number): void {
    if (this.#log === null || this.#stopping) return;
    this.#log.compactThrough(index).catch((error: unknown) => {
      this.#failed('compaction', error);
    });
  }

  async #start(life: Life): Promise<void> {
    const { world, scenario, network, plant } = this.#around;
    const clock = new SimClock(world, life, this.skew, this.#random.integer(0, 1_000_000));
    const disk = this.disk.attach(life);
    const logger = silentLogger;
    const manifest = this.#acknowledgesUnsynced ? await this.#openManifest(disk) : null;
    const log = await CommitLog.open({
      disk,
      directory: `${this.#directory}/commitlog`,
      config: {
        segmentSizeBytes: scenario.segmentSizeBytes,
        flushDiskType: scenario.flushDiskType,
        flushIntervalMs: scenario.flushIntervalMs,
        flushBytes: scenario.flushBytes,
        cacheBytes: scenario.cacheBytes,
        retentionMs: 72 * 3_600_000,
        retentionBytes: 0,
      },
      logger,
      clock,
      onFailure: (error) => this.#failed('no-crash', error),
    });
    const hardState = new FileHardStateStore({
      disk,
      directory: `${this.#directory}/raft`,
      logger,
    });
    this.chain.rebuild(log, this.#around.committed.sumAt(log.firstIndex - 1));
    this.#power.seen();
    for (const invariant of this.#around.invariants()) invariant.booted?.(this);
    this.#log = log;
    this.#manifest = manifest;
    const application = await this.#host.open({
      life,
      clock,
      disk,
      machineDisk: this.disk,
      log,
      directory: this.#directory,
      logger,
      onFatal: (error) => this.#failed('no-crash', error),
    });
    this.#application = application;
    const machine = new WatchedMachine(application, this.#around.digestAt, {
      applied: (entry, results, digest) => this.#applied(entry, results, digest),
      roleChanged: (status) => this.#roleChanged(status),
    });
    const driver = new RaftDriver({
      id: this.id,
      voters: Array.from({ length: scenario.nodeCount }, (_, id) => id),
      config: { ...scenario.driver, core: scenario.core },
      log: new WatchedLog(plant === 'ack-before-sync' ? new HastyLog(log) : log, (entries) =>
        this.#appending(entries),
      ),
      hardState: plant === 'vote-not-synced' ? new HastyHardStateStore(hardState) : hardState,
      ...(manifest === null || plant === 'power-cuts-forgotten' ? {} : { memory: manifest }),
      transport: network.transport(life),
      stateMachine: machine,
      clock,
      random: this.#random.fork(`election ${world.nowMs}`),
      logger,
      onFatal: (error) => this.#failed('no-crash', error),
      scheduler: { defer: (run) => void world.schedule(0, life, 'turn end', run) },
      ...(plant === 'commit-old-term' ? { testOnlyBugs: { commitsOldTerms: true } } : {}),
    });
    this.#driver = driver;
    application.attach(driver);
    await driver.start();
    application.started();
  }

  #openManifest(disk: Disk): Promise<BootManifest> {
    return BootManifest.open({
      disk,
      directory: `${this.#directory}/raft`,
      logger: silentLogger,
      isKnown: this.chain.lastIndex > 0,
      bootId: this.#power.bootId,
      unsynced: true,
      trustLog: false,
      // After a disk error the machine is started anew, or what is left is written again.
      mark: () => undefined,
    });
  }

  #applied(entry: Entry, results: readonly unknown[], digest: string): void {
    const first = entry.index === this.#around.committed.lastIndex + 1;
    for (const invariant of this.#around.invariants()) invariant.applied?.(this, entry, digest);
    if (first) this.#around.onCommitted(entry, results);
  }

  #roleChanged(status: RoleStatus): void {
    const elected = status.role === 'leader' && this.role.role !== 'leader';
    this.role = status;
    this.#around.world.note(
      this.id,
      `${status.role} term=${status.term} leader=${status.leaderId ?? '-'}${status.writable ? ' writable' : ''}`,
    );
    for (const invariant of this.#around.invariants()) invariant.roleChanged?.(this, status);
    if (elected) this.#around.onElected(this);
  }

  #appending(entries: readonly Entry[]): void {
    const [first, last] = [entries[0]!, entries[entries.length - 1]!];
    if (first.index <= this.chain.lastIndex) {
      this.#around.world.note(
        this.id,
        `truncates ${first.index}..${this.chain.lastIndex}, appends through ${last.index} term=${last.term}`,
      );
    }
    const invariants = this.#around.invariants();
    for (const invariant of invariants) invariant.appending?.(this, entries);
    for (const entry of entries) {
      const sum = this.chain.append(entry);
      for (const invariant of invariants) invariant.appended?.(this, entry, sum);
    }
  }

  /** The process cannot go on: because of a planned disk error, or because `invariant` does not hold. */
  #failed(invariant: string, error: unknown): void {
    if (!this.#diskErrorPlanned) return this.#broken(invariant, error);
    this.#manifest?.diskFailed(error);
    if (this.#around.plant === 'disk-errors-ignored') return;
    this.#around.world.note(this.id, `dies of a disk error: ${errorText(error)}`);
    // The kernel may show bytes that the disk does not have: the machine is rebooted before the process comes back.
    this.#around.world.schedule(0, null, 'disk error', () => this.powerCut());
  }

  #broken(invariant: string, error: unknown): void {
    const detail =
      typeof error === 'object' && error !== null && 'stack' in error
        ? String(error.stack)
        : errorText(error);
    this.#around.world.report(invariant, `n${this.id}: ${detail}`);
  }

  #die(how: string, noticed: boolean): void {
    if (this.#life === null) return;
    this.#around.world.note(this.id, how);
    this.#life.alive = false;
    this.#life = null;
    this.#driver = null;
    this.#application = null;
    this.#firstLogIndex = this.#log?.firstIndex ?? this.#firstLogIndex;
    this.#log = null;
    this.#manifest = null;
    this.#stopping = false;
    this.#diskErrorPlanned = false;
    this.role = IDLE;
    this.#around.network.nodeDown(this.id, noticed);
    this.disk.processDied();
    this.#around.onDeath(this);
    if (this.#keepUp) this.#around.world.schedule(0, null, 'start again', () => this.boot());
  }
}
