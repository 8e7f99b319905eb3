import { type ProbedMetric, type Sample } from '@raftmq/base';
import { statusCodeName } from '@raftmq/protocol';
import { type ConnectionProbe, type FrontDoorProbe } from '@raftmq/rpc';
import { type ClientRegistry } from '../telemetry/client-registry.js';
import { type EdgeProbe } from './edge-probe.js';
import { counter, gauge } from './metric-kinds.js';
import { type MetricsSource } from './metrics.js';

/** Metrics of what clients see: calls, connections, forwarding. */
export function edgeMetrics({
  edge,
  rpc,
  door,
  clientConnections,
  connections,
  registry,
  subscriptions,
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
    counter(
      'raftmq_rpc_connections_ended_total',
      'Connections refused or ended by this side, by reason.',
      () => connectionsEnded(door(), clientConnections),
      ['reason'],
    ),
    counter(
      'raftmq_rpc_calls_refused_total',
      'Calls that did not reach a method, by reason.',
      () => callsRefused(clientConnections),
      ['reason'],
    ),
    counter(
      'raftmq_rpc_calls_cancelled_total',
      'Calls that the client took back, or whose deadline passed.',
      () => [
        { labels: { reason: 'client' }, value: clientConnections.resetsReceived },
        { labels: { reason: 'deadline' }, value: clientConnections.deadlinesPassed },
      ],
      ['reason'],
    ),
    gauge(
      'raftmq_edge_clients',
      'Clients heard of lately, by the number of their type.',
      () => clientsByType(registry),
      ['type'],
    ),
    gauge(
      'raftmq_edge_divided_groups',
      'Consumer groups whose members subscribe differently, as far as this replica knows; "raftmq group describe" names them.',
      () => subscriptions.dividedGroups,
    ),
    counter(
      'raftmq_edge_subscription_mismatches_total',
      'Times a member of a consumer group was found to subscribe differently from another one.',
      () => subscriptions.mismatches,
    ),
    gauge('raftmq_edge_telemetry_streams', 'Open Telemetry streams.', () => registry.streams),
    counter(
      'raftmq_edge_settings_pushed_total',
      'Settings sent to consumers whose group had changed.',
      () => edge.settingsPushed,
    ),
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

/** Names that dashboards made for RocketMQ know; kept verbatim. */
export function compatibilityMetrics(source: MetricsSource): ProbedMetric[] {
  const { edge, cluster, nodeId } = source;
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
    gauge(
      'rocketmq_consumer_lag_messages',
      'Messages that a consumer group has not acknowledged yet; told by the leader.',
      () =>
        [...source.consumerLag()].map(({ group, topic, messages }) => ({
          labels: {
            cluster,
            node_type: 'broker',
            node_id: String(nodeId),
            consumer_group: group,
            topic,
          },
          value: messages,
        })),
      ['cluster', 'node_type', 'node_id', 'consumer_group', 'topic'],
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

function byReason(values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([reason, value]) => ({ labels: { reason }, value }));
}

function connectionsEnded(door: FrontDoorProbe | null, probe: ConnectionProbe): Sample[] {
  return byReason({
    over_limit: door?.refusedOverLimit ?? 0,
    unknown_protocol: door?.refusedProtocol ?? 0,
    protocol_error: probe.protocolErrors,
    flood: probe.floods,
    no_sign_of_life: probe.keepaliveTimeouts,
    idle: probe.idleClosed,
  });
}

function callsRefused(probe: ConnectionProbe): Sample[] {
  return byReason({
    malformed: probe.malformedCalls,
    too_many_calls: probe.refusedCalls,
    answers_not_read: probe.refusedSlowReader,
    unfinished_requests: probe.refusedMemory,
  });
}

function clientsByType(registry: ClientRegistry): Sample[] {
  return [...registry.countByType()].map(([type, value]) => ({
    labels: { type: String(type) },
    value,
  }));
}
