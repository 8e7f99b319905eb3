import { choice, count, ms, text, type SettingsOf } from '@raftmq/base';

/** All settings of a NameServer. */
export const namesrvSettings = {
  host: text({ default: '0.0.0.0', doc: 'Address to listen on, for all ports.' }),
  port: count({
    default: 9876,
    min: 0,
    max: 65_535,
    doc: 'Port for brokers and for route queries. 0 = any; the ready line tells which.',
  }),
  metricsPort: count({
    default: 5557,
    min: 0,
    max: 65_535,
    doc: 'HTTP port for /metrics, /livez and /readyz. 0 = any.',
  }),
  brokerExpiryMs: ms({
    default: 120_000,
    min: 1_000,
    max: 3_600_000,
    doc: 'A replica that is silent for this long leaves the routes. Brokers register every 30 s: lower values than 90 s drop healthy ones.',
  }),
  scanIntervalMs: ms({
    default: 5_000,
    min: 50,
    max: 600_000,
    doc: 'Pause between two searches for silent replicas.',
  }),
  groupsMax: count({
    default: 1_024,
    min: 1,
    max: 65_536,
    doc: 'Broker groups known at a time; registrations of more are refused.',
  }),
  topicsMax: count({
    default: 50_000,
    min: 1,
    max: 1_000_000,
    doc: 'Topics of one group; a registration with more is refused.',
  }),
  connectionsMax: count({
    default: 10_000,
    min: 16,
    max: 1_000_000,
    doc: 'Open connections; more are closed at once.',
  }),
  stopTimeoutMs: ms({
    default: 3_000,
    min: 0,
    max: 60_000,
    doc: 'Time for calls in progress to finish when the process is asked to stop.',
  }),
  logLevel: choice({
    default: 'info',
    of: ['fatal', 'error', 'warn', 'info', 'debug', 'silent'],
    doc: 'Least important log lines that are written, to stderr.',
  }),
} as const;

export type NamesrvConfig = SettingsOf<typeof namesrvSettings>;
