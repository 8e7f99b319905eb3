export {
  DevCluster,
  eventually,
  raftmq,
  runCommand,
  runNode,
  type ClusterNode,
  type CommandResult,
  type DevClusterOptions,
  type RaftStatus,
} from './fixtures/dev-cluster.js';
export { diskCases, type DiskCase, type DiskHarness } from './suites/disk.js';
export { makeEntries, makeEntriesBehind, type EntriesPlan } from './suites/entries.js';
export {
  logStorageCases,
  sameEntries,
  type LogStorageCase,
  type LogStorageHarness,
} from './suites/log-storage.js';
export { MemoryDisk } from './suites/memory-disk.js';
