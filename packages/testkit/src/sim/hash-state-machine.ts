import { crc32 } from '@raftmq/base';
import {
  ENTRY_HEADER_SIZE_BYTES,
  entryType,
  type Entry,
  type RoleStatus,
  type StateMachine,
} from '@raftmq/raft';

/** Applied index and digest, as a checkpoint keeps them across restarts. */
export interface HashCheckpoint {
  readonly appliedIndex: number;
  readonly digest: number;
}

export const EMPTY_CHECKPOINT: HashCheckpoint = { appliedIndex: 0, digest: 0 };

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
export class HashStateMachine implements StateMachine {
  readonly #onApply: (entry: Entry, digest: number) => void;
  readonly #onRole: (status: RoleStatus) => void;
  #appliedIndex: number;
  #digest: number;

  constructor(
    from: HashCheckpoint,
    onApply: (entry: Entry, digest: number) => void,
    onRole: (status: RoleStatus) => void,
  ) {
    this.#appliedIndex = from.appliedIndex;
    this.#digest = from.digest;
    this.#onApply = onApply;
    this.#onRole = onRole;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get digest(): number {
    return this.#digest;
  }

  apply(entry: Entry, results: unknown[] | null): void {
    this.#digest = crc32(entry.frame, this.#digest);
    this.#onApply(entry, this.#digest);
    this.#appliedIndex = entry.index;
    if (results === null) return;
    for (const value of valuesOf(entry)) {
      results.push({ value, index: entry.index, digest: this.#digest } satisfies ValueResult);
    }
  }

  roleChanged(status: RoleStatus): void {
    this.#onRole(status);
  }

  applied(): void {}
}
