import { type Entry } from './entry.js';

/** Position of a replica in its group: 0, 1, 2 … Never reused. */
export type NodeId = number;

/**
 * What a replica recovers from, until a leader has brought it up to date:
 *
 *   none       it takes part
 *   forgetful  the end of its log may be missing, also what it acknowledged: it is counted, but its vote alone is worth
 *              nothing (R23)
 *   lost-disk  its votes may be missing as well: it neither votes nor counts (R22)
 */
export type RecoveryKind = 'none' | 'forgetful' | 'lost-disk';

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

/** What a replica must have on disk before it answers (R01): one record, written and synced as a whole. */
export interface HardState {
  readonly term: number;
  readonly votedFor: NodeId | null;
}

interface Routed {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: number;
}

/** Asks for a vote. With `pre`, `term` is the term the sender would campaign in; nothing is remembered (R07). */
export interface VoteRequest extends Routed {
  readonly kind: 'vote-request';
  readonly pre: boolean;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The leader itself asked the sender to take over: answer although a leader is alive (R09, R11). */
  readonly transfer: boolean;
}

export interface VoteResponse extends Routed {
  readonly kind: 'vote-response';
  readonly pre: boolean;
  readonly granted: boolean;
  /** The sender may have forgotten the end of its log: its vote counts only where all replicas voted (R23). */
  readonly forgetful: boolean;
}

/** Replicates entries; without entries it is a heartbeat. */
export interface AppendRequest extends Routed {
  readonly kind: 'append-request';
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly commitIndex: number;
  readonly entries: readonly Entry[];
  /** The leader's monotonic clock when it sent this; the answer echoes it, which dates the lease (R08). */
  readonly sentAtMs: number;
  /** Number of the read round this request belongs to, echoed (R10). */
  readonly readRound: number;
}

export interface AppendResponse extends Routed {
  readonly kind: 'append-response';
  readonly success: boolean;
  /**
   * On success: everything through here matches the leader's log *and* is durable here (R02).
   * On refusal: the prevIndex that was refused, so that the leader knows a late refusal.
   */
  readonly matchIndex: number;
  /**
   * On refusal: the follower's term at min(prevIndex, lastIndex), and the first index of that term above its commit
   * index, so that one round skips one term (R16).
   */
  readonly conflictTerm: number;
  readonly conflictFirstIndex: number;
  readonly lastIndex: number;
  readonly sentAtMs: number;
  readonly readRound: number;
  /** 0 = this replica takes part. Else the number of its recovery (R22, R23). */
  readonly recovery: number;
  /** It recovers, but remembers its votes: what it acknowledges counts (R23). After a lost disk it does not (R22). */
  readonly forgetful: boolean;
}

/** A recovering replica takes part again: it holds a committed entry that was proposed after it was seen so (R22, R23). */
export interface Admission extends Routed {
  readonly kind: 'admission';
  /** Echoed from the replica's answers: an admission is of no use to a later recovery. */
  readonly recovery: number;
  readonly index: number;
}

/** "Campaign now": the leader hands over (R11). */
export interface TimeoutNow extends Routed {
  readonly kind: 'timeout-now';
}

export type Message =
  VoteRequest | VoteResponse | AppendRequest | AppendResponse | Admission | TimeoutNow;

/** Everything that can happen to a replica. */
export type Input =
  | { readonly kind: 'tick' }
  | { readonly kind: 'message'; readonly message: Message }
  /** The leader's next entry: sealed by the driver with index = lastIndex + 1 and the current term (asserted). */
  | { readonly kind: 'propose'; readonly entry: Entry }
  /**
   * The appends of an earlier step, and all disk work of the steps before it, are durable. `throughIndex` is the index
   * of the last of these appends, `term` the core's term right after that step: together they tell a late sync from
   * one of a tail rewritten in the meantime (R02).
   */
  | { readonly kind: 'synced'; readonly throughIndex: number; readonly term: number }
  /** The connection to a peer broke. From the leader it is a hint to ask for a pre-vote at once. */
  | { readonly kind: 'peer-lost'; readonly peer: NodeId }
  /** A fresh connection to a peer, which may be a new process: nothing of before is under way or certain. */
  | { readonly kind: 'peer-connected'; readonly peer: NodeId }
  /** Whether this replica may vote and be counted (R22), as its peers know it. False begins a recovery. */
  | { readonly kind: 'standing'; readonly takesPart: boolean }
  /** A linearizable read; answered in `Effects.reads` with the same `id` (R10). */
  | { readonly kind: 'read'; readonly id: number }
  /** Hand leadership to `target`, or to the best follower when null (R11). */
  | { readonly kind: 'transfer'; readonly target: NodeId | null };

/** The answer to a read: serve it once `index` is applied; null = not leader or lease lost, ask elsewhere. */
export interface ReadResult {
  readonly id: number;
  readonly index: number | null;
}

/**
 * What the driver must do after one step, in this order: persist `hardState` and `appends`; send `sendNow` at once;
 * send `sendAfterSync` only when that disk work is durable; apply through `committedThrough`.
 * The object is reused by the next step. The arrays are not: they may be kept, but not written to.
 */
export interface Effects {
  /** Persist before (or together with) `appends`; null = unchanged. */
  hardState: HardState | null;
  /** May replace a conflicting tail, from `appends[0].index` on. */
  appends: Entry[];
  sendNow: Message[];
  /** Votes and acknowledgements: only once everything of this step is durable. */
  sendAfterSync: Message[];
  /** Index up to which the state machine may apply; never goes back. */
  committedThrough: number;
  reads: ReadResult[];
  /** A leader admitted this replica, which had lost its disk, with the entry at this index. Else null (R22). */
  admittedAt: number | null;
  /** This replica has again whatever it may have forgotten: note it, or it recovers once more after a restart (R23). */
  remembers: boolean;
  /** Role, term or leader changed in this step. */
  roleChanged: boolean;
}
