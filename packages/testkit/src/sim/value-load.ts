import { type Prng } from '@raftmq/base';
import { type Entry, type Proposal, type RejectReason } from '@raftmq/raft';
import { type HistoryFault, ValueHistory } from '../checkers/value-history.js';
import {
  HashHost,
  type HashStateMachine,
  VALUE_RECORD_SIZE_BYTES_MIN,
  valuesOf,
  writeValueRecord,
  type ValueResult,
} from './hash-state-machine.js';
import { type Load, type LoadCounts, type Within } from './load.js';
import { type SimNode } from './node.js';
import { type Scenario } from './scenario.js';
import { type World } from './world.js';

/** Why a proposal is certain not to take effect; everything else leaves it open. */
const DEFINITE: ReadonlySet<RejectReason> = new Set([
  'not-leader',
  'overloaded',
  'no-quorum',
  'lost',
  'stopped',
]);

type HashNode = SimNode<HashStateMachine>;

/** Clients that propose values, each value once, and read. They talk to any node, and follow hints to the leader. */
export class ValueLoad implements Load<HashStateMachine> {
  readonly history = new ValueHistory();
  readonly #world: World;
  readonly #random: Prng;
  readonly #scenario: Scenario;
  #nodes: readonly HashNode[] = [];
  /** Called with a value's entry index when its client is told that it is stored. */
  readonly #onAck: (node: HashNode, index: number) => void;
  /** Values without an answer, by the node they were proposed to. */
  readonly #open = new Map<HashNode, Set<number>>();
  #nextValue = 1;
  #running = true;
  #reads = 0;

  constructor(
    world: World,
    random: Prng,
    scenario: Scenario,
    onAck: (node: HashNode, index: number) => void,
  ) {
    this.#world = world;
    this.#random = random;
    this.#scenario = scenario;
    this.#onAck = onAck;
  }

  get counts(): LoadCounts {
    return { acked: this.history.ackedCount, reads: this.#reads };
  }

  host(node: number): HashHost {
    return new HashHost(this.#random.fork(`host ${node}`), this.#scenario.checkpointChance);
  }

  keepFromIndex(): number {
    return Infinity;
  }

  /** Reading it costs nothing here. */
  digestAt(): boolean {
    return true;
  }

  start(nodes: readonly HashNode[]): void {
    this.#nodes = nodes;
    for (const node of nodes) this.#open.set(node, new Set());
    for (let client = 0; client < this.#scenario.clients; client++) this.#think(0);
  }

  /** No new values from now on. */
  stop(): void {
    this.#running = false;
  }

  /** Proposes one more value to `node`. */
  proposeTo(node: HashNode): void {
    const driver = node.driver;
    if (driver === null) return;
    const count = this.#random.chance(0.8) ? 1 : this.#random.integer(2, 4);
    const values: number[] = [];
    const open = this.#open.get(node)!;
    for (let i = 0; i < count; i++) {
      const value = this.#nextValue++;
      values.push(value);
      open.add(value);
      this.history.proposed(value, this.#world.nowMs);
    }
    const recordBytes = this.#random.integer(
      VALUE_RECORD_SIZE_BYTES_MIN,
      this.#scenario.recordBytesMax,
    );
    driver.propose(new ValueProposal(this, node, values, recordBytes));
  }

  /** Whoever waited for this process will never hear from it. */
  nodeDied(node: HashNode): void {
    const open = this.#open.get(node)!;
    for (const value of open) this.#check(this.history.unknown(value));
    open.clear();
  }

  committed(entry: Entry): void {
    for (const value of valuesOf(entry)) this.#check(this.history.committed(value, entry.index));
  }

  lostBehind(index: number): void {
    this.history.lostBehind(index);
  }

  /** One more value has to be acknowledged: tried again and again, as leadership may still move. */
  async finish(leader: () => HashNode | null, within: Within): Promise<string | null> {
    const before = this.history.ackedCount;
    const done = (): boolean => this.history.ackedCount > before;
    const attempt = (): void => {
      if (done()) return;
      const node = leader();
      if (node !== null) this.proposeTo(node);
      this.#world.schedule(this.#scenario.core.electionTimeoutMinMs!, null, 'last value', attempt);
    };
    attempt();
    await within(done);
    return done() ? null : 'a last value was never acknowledged';
  }

  beforeLastStart(): void {}

  async verdict(): Promise<void> {
    const open = this.history.openSince(Infinity);
    if (open.length > 0)
      this.#world.violate(
        'every-promise-settles',
        `values ${open.slice(0, 5).join(', ')} never got an answer`,
      );
    this.#check(this.history.finalFault());
  }

  /** @internal */
  answered(
    node: HashNode,
    values: readonly number[],
    results: readonly unknown[],
    from: number,
  ): void {
    const open = this.#open.get(node)!;
    for (let i = 0; i < values.length; i++) {
      const result = results[from + i] as ValueResult;
      if (result.value !== values[i])
        this.#world.violate(
          'answer',
          `value ${values[i]} was answered with the result of ${result.value}`,
        );
      open.delete(result.value);
      this.#check(this.history.acked(result.value, result.index));
    }
    this.#onAck(node, (results[from] as ValueResult).index);
  }

  /** @internal */
  rejected(node: HashNode, values: readonly number[], reason: RejectReason): void {
    const open = this.#open.get(node)!;
    for (const value of values) {
      open.delete(value);
      this.#check(DEFINITE.has(reason) ? this.history.refused(value) : this.history.unknown(value));
    }
  }

  #think(delayMs: number): void {
    this.#world.schedule(delayMs, null, 'client', () => this.#act());
  }

  #act(): void {
    if (!this.#running) return;
    this.#think(-this.#scenario.thinkMs * Math.log(1 - this.#random.next()));
    const node = this.#target();
    if (node?.life === null || node?.life === undefined) return;
    const burst = this.#random.integer(1, this.#scenario.burstMax);
    const reads = this.#random.chance(this.#scenario.readChance);
    // Through the process's own queue: a stopped process finds the requests when it goes on.
    this.#world.schedule(0, node.life, 'request', () => {
      if (!node.serving) return;
      for (let i = 0; i < burst; i++) this.proposeTo(node);
      if (reads) this.#read(node);
    });
  }

  #target(): HashNode | null {
    const leader = this.#nodes.find((node) => node.serving && node.role.role === 'leader');
    if (leader !== undefined && this.#random.chance(0.8)) return leader;
    const up = this.#nodes.filter((node) => node.serving);
    return up.length === 0 ? null : this.#random.pick(up);
  }

  #read(node: HashNode): void {
    const { life } = node;
    const { ackedIndexMax: mustSee, losses } = this.history;
    node.driver!.readIndex().then(
      (index) => {
        if (life === null || !life.alive) return;
        this.#reads++;
        const applied = node.application?.appliedIndex ?? index;
        if (losses !== this.history.losses) return;
        if (index >= mustSee && applied >= index) return;
        this.#world.report(
          'linearizable-read',
          `n${node.id} serves a read at index ${index} (applied ${applied}), but ${mustSee} was acknowledged before it was asked`,
        );
      },
      () => undefined,
    );
  }

  #check(fault: HistoryFault | null): void {
    if (fault !== null) this.#world.violate(fault.rule, fault.message);
  }
}

class ValueProposal implements Proposal {
  readonly sizeBytes: number;
  readonly recordCount: number;
  readonly #workload: ValueLoad;
  readonly #node: HashNode;
  readonly #values: readonly number[];
  readonly #recordBytes: number;

  constructor(workload: ValueLoad, node: HashNode, values: readonly number[], recordBytes: number) {
    this.#workload = workload;
    this.#node = node;
    this.#values = values;
    this.#recordBytes = recordBytes;
    this.sizeBytes = recordBytes * values.length;
    this.recordCount = values.length;
  }

  write(frame: Buffer, at: number): number {
    for (const value of this.#values) at = writeValueRecord(frame, at, this.#recordBytes, value);
    return at;
  }

  committed(results: readonly unknown[], from: number): void {
    this.#workload.answered(this.#node, this.#values, results, from);
  }

  rejected(reason: RejectReason): void {
    this.#workload.rejected(this.#node, this.#values, reason);
  }
}
