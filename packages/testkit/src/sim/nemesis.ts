import { type Prng } from '@raftmq/base';
import { type DiskError } from './disk.js';
import { type SimNetwork, type LinkMode } from './network.js';
import { type SimNode } from './node.js';
import { type FaultKind, type Scenario } from './scenario.js';
import { type World } from './world.js';

/** Injects faults of the kinds its scenario has, each for a while, several at a time, on any number of nodes. */
export class Nemesis {
  readonly #world: World;
  readonly #random: Prng;
  readonly #scenario: Scenario;
  readonly #nodes: readonly SimNode[];
  readonly #network: SimNetwork;
  #running = true;
  #injected = 0;
  /** What a wall clock was ahead of the world's at most. */
  #latestOffsetMs = -Infinity;

  constructor(
    world: World,
    random: Prng,
    scenario: Scenario,
    nodes: readonly SimNode[],
    network: SimNetwork,
  ) {
    this.#world = world;
    this.#random = random;
    this.#scenario = scenario;
    this.#nodes = nodes;
    this.#network = network;
  }

  /** Faults so far. */
  get injected(): number {
    return this.#injected;
  }

  start(): void {
    if (this.#scenario.faults.length > 0) this.#next();
  }

  /** A node was elected: the most dangerous moments of a leader are its first. */
  leaderElected(node: SimNode): void {
    const { huntChance, huntWithinMs } = this.#scenario;
    if (!this.#running || huntChance === 0 || !this.#random.chance(huntChance)) return;
    this.#world.schedule(this.#random.next() * huntWithinMs, null, 'hunt', () => {
      if (!this.#running) return;
      this.#injected++;
      const lengthMs = this.#lengthMs();
      switch (this.#random.integer(0, 5)) {
        case 0:
          node.kill();
          return this.#later(lengthMs, () => node.boot());
        case 1:
          node.powerCut();
          return this.#later(lengthMs, () => node.boot());
        case 2:
          return node.pause(lengthMs);
        default:
          return this.#partition(this.#minorityAround(node), lengthMs);
      }
    });
  }

  /** No new faults; everything is repaired, and every node is started. */
  heal(): void {
    this.#running = false;
    this.#world.note(null, 'heal');
    this.#network.heal();
    for (const node of this.#nodes) {
      node.disk.heal();
      // Someone looks after the clocks: the log's time is no longer ahead of them.
      node.skew.wallOffsetMs = Math.max(node.skew.wallOffsetMs, this.#latestOffsetMs);
      node.keepUp();
    }
  }

  #next(): void {
    const delayMs = -this.#scenario.faultEveryMs * Math.log(1 - this.#random.next());
    this.#world.schedule(delayMs, null, 'nemesis', () => {
      if (!this.#running) return;
      this.#injected++;
      this.#inject(this.#random.pick(this.#scenario.faults));
      this.#next();
    });
  }

  /** `node` with as many others as leave a majority on the other side: its entries then live on, uncommitted. */
  #minorityAround(node: SimNode): SimNode[] {
    const others = this.#nodes.filter((other) => other !== node);
    const company = this.#random.integer(0, Math.ceil(this.#nodes.length / 2) - 2);
    const side = [node];
    for (let i = 0; i < company; i++)
      side.push(...others.splice(this.#random.integer(0, others.length - 1), 1));
    return side;
  }

  #lengthMs(): number {
    return this.#random.next() * this.#scenario.faultLengthMaxMs;
  }

  #later(lengthMs: number, repair: () => void): void {
    this.#world.schedule(lengthMs, null, 'repair', () => {
      if (this.#running) repair();
    });
  }

  /** The leader as often as all others together: that is where it hurts. */
  #victim(): SimNode {
    const leader = this.#leader();
    return leader !== null && this.#random.chance(0.5) ? leader : this.#random.pick(this.#nodes);
  }

  #leader(): SimNode | null {
    return this.#nodes.find((node) => node.role.role === 'leader') ?? null;
  }

  #inject(kind: FaultKind): void {
    const victim = this.#victim();
    const lengthMs = this.#lengthMs();
    switch (kind) {
      case 'kill':
        victim.kill();
        return this.#later(lengthMs, () => victim.boot());
      case 'power-cut':
        victim.powerCut();
        return this.#later(lengthMs, () => victim.boot());
      case 'power-cut-all':
        for (const node of this.#nodes) {
          node.powerCut();
          this.#later(this.#lengthMs(), () => node.boot());
        }
        return;
      case 'power-cut-behind':
        return this.#cutPowerBehind(lengthMs);
      case 'clean-restart':
        victim.stopCleanly();
        return this.#later(lengthMs, () => this.#restart(victim));
      case 'partition':
        return this.#partition(
          this.#nodes.filter(() => this.#random.chance(0.5)),
          lengthMs,
        );
      case 'isolate-leader':
        return this.#partition([victim], lengthMs);
      case 'one-way-cut':
        return this.#cutOneWay(victim, lengthMs);
      case 'hold-link':
        return this.#setModes([[victim, this.#random.pick(this.#nodes)]], 'hold', lengthMs);
      case 'reset':
        return this.#network.reset(victim.id, this.#random.pick(this.#nodes).id);
      case 'pause':
        return victim.pause(lengthMs);
      case 'disk-stall':
        this.#world.note(victim.id, `disk stalls for ${lengthMs.toFixed(0)} ms`);
        return victim.disk.stallUntil(this.#world.nowMs + lengthMs);
      case 'sync-error':
        return this.#failDisk(victim, { operation: 'sync', code: 'EIO' }, lengthMs);
      case 'write-error':
        return this.#failDisk(victim, { operation: 'write', code: 'EIO' }, lengthMs);
      case 'disk-full': {
        const operation = this.#random.pick(['write', 'sync'] as const);
        return this.#failDisk(victim, { operation, code: 'ENOSPC' }, lengthMs);
      }
      case 'slow-sync': {
        const slowness = this.#random.pick([5, 30, 200]);
        this.#world.note(victim.id, `syncs are ${slowness} times slower`);
        return victim.disk.slowUntil(this.#world.nowMs + lengthMs, slowness);
      }
      case 'transfer':
        return this.#transfer();
      case 'wall-jump':
        return this.#jump(victim);
    }
  }

  /**
   * Some followers fall behind; then another one loses power, and comes back, while the leader is cut off for a while: what
   * the leader still has, the others must not forget.
   */
  #cutPowerBehind(lengthMs: number): void {
    const leader = this.#leader();
    if (leader === null) return;
    const unitMs = this.#scenario.core.electionTimeoutMinMs!;
    const soonMs = (): number => this.#random.next() * unitMs;
    const others = this.#nodes.filter((node) => node !== leader);
    const [victim] = others.splice(this.#random.integer(0, others.length - 1), 1);
    const behindMs = soonMs() * 2;
    this.#partition(others.slice(0, Math.ceil(this.#nodes.length / 2) - 1), behindMs);
    this.#later(behindMs, () => {
      victim!.powerCut();
      this.#later(soonMs() / 4, () => victim!.boot());
      this.#later(soonMs(), () => this.#partition([leader], lengthMs));
      // What it may have forgotten it must not forget with the next process.
      if (!this.#random.chance(0.5)) return;
      this.#later(soonMs(), () => {
        victim!.kill();
        victim!.boot();
      });
    });
  }

  #jump({ skew }: SimNode): void {
    const beforeMs = skew.wallOffsetMs;
    skew.wallOffsetMs += this.#random.pick(this.#scenario.wallJumpsMs);
    this.#latestOffsetMs = Math.max(this.#latestOffsetMs, beforeMs, skew.wallOffsetMs);
  }

  #failDisk(victim: SimNode, error: DiskError, lengthMs: number): void {
    this.#world.note(victim.id, `the next ${error.operation} fails with ${error.code}`);
    victim.planDiskError(error);
    this.#later(lengthMs + 1, () => victim.boot());
  }

  /** A clean stop may still be under way; then it is tried again. */
  #restart(node: SimNode): void {
    if (node.life === null) return node.boot();
    if (!node.serving) this.#later(this.#scenario.faultLengthMaxMs / 4, () => this.#restart(node));
  }

  #partition(side: readonly SimNode[], lengthMs: number): void {
    const others = this.#nodes.filter((node) => !side.includes(node));
    const pairs = side.flatMap((a) => others.flatMap((b) => [[a, b] as const, [b, a] as const]));
    if (pairs.length === 0) return;
    if (this.#random.chance(0.5)) for (const [a, b] of pairs) this.#network.reset(a.id, b.id);
    this.#setModes(pairs, 'drop', lengthMs);
  }

  #cutOneWay(victim: SimNode, lengthMs: number): void {
    const outward = this.#random.chance(0.5);
    const others = this.#nodes.filter((node) => node !== victim && this.#random.chance(0.7));
    this.#setModes(
      others.map((other) => (outward ? [victim, other] : [other, victim])),
      'drop',
      lengthMs,
    );
  }

  #setModes(
    pairs: readonly (readonly [SimNode, SimNode])[],
    mode: LinkMode,
    lengthMs: number,
  ): void {
    const different = pairs.filter(([a, b]) => a !== b);
    if (different.length === 0) return;
    this.#world.note(
      null,
      `${mode} ${different.map(([a, b]) => `${a.id}>${b.id}`).join(' ')} for ${lengthMs.toFixed(0)} ms`,
    );
    for (const [a, b] of different) this.#network.setMode(a.id, b.id, mode);
    this.#later(lengthMs, () => {
      for (const [a, b] of different) this.#network.setMode(a.id, b.id, 'open');
    });
  }

  #transfer(): void {
    const leader = this.#leader();
    if (leader?.life === null || leader?.life === undefined) return;
    const target = this.#random.chance(0.3) ? null : this.#random.pick(this.#nodes).id;
    this.#world.schedule(0, leader.life, 'transfer', () => {
      leader.driver
        ?.transferLeadership(target === leader.id ? null : target)
        .catch(() => undefined);
    });
  }
}
