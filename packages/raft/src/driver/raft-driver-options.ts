import { type Clock, type Logger, type Prng } from '@raftmq/base';
import { type RaftCoreConfig } from '../core/config.js';
import { type PeerStatus } from '../core/raft-core.js';
import { type TestOnlyBugs } from '../core/replica.js';
import { type NodeId, type RecoveryKind } from '../core/types.js';
import {
  type HardStateStore,
  type LogStorage,
  type MemoryStore,
  type RoleStatus,
  type StandingStore,
  type StateMachine,
  type Transport,
} from '../ports.js';
import { type Scheduler } from './scheduler.js';
import { type RaftDriverConfig } from './settings.js';

/** What a driver is built from. It closes none of it but the transport. */
export interface RaftDriverOptions {
  readonly id: NodeId;
  /** All replicas of the group, this one included. */
  readonly voters: readonly NodeId[];
  /** What differs from the defaults of the two settings tables: the driver's own, and under `core` the algorithm's. */
  readonly config: Partial<RaftDriverConfig> & { readonly core?: Partial<RaftCoreConfig> };
  /** Opened, and everything in it durable. */
  readonly log: LogStorage;
  readonly hardState: HardStateStore;
  /** Left out: this replica always takes part, and must never lose its disk (R22). */
  readonly standing?: StandingStore;
  /** Left out: what this replica acknowledged survives power cuts (R23). */
  readonly memory?: MemoryStore;
  readonly transport: Transport;
  readonly stateMachine: StateMachine;
  readonly clock: Clock;
  readonly random: Prng;
  readonly logger: Logger;
  /**
   * Called once, when a write, a sync or an assertion failed: the process has to exit. Nothing leaves the driver
   * afterwards, neither to peers nor to those who wait.
   */
  readonly onFatal: (error: unknown) => void;
  /** Node's own event loop when left out. */
  readonly scheduler?: Scheduler;
  /** Mistakes on purpose, for the simulator; never set elsewhere. */
  readonly testOnlyBugs?: TestOnlyBugs;
}

/** A picture of one replica, for tools and metrics. */
export interface RaftStatus extends RoleStatus {
  readonly id: NodeId;
  readonly votedFor: NodeId | null;
  /** What it recovers from. While forgetful, and nobody leads, it waits for all replicas of its group (R23). */
  readonly recovery: RecoveryKind;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** Entries through here are known to be durable on this replica. */
  readonly durableIndex: number;
  /** May be ahead of `durableIndex`: the others can be a majority. */
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly queuedProposals: number;
  readonly queuedBytes: number;
  /** Sealed entries without an outcome. */
  readonly waitingEntries: number;
  readonly waitingReads: number;
  readonly peersConnected: readonly NodeId[];
  /** The followers as the leader sees them; empty elsewhere. */
  readonly peers: readonly PeerStatus[];
}
