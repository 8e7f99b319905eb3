import { type Prng } from '@raftmq/base';
import { type Entry } from '@raftmq/raft';
import { CommittedHistory, createInvariants, type Invariant } from './invariants.js';
import { valuesOf } from './hash-state-machine.js';
import { Nemesis } from './nemesis.js';
import { SimNetwork } from './network.js';
import { SimNode } from './node.js';
import { type Plant } from './plants.js';
import { type Scenario } from './scenario.js';
import { Workload } from './workload.js';
import { type World } from './world.js';

/** A group of production replicas on simulated machines, its clients, its troubles, and what must hold throughout. */
export class Cluster {
  readonly world: World;
  readonly scenario: Scenario;
  readonly nodes: readonly SimNode[];
  readonly workload: Workload;
  readonly nemesis: Nemesis;
  readonly committed = new CommittedHistory();
  readonly #invariants: readonly Invariant[];

  constructor(world: World, scenario: Scenario, random: Prng, plant: Plant | null) {
    this.world = world;
    this.scenario = scenario;
    const ids = Array.from({ length: scenario.nodeCount }, (_, id) => id);
    const network = new SimNetwork(world, random.fork('network'), scenario.network, ids);
    this.nodes = ids.map(
      (id) =>
        new SimNode(
          id,
          {
            world,
            network,
            scenario,
            plant,
            committed: this.committed,
            invariants: () => this.#invariants,
            onCommitted: (entry) => this.workload.committed(valuesOf(entry), entry.index),
            onElected: (node) => this.nemesis.leaderElected(node),
            onDeath: (node) => this.workload.nodeDied(node),
          },
          random.fork(`node ${id}`),
        ),
    );
    this.#invariants = createInvariants(world, this.nodes, this.committed);
    network.onSend = (message) => {
      for (const invariant of this.#invariants)
        invariant.sent?.(message, this.nodes[message.from]!);
    };
    this.workload = new Workload(
      world,
      random.fork('workload'),
      scenario,
      this.nodes,
      (node, index) => this.#acked(node, index),
    );
    this.nemesis = new Nemesis(world, random.fork('nemesis'), scenario, this.nodes, network);
  }

  /** Phase one: everything at once. */
  async safetyPhase(): Promise<void> {
    const { world, scenario } = this;
    for (const node of this.nodes) node.boot();
    this.workload.start();
    this.nemesis.start();
    if (scenario.compactEveryMs !== Infinity) this.#compactNext();
    await world.run(() => world.nowMs >= scenario.safetyMs);
  }

  /** Phase two: no more faults; the group must agree, answer everyone, and have lost nothing. */
  async livenessPhase(): Promise<void> {
    const { world, scenario } = this;
    this.nemesis.heal();
    this.workload.stop();
    const deadlineMs = world.nowMs + scenario.livenessMs;
    const within = (done: () => boolean): Promise<void> =>
      world.run(() => world.nowMs >= deadlineMs || done());
    await within(() => this.#leader() !== null);
    if (this.#leader() === null) this.#notConverged('no node leads and takes writes');
    const acked = this.workload.history.ackedCount;
    this.#proposeLast(deadlineMs);
    await within(() => this.workload.history.ackedCount > acked && this.#settled());
    if (this.workload.history.ackedCount === acked)
      this.#notConverged('a last value was never acknowledged');
    if (!this.#settled()) this.#notConverged('the replicas do not come to the same state');
    this.#verdict();
  }

  /** One line per node. */
  table(): string[] {
    return this.nodes.map((node) => {
      const { driver, role } = node;
      if (driver === null) return `n${node.id} down`;
      const status = driver.status();
      return (
        `n${node.id} ${role.role}${role.writable ? '*' : ''} term=${status.term} leader=${status.leaderId ?? '-'} ` +
        `log=${status.firstIndex}..${status.lastIndex} durable=${status.durableIndex} commit=${status.commitIndex} ` +
        `applied=${status.appliedIndex} digest=${(node.machine?.digest ?? 0).toString(16)} queued=${status.queuedProposals} ` +
        `waiting=${status.waitingEntries}${node.life !== null && node.life.pausedUntilMs > this.world.nowMs ? ' paused' : ''}`
      );
    });
  }

  #leader(): SimNode | null {
    return this.nodes.find((node) => node.role.writable) ?? null;
  }

  /** Tries again and again: leadership may still move once. */
  #proposeLast(untilMs: number): void {
    const { world } = this;
    const before = this.workload.history.ackedCount;
    const attempt = (): void => {
      if (world.nowMs >= untilMs || this.workload.history.ackedCount > before) return;
      const leader = this.#leader();
      if (leader !== null) this.workload.proposeTo(leader);
      world.schedule(this.scenario.core.electionTimeoutMinMs!, null, 'last value', attempt);
    };
    attempt();
  }

  #settled(): boolean {
    const lastIndex = this.committed.lastIndex;
    return this.nodes.every((node) => {
      const { driver, machine } = node;
      if (driver === null || machine === null || machine.appliedIndex !== lastIndex) return false;
      const status = driver.status();
      return (
        status.lastIndex === lastIndex &&
        status.queuedProposals === 0 &&
        status.waitingEntries === 0
      );
    });
  }

  #verdict(): void {
    const { history } = this.workload;
    const digest = this.committed.digestAt(this.committed.lastIndex);
    for (const node of this.nodes) {
      if (node.machine!.digest !== digest) {
        this.world.violate(
          'convergence',
          `n${node.id} has digest ${node.machine!.digest.toString(16)}, not ${digest.toString(16)}`,
        );
      }
    }
    const open = history.openSince(Infinity);
    if (open.length > 0)
      this.world.violate(
        'every-promise-settles',
        `values ${open.slice(0, 5).join(', ')} never got an answer`,
      );
    const fault = history.finalFault();
    if (fault !== null) this.world.violate(fault.rule, fault.message);
  }

  #notConverged(what: string): never {
    this.world.violate(
      'convergence',
      `${what} within ${this.scenario.livenessMs.toFixed(0)} ms after all faults ended`,
    );
  }

  #acked(node: SimNode, index: number): void {
    const entry: Entry = node.read(index, index)[0]!;
    for (const invariant of this.#invariants) invariant.acked?.(node, entry);
  }

  /** What every node has on disk and in a checkpoint may go. */
  #compactNext(): void {
    this.world.schedule(this.scenario.compactEveryMs, null, 'compact', () => {
      this.#compactNext();
      let index = Infinity;
      for (const node of this.nodes) {
        if (node.driver === null) return;
        index = Math.min(index, node.checkpoint.appliedIndex, node.driver.status().durableIndex);
      }
      for (const node of this.nodes) node.compact(index);
    });
  }
}
