import { type Entry } from './core/entry.js';
import { type HardState, type Message, type NodeId, type Role } from './core/types.js';

/**
 * The replicated log on one replica. Reads see every entry handed to `append`, durable or not.
 * The broker's CommitLog implements it; `testkit` has the contract suite.
 */
export interface LogStorage {
  /** First index still held; 1 on a fresh log, lastIndex + 1 when empty. */
  readonly firstIndex: number;
  /** 0 on a fresh log. */
  readonly lastIndex: number;
  /** Position right behind the last entry: where the next one will start. */
  readonly endPosition: number;
  /** Store timestamp of the last entry, 0 on a fresh log. */
  readonly lastStoreTimestampMs: number;
  /** Term of the entry; also known for firstIndex - 1. 0 for index 0. Asserts that the index is in that range. */
  termAt(index: number): number;
  /** First index in the log whose entry has the same term as the one at `index` (at least firstIndex). */
  firstIndexOfTermAt(index: number): number;
  /**
   * At least one entry, then as many as fit in `bytesMax`, checked against their sums.
   * The caller may keep the array and the Buffers, not write to them.
   * @throws MqError LOG_CORRUPTED naming file, position and index
   */
  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[];
  /**
   * Replaces any tail from `entries[0].index` on. Takes effect for readers in this call; resolves when the entries are
   * durable (SYNC_FLUSH) or written (ASYNC_FLUSH), in call order. A rejection means the process must stop (R25).
   */
  append(entries: readonly Entry[]): Promise<void>;
  /** Forgets entries through `index` as far as whole segments allow. */
  compactThrough(index: number): Promise<void>;
  close(): Promise<void>;
}

/** Where term and vote live (R01). */
export interface HardStateStore {
  load(): Promise<HardState>;
  /** Resolves when the record is durable. A rejection means the process must stop. */
  save(state: HardState): Promise<void>;
}

/** Carries messages between replicas: at most once, in order per peer while a connection lasts, no promise beyond. */
export interface Transport {
  /** Starts listening and connecting. */
  start(receiver: TransportReceiver): Promise<void>;
  /** Hands a message over; drops it when the peer is not connected or its window is full. */
  send(message: Message): void;
  isConnected(peer: NodeId): boolean;
  stop(): Promise<void>;
}

export interface TransportReceiver {
  received(message: Message): void;
  /** A peer's connection came up, with a fresh session: forget what was in flight to it. */
  peerConnected(peer: NodeId): void;
  peerLost(peer: NodeId): void;
  /** What the peers know of this replica changed: whether it may vote and be counted (R22). */
  standing(takesPart: boolean): void;
}

/** What the log drives. All calls come from one thread, one at a time, in log order. */
export interface StateMachine {
  /** Index of the last entry applied; the driver continues behind it. */
  readonly appliedIndex: number;
  /**
   * Applies one committed entry, deterministically.
   * @param results when someone on this replica waits: push one value per record, in record order; else null
   */
  apply(entry: Entry, results: unknown[] | null): void;
  /** Called after a step that changed role, term, leader or writability. */
  roleChanged(status: RoleStatus): void;
  /** Called once after each run of `apply` calls: wake those who wait for news. */
  applied(): void;
}

export interface RoleStatus {
  readonly role: Role;
  readonly term: number;
  readonly leaderId: NodeId | null;
  /** Leader, and its own no-op is applied: everything committed before is visible, writes are open (R06). */
  readonly writable: boolean;
}

/** What is known when a batch is written into its frame. */
export interface SealContext {
  readonly index: number;
  readonly term: number;
  /** Position of the frame in the log; a record at `frame[at]` lies at `position + at`. */
  readonly position: number;
  readonly storeTimestampMs: number;
}

/** Why a proposal did not, or may not, take effect. `lost` = proven not committed; `unknown` = may still commit. */
export type RejectReason =
  'not-leader' | 'overloaded' | 'no-quorum' | 'lost' | 'unknown' | 'stopped';

/**
 * Records that want to enter the log together, in one entry. Exactly one of `committed` and `rejected` is called; after
 * `rejected('unknown')` at most once `committedLate`.
 */
export interface Proposal {
  /** Exact bytes that `write` will fill. */
  readonly sizeBytes: number;
  readonly recordCount: number;
  /** Writes the records to `frame` from `at`; returns the offset behind them. Called once, when the batch is sealed. */
  write(frame: Buffer, at: number, context: SealContext): number;
  /** Committed and applied; its records' results are `results[from .. from + recordCount)`. */
  committed(results: readonly unknown[], from: number): void;
  rejected(reason: RejectReason): void;
  /**
   * As `committed`, after the proposer was told that the outcome is unknown: for what has to be undone when nobody waits
   * for it any more. Not promised: a replica that stops, or waits for too many, does not call it.
   */
  committedLate?(results: readonly unknown[], from: number): void;
}

/** Whether this replica may have forgotten the end of its log (R23). Survives restarts. */
export interface MemoryStore {
  readonly forgetful: boolean;
  /**
   * A leader brought this replica up to date, or it leads. Resolves when that is durable; nobody has to wait for it, since
   * a replica that forgets it is only brought up to date once more.
   */
  remembers(): Promise<void>;
}

/** Whether this replica may vote and be counted (R22). Survives restarts. */
export interface StandingStore {
  readonly takesPart: boolean;
  /**
   * A leader admitted this replica with the entry at `index`. Resolves when that is durable; nobody has to wait for it,
   * since a replica that forgets it is only admitted once more.
   */
  admitted(index: number): Promise<void>;
}
