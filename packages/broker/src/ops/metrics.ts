import { type ProbedMetric, type Sample } from '@raftmq/base';
import { statusCodeName } from '@raftmq/protocol';
import { type RaftProbe, type RaftStatus } from '@raftmq/raft';
import { type RpcServerProbe } from '@raftmq/rpc';
import { type MessagingProbe } from '../messaging-service/probe.js';
import { type StateProbe } from '../state/probe.js';
import { type ClientRegistry } from '../telemetry/client-registry.js';
import { type DiskWatermark } from './disk-watermark.js';
import { type EdgeProbe } from './edge-probe.js';

/** Everything that metrics are read from; all plain fields. */
export interface MetricsSource {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: number;
  readonly edge: EdgeProbe;
  readonly rpc: RpcServerProbe;
  readonly connections: () => number;
  readonly registry: ClientRegistry;
  readonly forwarding: () => number;
  readonly disk: DiskWatermark;
  readonly raft: RaftProbe;
  readonly raftStatus: () => RaftStatus;
  readonly state: StateProbe;
  readonly messaging: MessagingProbe;
  readonly waitingPolls: () => number;
  readonly log: {
    readonly firstPosition: number;
    readonly endPosition: number;
    readonly counters: {
      readonly appendedBytes: number;
      readonly batches: number;
      readonly syncs: number;
      readonly syncMs: number;
      readonly pendingBytes: number;
    };
  };
  readonly ready: () => boolean;
}

type Read = ProbedMetric['read'];

const counter = (
  name: string,
  help: string,
  read: Read,
  labels: readonly string[] = [],
): ProbedMetric => ({
  name,
  help,
  kind: 'counter',
  labels,
  read,
});
const gauge = (
  name: string,
  help: string,
  read: Read,
  labels: readonly string[] = [],
): ProbedMetric => ({
  name,
  help,
  kind: 'gauge',
  labels,
  read,
});

/** All metrics of a broker. Rates, shares and means are for the one who reads them to compute. */
export function brokerMetrics(source: MetricsSource): readonly ProbedMetric[] {
  return [
    ...edgeMetrics(source),
    ...raftMetrics(source),
    ...storeMetrics(source),
    ...deliveryMetrics(source),
    ...compatibilityMetrics(source),
  ];
}

function edgeMetrics({
  edge,
  rpc,
  connections,
  registry,
  forwarding,
  ready,
}: MetricsSource): ProbedMetric[] {
  return [
    counter(
      'raftmq_rpc_requests_total',
      'Answered calls by method and RocketMQ status code.',
      () => callsByCode(edge),
      ['method', 'code'],
    ),
    counter(
      'raftmq_rpc_request_seconds_total',
      'Time from arrival to answer, long polls included.',
      () => secondsByMethod(edge),
      ['method'],
    ),
    counter(
      'raftmq_rpc_failed_calls_total',
      'Calls that ended with a gRPC status other than OK.',
      () => rpc.callsFailed,
    ),
    counter(
      'raftmq_rpc_unexpected_errors_total',
      'Failures that no rule foresaw; each is in the log.',
      () => edge.unexpectedErrors + rpc.foreignErrors,
    ),
    gauge('raftmq_rpc_connections', 'Open client connections.', connections),
    gauge(
      'raftmq_edge_clients',
      'Clients heard of lately, by the number of their type.',
      () => clientsByType(registry),
      ['type'],
    ),
    gauge('raftmq_edge_telemetry_streams', 'Open Telemetry streams.', () => registry.streams),
    counter(
      'raftmq_edge_telemetry_ignored_total',
      'Telemetry commands without a meaning here.',
      () => edge.telemetryIgnored,
    ),
    counter(
      'raftmq_edge_telemetry_refused_total',
      'Telemetry streams ended for what the client sent.',
      () => edge.telemetryRefused,
    ),
    counter(
      'raftmq_edge_receive_aborted_total',
      'Deliveries given back because the client had gone.',
      () => edge.receiveAborted,
    ),
    counter('raftmq_forward_requests_total', 'Requests sent on to a leader.', () => edge.forwarded),
    counter(
      'raftmq_forward_held_total',
      'Requests that had to wait for a leader.',
      () => edge.forwardHeld,
    ),
    counter(
      'raftmq_forward_retries_total',
      'Further attempts of such requests.',
      () => edge.forwardRetries,
    ),
    counter(
      'raftmq_forward_refused_total',
      'Requests refused because too many wait already.',
      () => edge.forwardRefused,
    ),
    gauge(
      'raftmq_forward_in_flight',
      'Requests at other replicas or waiting for a leader.',
      forwarding,
    ),
    gauge('raftmq_ready', '1 while /readyz says ready.', () => (ready() ? 1 : 0)),
  ];
}

function raftMetrics({ raft, raftStatus, group }: MetricsSource): ProbedMetric[] {
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

function storeMetrics({ log, state, disk, group }: MetricsSource): ProbedMetric[] {
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

function deliveryMetrics({ messaging, waitingPolls, group }: MetricsSource): ProbedMetric[] {
  const labels = ['group'] as const;
  const one = (read: () => number) => (): Sample[] => [{ labels: { group }, value: read() }];
  return [
    gauge(
      'raftmq_poll_waiting',
      'Receive calls that wait for messages.',
      one(waitingPolls),
      labels,
    ),
    counter(
      'raftmq_send_failed_total',
      'Send calls that were not committed, or with an unknown outcome.',
      one(() => messaging.sendsFailed),
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
      'raftmq_delivery_refused_total',
      'Polls refused at a limit.',
      one(() => messaging.receivesRefused),
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

/** Names that dashboards made for RocketMQ know; kept verbatim. */
function compatibilityMetrics({ edge, cluster, nodeId }: MetricsSource): ProbedMetric[] {
  const labels = ['cluster', 'node_type', 'node_id', 'topic'] as const;
  const byTopic = (counts: ReadonlyMap<string, number>): Sample[] =>
    [...counts].map(([topic, value]) => ({
      labels: { cluster, node_type: 'broker', node_id: String(nodeId), topic },
      value,
    }));
  return [
    counter(
      'rocketmq_messages_in_total',
      'Messages taken in.',
      () => byTopic(edge.inByTopic),
      labels,
    ),
    counter(
      'rocketmq_messages_out_total',
      'Messages handed out.',
      () => byTopic(edge.outByTopic),
      labels,
    ),
    counter(
      'rocketmq_throughput_in_total',
      'Bytes of bodies taken in.',
      () => edge.messagesInBytes,
    ),
    counter(
      'rocketmq_throughput_out_total',
      'Bytes of bodies handed out.',
      () => edge.messagesOutBytes,
    ),
  ];
}

function callsByCode(edge: EdgeProbe): Sample[] {
  const samples: Sample[] = [];
  for (const { method, byCode } of edge.methods.values()) {
    for (const [code, value] of byCode) {
      samples.push({ labels: { method, code: statusCodeName(code) ?? String(code) }, value });
    }
  }
  return samples;
}

function secondsByMethod(edge: EdgeProbe): Sample[] {
  return [...edge.methods.values()].map(({ method, totalMs }) => ({
    labels: { method },
    value: totalMs / 1000,
  }));
}

function clientsByType(registry: ClientRegistry): Sample[] {
  return [...registry.countByType()].map(([type, value]) => ({
    labels: { type: String(type) },
    value,
  }));
}

function roles(group: string, status: RaftStatus): Sample[] {
  return (['follower', 'pre-candidate', 'candidate', 'leader'] as const).map((role) => ({
    labels: { group, role },
    value: status.role === role ? 1 : 0,
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
