import { bytes, count, MqError, ms, type SettingsOf, type SettingsTable } from '@raftmq/base';

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * Every number the Raft core depends on, with its default. Times are measured on the monotonic clock that the driver
 * passes to `step`; the core looks at them when something happens, so a tick that comes late delays them by as much.
 */
export const raftCoreSettings = {
  electionTimeoutMinMs: ms({
    default: 1000,
    min: 10,
    max: 60_000,
    scope: 'cluster',
    doc: 'Shortest silence of the leader before a follower asks for a pre-vote. Votes are ignored for as long (R09).',
  }),
  electionTimeoutMaxMs: ms({
    default: 2000,
    min: 10,
    max: 120_000,
    scope: 'cluster',
    doc: 'Longest silence of the leader before a follower asks for a pre-vote. Close to the minimum = split votes.',
  }),
  firstElectionTimeoutMinMs: ms({
    default: 150,
    min: 0,
    max: 60_000,
    doc: 'As electionTimeoutMinMs, right after the start; pre-vote protects a leader that is already there.',
  }),
  firstElectionTimeoutMaxMs: ms({
    default: 450,
    min: 0,
    max: 60_000,
    doc: 'As electionTimeoutMaxMs, right after the start, and for a candidate in a hurry.',
  }),
  startWindowMs: ms({
    default: 3000,
    min: 0,
    max: 60_000,
    doc: 'How long after the start a replica without a leader keeps using the first election timeouts.',
  }),
  heartbeatIntervalMs: ms({
    default: 100,
    min: 1,
    max: 10_000,
    scope: 'cluster',
    doc: 'The leader speaks to each follower at least this often.',
  }),
  leaseMs: ms({
    default: 900,
    min: 5,
    max: 60_000,
    scope: 'cluster',
    doc: 'A leader that had no answer from a majority for so long steps down. Must be below electionTimeoutMinMs.',
  }),
  peerLostJitterMaxMs: ms({
    default: 50,
    min: 0,
    max: 10_000,
    doc: 'Random wait before a follower campaigns whose connection to the leader broke. 0 = split votes.',
  }),
  preVoteRetryMinMs: ms({
    default: 50,
    min: 1,
    max: 10_000,
    doc: 'Shortest wait between pre-votes after the connection to the leader broke.',
  }),
  preVoteRetryMaxMs: ms({
    default: 100,
    min: 1,
    max: 10_000,
    doc: 'Longest wait between pre-votes after the connection to the leader broke.',
  }),
  preVoteRetryWindowMs: ms({
    default: 1500,
    min: 0,
    max: 60_000,
    doc: 'How long these quick pre-votes go on before the ordinary election timeout applies again.',
  }),
  maxInflightAppends: count({
    default: 256,
    min: 1,
    max: 65_536,
    doc: 'Requests with entries under way to one follower; at the limit it gets heartbeats only.',
  }),
  maxInflightBytes: bytes({
    default: 16 * MiB,
    min: 1,
    max: 1024 * MiB,
    doc: 'Entry bytes under way to one follower, exceeded by at most one request. Bounds memory for a hung follower.',
  }),
  maxAppendBytes: bytes({
    default: 1 * MiB,
    min: 1,
    max: 64 * MiB,
    doc: 'Entry bytes in one request, except that a single larger entry travels alone.',
  }),
  maxUncommittedBytes: bytes({
    default: 64 * MiB,
    min: 1,
    max: 1024 * MiB,
    doc: 'With so many bytes of its own term not yet committed a leader takes no proposals (canPropose is false).',
  }),
  maxPendingReads: count({
    default: 10_000,
    min: 1,
    max: 1_000_000,
    doc: 'Reads that wait for their quorum round; one more is refused at once.',
  }),
} as const satisfies SettingsTable;

/** The settings as values; every field is required, so that nothing outside the table invents a default. */
export type RaftCoreConfig = SettingsOf<typeof raftCoreSettings>;

/** All defaults, with `changes` on top. */
export function raftCoreConfig(changes: Partial<RaftCoreConfig> = {}): RaftCoreConfig {
  const values: Record<string, number> = {};
  for (const [name, entry] of Object.entries(raftCoreSettings)) values[name] = entry.default;
  return { ...(values as RaftCoreConfig), ...changes };
}

/**
 * Checks what no single bound can see.
 * @throws MqError CONFIG_INVALID naming the two settings that contradict each other
 */
export function checkRaftCoreConfig(config: RaftCoreConfig): void {
  const ordered: readonly (readonly [keyof RaftCoreConfig, keyof RaftCoreConfig])[] = [
    ['electionTimeoutMinMs', 'electionTimeoutMaxMs'],
    ['firstElectionTimeoutMinMs', 'firstElectionTimeoutMaxMs'],
    ['preVoteRetryMinMs', 'preVoteRetryMaxMs'],
    ['maxAppendBytes', 'maxInflightBytes'],
  ];
  for (const [low, high] of ordered) {
    if (config[low] > config[high]) {
      throw new MqError(
        'CONFIG_INVALID',
        `${low} is ${config[low]}, above ${high} (${config[high]}): lower the first or raise the second`,
      );
    }
  }
  if (config.leaseMs >= config.electionTimeoutMinMs) {
    throw new MqError(
      'CONFIG_INVALID',
      `leaseMs is ${config.leaseMs} and must be below electionTimeoutMinMs (${config.electionTimeoutMinMs}): ` +
        'an old leader has to step down before a new one can be elected',
    );
  }
  if (config.heartbeatIntervalMs * 2 > config.leaseMs) {
    throw new MqError(
      'CONFIG_INVALID',
      `heartbeatIntervalMs is ${config.heartbeatIntervalMs}: at least two heartbeats must fit into leaseMs (${config.leaseMs})`,
    );
  }
}
