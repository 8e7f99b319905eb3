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
export {
  logStorageCases,
  sameEntries,
  type LogStorageCase,
  type LogStorageHarness,
} from './suites/log-storage.js';
export { MemoryDisk } from './suites/memory-disk.js';
export { ValueHistory, type HistoryFault, type ValueOutcome } from './checkers/value-history.js';
export { isPlant, plants, type Plant } from './sim/plants.js';
export { BrokerWatch, type SeenDelivery, type WatchOptions } from './model/broker-watch.js';
export { type DeliveryModel } from './model/delivery-model.js';
export { LogReferee, type LoggedMessage } from './model/log-referee.js';
export { failureReport } from './sim/report.js';
export {
  runSeed,
  type RunFailure,
  type RunOptions,
  type RunResult,
  type WorkloadName,
} from './sim/run-seed.js';
