export { assert, assertSafeInteger, AssertionFailure } from './assert.js';
export { crc32, readInt64, varintSizeBytes, writeInt32, writeInt64, writeVarint } from './bytes.js';
export { systemClock, type CancelTimer, type Clock } from './clock.js';
export {
  bytes,
  choice,
  count,
  environmentName,
  flag,
  list,
  defaultsOf,
  loadConfig,
  ms,
  nearest,
  text,
  type ConfigSources,
  type Setting,
  type SettingsOf,
  type SettingsTable,
} from './config/config.js';
export { readCommandLine, type CommandLine } from './config/command-line.js';
export { type Disk, type DiskFile, type DiskUsage } from './disk/disk.js';
export { nodeDisk } from './disk/node-disk.js';
export { errorTable, errorText, isMqError, MqError, type ErrorCode } from './errors.js';
export { Lifecycle } from './lifecycle.js';
export { LogGate } from './log-gate.js';
export {
  createLogger,
  silentLogger,
  type Logger,
  type LogFields,
  type LogLevel,
} from './logger.js';
export {
  createMetricsRegistry,
  exposeMetrics,
  type MetricsRegistry,
  type ProbedMetric,
  type Sample,
} from './observability/metrics.js';
export {
  ObservabilityServer,
  type ObservabilityOptions,
} from './observability/observability-server.js';
export { createPrng, type Prng } from './prng.js';
export { RingQueue } from './ring-queue.js';
