import { type RejectReason, type RoleStatus } from '../ports.js';

/**
 * What one driver counts: plain fields, bumped in place and read by whoever exports metrics. Sums and counts only grow
 * while the process lives; maxima belong to the reader, who may set them back to 0.
 */
export interface RaftProbe {
  /** Entries this replica sealed as leader. */
  sealedEntries: number;
  /** Frame bytes of those entries, headers included. */
  sealedBytes: number;
  sealedRecords: number;
  sealedProposals: number;
  /** Most records seen in one entry. */
  batchRecordsMax: number;
  /** Entries applied, as leader or follower. */
  appliedEntries: number;
  appliedBytes: number;
  /** From sealing to settling, over `settledEntries` entries. */
  commitLatencySumMs: number;
  commitLatencyMaxMs: number;
  settledEntries: number;
  /** From handing an append to the log to its promise, over `appends` appends: disk time including group commit. */
  appendLatencySumMs: number;
  appendLatencyMaxMs: number;
  appends: number;
  /** Saves of term and vote. */
  hardStateSaves: number;
  /** Times this replica asked for pre-votes, and times it became leader. */
  campaigns: number;
  electionsWon: number;
  /** Among the elections won, those that all replicas had to take part in: entries may have been lost (R23). */
  electionsByAll: number;
  leadershipLost: number;
  /** Changes of the known leader. */
  leaderChanges: number;
  messagesReceived: number;
  messagesSent: number;
  rejectedNotLeader: number;
  rejectedOverloaded: number;
  rejectedNoQuorum: number;
  rejectedLost: number;
  rejectedUnknown: number;
  /** Times the event loop stood still longer than `stallMs`, and the longest such time. */
  stalls: number;
  stallMaxMs: number;
}

/** A probe with everything at 0. */
export function createRaftProbe(): RaftProbe {
  return {
    sealedEntries: 0,
    sealedBytes: 0,
    sealedRecords: 0,
    sealedProposals: 0,
    batchRecordsMax: 0,
    appliedEntries: 0,
    appliedBytes: 0,
    commitLatencySumMs: 0,
    commitLatencyMaxMs: 0,
    settledEntries: 0,
    appendLatencySumMs: 0,
    appendLatencyMaxMs: 0,
    appends: 0,
    hardStateSaves: 0,
    campaigns: 0,
    electionsWon: 0,
    electionsByAll: 0,
    leadershipLost: 0,
    leaderChanges: 0,
    messagesReceived: 0,
    messagesSent: 0,
    rejectedNotLeader: 0,
    rejectedOverloaded: 0,
    rejectedNoQuorum: 0,
    rejectedLost: 0,
    rejectedUnknown: 0,
    stalls: 0,
    stallMaxMs: 0,
  };
}

/** Counts `count` proposals that were answered with `reason`. */
export function countRejected(probe: RaftProbe, reason: RejectReason, count: number): void {
  switch (reason) {
    case 'not-leader':
      probe.rejectedNotLeader += count;
      return;
    case 'overloaded':
      probe.rejectedOverloaded += count;
      return;
    case 'no-quorum':
      probe.rejectedNoQuorum += count;
      return;
    case 'lost':
      probe.rejectedLost += count;
      return;
    case 'unknown':
      probe.rejectedUnknown += count;
      return;
    case 'stopped':
      return;
  }
}

/** Counts what a change of role means. */
export function countRole(probe: RaftProbe, before: RoleStatus, now: RoleStatus): void {
  if (now.role === 'pre-candidate' && before.role !== 'pre-candidate') probe.campaigns++;
  if (now.role === 'leader' && before.role !== 'leader') probe.electionsWon++;
  if (before.role === 'leader' && now.role !== 'leader') probe.leadershipLost++;
  if (now.leaderId !== null && now.leaderId !== before.leaderId) probe.leaderChanges++;
}
