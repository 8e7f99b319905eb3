import { type Prng } from '@raftmq/base';
import { type Entry } from '@raftmq/raft';
import { type Application } from './application.js';
import { CommittedHistory, createInvariants, type Invariant } from './invariants.js';
import { type Load } from './load.js';
import { Nemesis } from './nemesis.js';
import { SimNetwork } from './network.js';
import { SimNode } from './node.js';
import { type Plant } from './plants.js';
import { type Scenario } from './scenario.js';
import { type World } from './world.js';

/** What makes a load, given how to tell that an entry of a node's log was acknowledged. */
export type LoadFactory<A extends Application> = (
  random: Prng,
  acked: (node: SimNode<A>, index: number) => void,
) => Load<A>;

/** A group of production replicas on simulated machines, its clients, its troubles, and what must hold throughout. */
export class Cluster<A extends Application = Application> {
  readonly world: World;
  readonly scenario: Scenario;
  readonly nodes: readonly SimNode<A>[];
  readonly load: Load<A>;
  readonly nemesis: Nemesis;
  readonly committed = new CommittedHistory();
  readonly #invariants: readonly Invariant[];
  readonly #random: Prng;
  #ackedIndex = 0;
  #losses = 0;

  constructor(
    world: World,
    scenario: Scenario,
    random: Prng,
    plant: Plant | null,
    load: LoadFactory<A>,
  ) {
    this.world = world;
    this.scenario = scenario;
    this.#random = random.fork('last restart');
    const ids = Array.from({ length: scenario.nodeCount }, (_, id) => id);
    const network = new SimNetwork(world, random.fork('network'), scenario.network, ids);
    this.load = load(random.fork('workload'), (node, index) => this.#acked(node, index));
    const around = {
      world,
      network,
      scenario,
      plant,
      committed: this.committed,
      invariants: () => this.#invariants,
      onCommitted: (entry: Entry, results: readonly unknown[]) =>
        this.load.committed(entry, results),
      digestAt: (index: number) => this.load.digestAt(index),
    };
    this.nodes = ids.map(
      (id) =>
        new SimNode<A>(
          id,
          {
            ...around,
            onElected: () => this.nemesis.leaderElected(this.nodes[id]!),
            onDeath: () => this.load.nodeDied(this.nodes[id]!),
            mayForget: () => this.#mayForget(this.nodes[id]!),
          },
          this.load.host(id),
          random.fork(`node ${id}`),
        ),
    );
    const { flushDiskType, forgetful } = scenario;
    const mayLose = flushDiskType === 'ASYNC_FLUSH' && forgetful === 'any';
    const lost = mayLose ? (index: number): void => this.#lostBehind(index) : null;
    this.#invariants = createInvariants(world, this.nodes, this.committed, lost);
    network.onSend = (message) => {
      for (const invariant of this.#invariants)
        invariant.sent?.(message, this.nodes[message.from]!);
    };
    this.nemesis = new Nemesis(world, random.fork('nemesis'), scenario, this.nodes, network);
  }

  /** How often committed entries were on no disk any more, as may be with ASYNC_FLUSH. */
  get losses(): number {
    return this.#losses;
  }

  /** Phase one: everything at once. */
  async safetyPhase(): Promise<void> {
    const { world, scenario } = this;
    for (const node of this.nodes) node.boot();
    this.load.start(this.nodes);
    this.nemesis.start();
    if (scenario.compactEveryMs !== Infinity) this.#compactNext();
    await world.run(() => world.nowMs >= scenario.safetyMs);
  }

  /** Phase two: no more faults; the group must agree, answer everyone, and have lost nothing. */
  async livenessPhase(): Promise<void> {
    const { world, scenario } = this;
    this.nemesis.heal();
    this.load.stop();
    const deadlineMs = world.nowMs + scenario.livenessMs;
    const within = (done: () => boolean): Promise<void> =>
      world.run(() => world.nowMs >= deadlineMs || done());
    await within(() => this.#leader() !== null);
    if (this.#leader() === null) this.#notConverged('no node leads and takes writes');
    const undone = await this.load.finish(() => this.#leader(), within);
    if (undone !== null) this.#notConverged(undone);
    await within(() => this.#settled());
    if (!this.#settled()) this.#notConverged('the replicas do not come to the same state');
    this.#sameDigests();
    await this.load.verdict();
    this.#restartOne();
    await within(() => this.#leader() !== null && this.#settled());
    if (!this.#settled()) this.#notConverged('a replica that starts again does not catch up');
    this.#sameDigests();
  }

  /** One process ends, and begins anew with what its disk has. */
  #restartOne(): void {
    const node = this.#random.pick(this.nodes);
    if (this.#random.chance(0.5)) node.kill();
    else node.powerCut();
    this.load.beforeLastStart(node);
  }

  /** One line per node. */
  table(): string[] {
    return this.nodes.map((node) => {
      const { driver, role } = node;
      if (driver === null) return `n${node.id} down`;
      const status = driver.status();
      const paused = node.life !== null && node.life.pausedUntilMs > this.world.nowMs;
      return (
        `n${node.id} ${role.role}${role.writable ? '*' : ''} term=${status.term} leader=${status.leaderId ?? '-'} ` +
        `log=${status.firstIndex}..${status.lastIndex} durable=${status.durableIndex} commit=${status.commitIndex} ` +
        `applied=${status.appliedIndex} digest=${node.application?.digest() ?? '-'} queued=${status.queuedProposals} ` +
        `waiting=${status.waitingEntries}${paused ? ' paused' : ''}`
      );
    });
  }

  #leader(): SimNode<A> | null {
    return this.nodes.find((node) => node.role.writable) ?? null;
  }

  #settled(): boolean {
    const lastIndex = this.committed.lastIndex;
    // Asked before each event, and nearly always enough.
    if (this.nodes.some(({ application }) => application?.appliedIndex !== lastIndex)) return false;
    return this.nodes.every(({ driver }) => {
      const status = driver?.status();
      return (
        status !== undefined &&
        status.lastIndex === lastIndex &&
        status.queuedProposals === 0 &&
        status.waitingEntries === 0
      );
    });
  }

  #sameDigests(): void {
    const expected = this.nodes[0]!.application!.digest();
    for (const node of this.nodes) {
      const digest = node.application!.digest();
      if (digest === expected) continue;
      this.world.violate('convergence', `n${node.id} has digest ${digest}, n0 has ${expected}`);
    }
  }

  #notConverged(what: string): never {
    this.world.violate(
      'convergence',
      `${what} within ${this.scenario.livenessMs.toFixed(0)} ms after all faults ended`,
    );
  }

  /** The records of one entry are acknowledged one after the other: it is looked at once. */
  #acked(node: SimNode<A>, index: number): void {
    if (index === this.#ackedIndex) return;
    this.#ackedIndex = index;
    const entry: Entry = node.read(index, index)[0]!;
    for (const invariant of this.#invariants) invariant.acked?.(node, entry);
  }

  /** Whether the node's machine may lose power, with all that its disk does not have. */
  #mayForget(node: SimNode<A>): boolean {
    const { forgetful, nodeCount } = this.scenario;
    if (forgetful === 'any') return true;
    const others = this.nodes.filter((other) => other !== node && other.hasForgotten);
    return (others.length + 1) * 2 < nodeCount;
  }

  #lostBehind(index: number): void {
    this.#losses++;
    // Indexes come again.
    this.#ackedIndex = 0;
    this.load.lostBehind(index);
  }

  /** What every node has on disk and does not need to start again may go. */
  #compactNext(): void {
    this.world.schedule(this.scenario.compactEveryMs, null, 'compact', () => {
      this.#compactNext();
      let index = this.load.keepFromIndex() - 1;
      for (const node of this.nodes) {
        if (node.driver === null || node.application === null) return;
        index = Math.min(index, node.application.durableIndex, node.durableIndex);
      }
      for (const node of this.nodes) node.compact(index);
    });
  }
}
