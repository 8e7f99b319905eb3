import { bytes, count, ms, type SettingsOf } from '@raftmq/base';

/** Settings of one replica's driver; the algorithm's own times are in the core's table. */
export const raftDriverSettings = {
  tickMs: ms({
    default: 20,
    min: 1,
    max: 100,
    doc: 'How often proposals, reads and transfers that wait are looked at. Elections and heartbeats have timers of their own.',
  }),
  maxUnsyncedEntries: count({
    default: 1,
    min: 1,
    max: 16,
    doc: 'Own entries whose disk write may be under way when the next one is sealed. 1 makes a batch of what arrived during the last write.',
  }),
  batchBytesMax: bytes({
    default: 1024 * 1024,
    min: 4 * 1024,
    max: 32 * 1024 * 1024,
    doc: 'Largest entry made of several proposals; a single larger proposal gets an entry of its own.',
  }),
  batchRecordsMax: count({
    default: 16_384,
    min: 1,
    max: 1_000_000,
    doc: 'Most records in one entry made of several proposals.',
  }),
  proposalQueueBytesMax: bytes({
    default: 64 * 1024 * 1024,
    min: 64 * 1024,
    max: 4 * 1024 ** 3,
    doc: 'Proposals waiting to be sealed, in bytes; more are refused as overloaded.',
  }),
  proposalQueueMax: count({
    default: 100_000,
    min: 1,
    max: 10_000_000,
    doc: 'Proposals waiting to be sealed; more are refused as overloaded.',
  }),
  proposalTimeoutMs: ms({
    default: 10_000,
    min: 100,
    max: 600_000,
    doc: 'Longest wait for an outcome. A sealed proposal is then answered "unknown", an unsealed one "overloaded".',
  }),
  uncommittedBytesMax: bytes({
    default: 64 * 1024 * 1024,
    min: 64 * 1024,
    max: 4 * 1024 ** 3,
    doc: 'Log bytes not yet committed and applied; beyond it nothing more is sealed. Bounds the tail that a slow quorum leaves.',
  }),
  noQuorumPendingMax: count({
    default: 1_000,
    min: 1,
    max: 10_000_000,
    doc: 'Proposals that may wait while there is no contact to a majority; more are refused at once.',
  }),
  applySliceBytes: bytes({
    default: 4 * 1024 * 1024,
    min: 4 * 1024,
    max: 256 * 1024 * 1024,
    doc: 'Committed bytes applied in one turn of the event loop, so that a long replay does not starve heartbeats.',
  }),
  applySliceMs: ms({
    default: 5,
    min: 1,
    max: 1_000,
    doc: 'Longest time spent applying in one turn of the event loop.',
  }),
  readsMax: count({
    default: 100_000,
    min: 1,
    max: 10_000_000,
    doc: 'Linearizable reads waiting for their index; more are refused.',
  }),
  stallMs: ms({
    default: 900,
    min: 50,
    max: 60_000,
    doc: 'An event loop that stood still this long lets the core check its lease before anything else is handled. Not above the lease.',
  }),
} as const;

export type RaftDriverConfig = SettingsOf<typeof raftDriverSettings>;

/** The defaults of the table, with `overrides` laid over them. Values are not checked: the caller's loader did. */
export function raftDriverConfig(overrides: Partial<RaftDriverConfig> = {}): RaftDriverConfig {
  const config: Record<string, number> = {};
  for (const [name, entry] of Object.entries(raftDriverSettings)) config[name] = entry.default;
  return { ...config, ...overrides } as RaftDriverConfig;
}
