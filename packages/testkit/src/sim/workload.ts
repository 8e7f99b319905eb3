import { type Prng } from '@raftmq/base';
import { type Proposal, type RejectReason } from '@raftmq/raft';
import { type HistoryFault, ValueHistory } from '../checkers/value-history.js';
import {
  VALUE_RECORD_SIZE_BYTES_MIN,
  writeValueRecord,
  type ValueResult,
} from './hash-state-machine.js';
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

/** Clients that propose values, each value once, and read. They talk to any node, and follow hints to the leader. */
export class Workload {
  readonly history = new ValueHistory();
  readonly #world: World;
  readonly #random: Prng;
  readonly #scenario: Scenario;
  readonly #nodes: readonly SimNode[];
  /** Called with a value's entry index when its client is told that it is stored. */
  readonly #onAck: (node: SimNode, index: number) => void;
  /** Values without an answer, by the node they were proposed to. */
  readonly #open = new Map<SimNode, Set<number>>();
  #nextValue = 1;
  #running = true;
  #reads = 0;

  constructor(
    world: World,
    random: Prng,
    scenario: Scenario,
    nodes: readonly SimNode[],
    onAck: (node: SimNode, index: number) => void,
  ) {
    this.#world = world;
    this.#random = random;
    this.#scenario = scenario;
    this.#nodes = nodes;
    this.#onAck = onAck;
    for (const node of nodes) this.#open.set(node, new Set());
  }

  /** Reads that were answered. */
  get readCount(): number {
    return this.#reads;
  }

  start(): void {
    for (let client = 0; client < this.#scenario.clients; client++) this.#think(0);
  }

  /** No new values from now on. */
  stop(): void {
    this.#running = false;
  }

  /** Proposes one more value to `node`. */
  proposeTo(node: SimNode): void {
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
  nodeDied(node: SimNode): void {
    const open = this.#open.get(node)!;
    for (const value of open) this.#check(this.history.unknown(value));
    open.clear();
  }

  /** Takes note of values that a newly committed entry holds. */
  committed(values: readonly number[], index: number): void {
    for (const value of values) this.#check(this.history.committed(value, index));
  }

  /** @internal */
  answered(
    node: SimNode,
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
  rejected(node: SimNode, values: readonly number[], reason: RejectReason): void {
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

  #target(): SimNode | null {
    const leader = this.#nodes.find((node) => node.serving && node.role.role === 'leader');
    if (leader !== undefined && this.#random.chance(0.8)) return leader;
    const up = this.#nodes.filter((node) => node.serving);
    return up.length === 0 ? null : this.#random.pick(up);
  }

  #read(node: SimNode): void {
    const { life } = node;
    const mustSee = this.history.ackedIndexMax;
    node.driver!.readIndex().then(
      (index) => {
        if (life === null || !life.alive) return;
        this.#reads++;
        const applied = node.machine?.appliedIndex ?? index;
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
  readonly #workload: Workload;
  readonly #node: SimNode;
  readonly #values: readonly number[];
  readonly #recordBytes: number;

  constructor(workload: Workload, node: SimNode, values: readonly number[], recordBytes: number) {
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
