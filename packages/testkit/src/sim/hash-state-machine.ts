import { crc32, type Prng } from '@raftmq/base';
import {
  ENTRY_HEADER_SIZE_BYTES,
  entryEnd,
  entryType,
  type Entry,
  type StateMachine,
} from '@raftmq/raft';
import { type CommitLog } from '@raftmq/broker-store';
import { type Application, type ApplicationContext, type ApplicationHost } from './application.js';

/** Applied index and digest, as a checkpoint keeps them across restarts. */
export interface HashCheckpoint {
  readonly appliedIndex: number;
  readonly digest: number;
}

/** A record of the simulation: size, value, filler. */
const VALUE_OFFSET = 4;
export const VALUE_RECORD_SIZE_BYTES_MIN = 12;

/** Writes one record of `sizeBytes` at `at`; returns the offset behind it. */
export function writeValueRecord(
  frame: Buffer,
  at: number,
  sizeBytes: number,
  value: number,
): number {
  frame.writeUInt32BE(sizeBytes, at);
  frame.writeDoubleBE(value, at + VALUE_OFFSET);
  frame.fill(value & 0xff, at + VALUE_RECORD_SIZE_BYTES_MIN, at + sizeBytes);
  return at + sizeBytes;
}

/** The values in an entry, in record order; none in a no-op. */
export function valuesOf(entry: Entry): number[] {
  const values: number[] = [];
  if (entry.type !== entryType.records) return values;
  for (
    let at = ENTRY_HEADER_SIZE_BYTES;
    at < entry.frame.length;
    at += entry.frame.readUInt32BE(at)
  ) {
    values.push(entry.frame.readDoubleBE(at + VALUE_OFFSET));
  }
  return values;
}

/** What a record's proposer learns: where it lies, and the state right after its entry. */
export interface ValueResult {
  readonly value: number;
  readonly index: number;
  readonly digest: number;
}

/** The smallest deterministic state machine: a sum chained over everything applied. */
export class HashStateMachine implements StateMachine, Application {
  readonly #host: HashHost;
  #appliedIndex: number;
  #digest: number;

  constructor(host: HashHost) {
    this.#host = host;
    this.#appliedIndex = host.checkpoint.appliedIndex;
    this.#digest = host.checkpoint.digest;
  }

  get stateMachine(): StateMachine {
    return this;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get durableIndex(): number {
    return this.#host.checkpoint.appliedIndex;
  }

  digest(): string {
    return (this.#digest >>> 0).toString(16);
  }

  apply(entry: Entry, results: unknown[] | null): void {
    this.#digest = crc32(entry.frame, this.#digest);
    this.#appliedIndex = entry.index;
    this.#host.applied({ appliedIndex: entry.index, digest: this.#digest }, entryEnd(entry));
    if (results === null) return;
    for (const value of valuesOf(entry)) {
      results.push({ value, index: entry.index, digest: this.#digest } satisfies ValueResult);
    }
  }

  roleChanged(): void {}

  applied(): void {}

  attach(): void {}

  started(): void {}

  stopServing(): void {}

  async close(): Promise<void> {}
}

/** Keeps the checkpoint of a machine's hash; a power cut does it no harm, as it is never ahead of the log on disk. */
export class HashHost implements ApplicationHost<HashStateMachine> {
  checkpoint: HashCheckpoint = { appliedIndex: 0, digest: 0 };
  readonly #random: Prng;
  readonly #checkpointChance: number;
  #log: CommitLog | null = null;
  /** Waits until the log is on disk through `logEnd`. */
  #next: { readonly state: HashCheckpoint; readonly logEnd: number } | null = null;

  constructor(random: Prng, checkpointChance: number) {
    this.#random = random;
    this.#checkpointChance = checkpointChance;
  }

  async open({ log }: ApplicationContext): Promise<HashStateMachine> {
    this.#log = log;
    this.#next = null;
    return new HashStateMachine(this);
  }

  powerCut(): void {}

  /** @internal */
  applied(state: HashCheckpoint, logEnd: number): void {
    if (this.#random.chance(this.#checkpointChance)) this.#next = { state, logEnd };
    if (this.#next === null) return;
    // What a majority has on disk, this disk may still lack.
    if (this.#log!.durablePosition < this.#next.logEnd) return;
    this.checkpoint = this.#next.state;
    this.#next = null;
  }
}
