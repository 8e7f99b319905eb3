import { type ProbedMetric, type Sample } from '@raftmq/base';
import { type RaftProbe, type RaftStatus } from '@raftmq/raft';
import { counter, gauge, type Read } from './metric-kinds.js';
import { type MetricsSource } from './metrics.js';

/** Metrics of this replica's part in Raft. */
export function raftMetrics({ raft, raftStatus, group }: MetricsSource): ProbedMetric[] {
  const labels = ['group'] as const;
  const one = (read: () => number) => (): Sample[] => [{ labels: { group }, value: read() }];
  const status = (read: (status: RaftStatus) => number): Read => one(() => read(raftStatus()));
  const seconds = (read: () => number): Read => one(() => read() / 1000);
  return [
    gauge(
      'raftmq_raft_term',
      'Term of this replica.',
      status((now) => now.term),
      labels,
    ),
    gauge(
      'raftmq_raft_role',
      '1 for the role that this replica has.',
      () => roles(group, raftStatus()),
      ['group', 'role'],
    ),
    gauge(
      'raftmq_raft_leader',
      'Id of the leader, -1 = none known.',
      status((now) => now.leaderId ?? -1),
      labels,
    ),
    gauge(
      'raftmq_raft_writable',
      '1 while this replica leads and takes writes.',
      status((now) => (now.writable ? 1 : 0)),
      labels,
    ),
    gauge(
      'raftmq_raft_recovering',
      '1 while this replica has no full vote: forgetful after a power cut or disk error with ASYNC_FLUSH, lost-disk when new.',
      () => recovering(group, raftStatus()),
      ['group', 'kind'],
    ),
    gauge(
      'raftmq_raft_first_index',
      'First entry still held.',
      status((now) => now.firstIndex),
      labels,
    ),
    gauge(
      'raftmq_raft_last_index',
      'Last entry.',
      status((now) => now.lastIndex),
      labels,
    ),
    gauge(
      'raftmq_raft_commit_index',
      'Last entry known to be committed.',
      status((now) => now.commitIndex),
      labels,
    ),
    gauge(
      'raftmq_raft_applied_index',
      'Last entry applied.',
      status((now) => now.appliedIndex),
      labels,
    ),
    gauge(
      'raftmq_raft_queued_bytes',
      'Proposals that wait to be sealed.',
      status((now) => now.queuedBytes),
      labels,
    ),
    gauge(
      'raftmq_raft_follower_lag_entries',
      'Entries that a follower lacks, as its leader sees it.',
      () => followerLag(group, raftStatus()),
      ['group', 'peer'],
    ),
    counter(
      'raftmq_raft_entries_total',
      'Entries sealed as leader.',
      one(() => raft.sealedEntries),
      labels,
    ),
    counter(
      'raftmq_raft_records_total',
      'Records in those entries.',
      one(() => raft.sealedRecords),
      labels,
    ),
    counter(
      'raftmq_raft_entry_bytes_total',
      'Bytes of those entries, headers included.',
      one(() => raft.sealedBytes),
      labels,
    ),
    counter(
      'raftmq_raft_commit_seconds_total',
      'Time from sealing to answering, summed over settled entries.',
      seconds(() => raft.commitLatencySumMs),
      labels,
    ),
    counter(
      'raftmq_raft_settled_entries_total',
      'Entries in that sum.',
      one(() => raft.settledEntries),
      labels,
    ),
    counter(
      'raftmq_raft_elections_won_total',
      'Times this replica became leader.',
      one(() => raft.electionsWon),
      labels,
    ),
    counter(
      'raftmq_raft_elections_by_all_total',
      'Among them those after which acknowledged messages may be missing: too many replicas had lost power.',
      one(() => raft.electionsByAll),
      labels,
    ),
    counter(
      'raftmq_raft_campaigns_total',
      'Times this replica asked for pre-votes.',
      one(() => raft.campaigns),
      labels,
    ),
    counter(
      'raftmq_raft_leader_changes_total',
      'Changes of the known leader.',
      one(() => raft.leaderChanges),
      labels,
    ),
    counter(
      'raftmq_raft_stalls_total',
      'Times the event loop stood still for longer than stallMs.',
      one(() => raft.stalls),
      labels,
    ),
    counter(
      'raftmq_raft_rejected_total',
      'Proposals that were refused or lost, by reason.',
      () => rejected(group, raft),
      ['group', 'reason'],
    ),
  ];
}

/** Metrics of the log, the state and the disk below them. */
export function storeMetrics({ log, state, disk, group }: MetricsSource): ProbedMetric[] {
  const labels = ['group'] as const;
  const one = (read: () => number) => (): Sample[] => [{ labels: { group }, value: read() }];
  const { counters } = log;
  return [
    gauge(
      'raftmq_store_log_bytes',
      'Bytes of commit log held.',
      one(() => log.endPosition - log.firstPosition),
      labels,
    ),
    gauge(
      'raftmq_store_pending_bytes',
      'Bytes that wait to be written.',
      one(() => counters.pendingBytes),
      labels,
    ),
    counter(
      'raftmq_store_appended_bytes_total',
      'Bytes appended to the commit log, headers included.',
      one(() => counters.appendedBytes),
      labels,
    ),
    counter(
      'raftmq_store_writes_total',
      'Group commits.',
      one(() => counters.batches),
      labels,
    ),
    counter(
      'raftmq_store_fsync_total',
      'Calls of fdatasync on the commit log.',
      one(() => counters.syncs),
      labels,
    ),
    counter(
      'raftmq_store_fsync_seconds_total',
      'Time spent in them.',
      one(() => counters.syncMs / 1000),
      labels,
    ),
    counter(
      'raftmq_state_messages_total',
      'Messages applied since the start, replayed ones included.',
      one(() => state.messagesApplied),
      labels,
    ),
    counter(
      'raftmq_state_commands_total',
      'Commands applied since the start, replayed ones included.',
      one(() => state.commandsApplied),
      labels,
    ),
    counter(
      'raftmq_state_checkpoints_total',
      'Saves of the state.',
      one(() => state.checkpoints),
      labels,
    ),
    counter(
      'raftmq_state_checkpoints_early_total',
      'Saves of the state that were due to the number of changed rows (setting checkpointRowsMax).',
      one(() => state.checkpointsEarly),
      labels,
    ),
    gauge(
      'raftmq_disk_used_ratio',
      'Share of the data disk that is in use.',
      () => disk.usedPercent / 100,
    ),
    gauge('raftmq_disk_free_bytes', 'Bytes free on the data disk.', () => disk.freeBytes),
    gauge('raftmq_disk_refusing', '1 while sends are refused for lack of disk space.', () =>
      disk.refusing ? 1 : 0,
    ),
  ];
}

/** Metrics of sending and delivery; they count on the leader. */
export function deliveryMetrics(source: MetricsSource): ProbedMetric[] {
  const { messaging, waitingPolls, rememberedSends, lite, group } = source;
  const labels = ['group'] as const;
  const one = (read: () => number) => (): Sample[] => [{ labels: { group }, value: read() }];
  return [
    gauge(
      'raftmq_poll_waiting',
      'Receive calls that wait for messages.',
      one(waitingPolls),
      labels,
    ),
    gauge(
      'raftmq_lite_topics',
      'Lite topics of all topics.',
      one(() => lite().topics),
      labels,
    ),
    gauge(
      'raftmq_lite_clients',
      'Clients that subscribe to lite topics.',
      one(() => lite().clients),
      labels,
    ),
    counter(
      'raftmq_send_failed_total',
      'Send calls that were not committed, or with an unknown outcome.',
      one(() => messaging.sendsFailed),
      labels,
    ),
    counter(
      'raftmq_send_repeated_total',
      'Messages that were sent again and not stored again: their senders got the first place.',
      one(() => messaging.messagesRepeated),
      labels,
    ),
    gauge(
      'raftmq_send_remembered_ids',
      'Messages whose ids are remembered to notice repeated sends.',
      one(() => rememberedSends().count),
      labels,
    ),
    gauge(
      'raftmq_send_remembered_bytes',
      'Memory that they take.',
      one(() => rememberedSends().sizeBytes),
      labels,
    ),
    counter(
      'raftmq_delivery_messages_total',
      'Messages handed out.',
      one(() => messaging.messagesDelivered),
      labels,
    ),
    counter(
      'raftmq_delivery_redelivered_total',
      'Among them those handed out before.',
      one(() => messaging.messagesRedelivered),
      labels,
    ),
    counter(
      'raftmq_delivery_acked_total',
      'Messages acknowledged.',
      one(() => messaging.messagesAcked),
      labels,
    ),
    counter(
      'raftmq_delivery_stale_receipts_total',
      'Receipt handles refused as forged, foreign or expired.',
      one(() => messaging.staleReceipts),
      labels,
    ),
    counter(
      'raftmq_delivery_dead_letters_total',
      'Messages moved to dead-letter queues.',
      one(() => messaging.deadLetters),
      labels,
    ),
    counter(
      'raftmq_dead_letters_resent_total',
      'Dead letters sent again to where they came from.',
      one(() => messaging.deadLettersResent),
      labels,
    ),
    counter(
      'raftmq_messages_expired_total',
      'Messages not handed out to a group because their time to live was over.',
      one(() => messaging.messagesExpired),
      labels,
    ),
    counter(
      'raftmq_delivery_refused_total',
      'Polls refused at a limit.',
      one(() => messaging.receivesRefused),
      labels,
    ),
    counter(
      'raftmq_pull_messages_total',
      'Messages read by pull calls, without a lease.',
      one(() => messaging.messagesPulled),
      labels,
    ),
    counter(
      'raftmq_offset_updates_total',
      'Offsets committed by UpdateOffset.',
      one(() => messaging.offsetUpdates),
      labels,
    ),
    counter(
      'raftmq_offset_resets_total',
      'Times that a consumer group was put somewhere else.',
      one(() => messaging.offsetResets),
      labels,
    ),
    counter(
      'raftmq_delivery_renewed_total',
      'Leases prolonged for living clients.',
      one(() => messaging.leasesRenewed),
      labels,
    ),
  ];
}

function roles(group: string, status: RaftStatus): Sample[] {
  return (['follower', 'pre-candidate', 'candidate', 'leader'] as const).map((role) => ({
    labels: { group, role },
    value: status.role === role ? 1 : 0,
  }));
}

function recovering(group: string, status: RaftStatus): Sample[] {
  return (['forgetful', 'lost-disk'] as const).map((kind) => ({
    labels: { group, kind },
    value: status.recovery === kind ? 1 : 0,
  }));
}

function followerLag(group: string, status: RaftStatus): Sample[] {
  return status.peers.map((peer) => ({
    labels: { group, peer: String(peer.id) },
    value: Math.max(0, status.lastIndex - peer.matchIndex),
  }));
}

function rejected(group: string, raft: RaftProbe): Sample[] {
  const by = {
    'not-leader': raft.rejectedNotLeader,
    overloaded: raft.rejectedOverloaded,
    'no-quorum': raft.rejectedNoQuorum,
    lost: raft.rejectedLost,
    unknown: raft.rejectedUnknown,
  };
  return Object.entries(by).map(([reason, value]) => ({ labels: { group, reason }, value }));
}
