export { CommitLog, type CommitLogOptions, type CommitLogUsage } from './commitlog/commit-log.js';
export { type RetentionReason, type RetentionRequest } from './commitlog/retention.js';
export { commitLogSettings, type CommitLogConfig } from './commitlog/settings.js';
export { FileQueueIndex, type FileQueueIndexOptions } from './consumequeue/queue-index.js';
export { lockDataDirectory, type DirectoryLock } from './directory-lock.js';
export {
  createIdentity,
  DATA_FORMAT_VERSION,
  readIdentity,
  type ExpectedIdentity,
  type Identity,
} from './identity.js';
export { MemoryKvEngine } from './kv/memory-engine.js';
export { openRocksDb } from './kv/rocksdb-engine.js';
export {
  type Checkpoint,
  type ColdRow,
  type CommitLogReader,
  type KvBatch,
  type KvEngine,
  type KvPair,
  type LogByPosition,
  type QueueIndex,
  type QueueSlice,
  type RowChanges,
  type StateStore,
  type TermSink,
} from './ports.js';
export { KvStateStore } from './state-store/kv-state-store.js';
export { MessageIndex, type FindRange, type Found } from './messageindex/message-index.js';
export { type MessageIndexCounters, type MessageIndexOptions } from './messageindex/run-store.js';
export {
  keyTerm,
  KEYS_PER_MESSAGE_MAX,
  messageIdTerm,
  queueRangeTerm,
  STRIPE_SIZE_BYTES,
  type Term,
} from './messageindex/term-collector.js';
