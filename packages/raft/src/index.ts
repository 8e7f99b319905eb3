export {
  checkRaftCoreConfig,
  raftCoreConfig,
  raftCoreSettings,
  type RaftCoreConfig,
} from './core/config.js';
export {
  ENTRY_HEADER_SIZE_BYTES,
  ENTRY_SIZE_BYTES_MAX,
  entryEnd,
  entryType,
  readEntry,
  readEntryHeader,
  sealEntry,
  type Entry,
  type EntryHeader,
  type EntryMeta,
  type EntryType,
} from './core/entry.js';
export { type LogSource } from './core/log-view.js';
export { type ProgressState } from './core/progress.js';
export { RaftCore, type PeerStatus } from './core/raft-core.js';
export { type RaftCoreOptions } from './core/replica.js';
export {
  type Admission,
  type AppendRequest,
  type AppendResponse,
  type Effects,
  type HardState,
  type Input,
  type Message,
  type NodeId,
  type ReadResult,
  type RecoveryKind,
  type Role,
  type TimeoutNow,
  type VoteRequest,
  type VoteResponse,
} from './core/types.js';
export {
  type HardStateStore,
  type LogStorage,
  type MemoryStore,
  type Proposal,
  type RejectReason,
  type RoleStatus,
  type SealContext,
  type StandingStore,
  type StateMachine,
  type Transport,
  type TransportReceiver,
} from './ports.js';
export { RaftDriver } from './driver/raft-driver.js';
export { type RaftDriverOptions, type RaftStatus } from './driver/raft-driver-options.js';
export { raftDriverConfig, raftDriverSettings, type RaftDriverConfig } from './driver/settings.js';
export { loopScheduler, type Scheduler } from './driver/scheduler.js';
export { PROPOSAL_SIZE_BYTES_MAX } from './driver/proposal-queue.js';
export { type RaftProbe } from './driver/probe.js';
export { BootManifest, type BootManifestOptions, type LastRun } from './log/boot-manifest.js';
export { PeerBook, type Life, type PeerBookOptions } from './log/peer-book.js';
export { FileHardStateStore, type FileHardStateStoreOptions } from './log/file-hard-state-store.js';
export {
  TcpTransport,
  tcpTransportLimits,
  type TcpTransportLimits,
  type TcpTransportOptions,
} from './tcp/tcp-transport.js';
export { type PeerProbe } from './tcp/probe.js';
