import { type ProbedMetric } from '@raftmq/base';
import { type RpcServer } from '@raftmq/rpc';
import { type RouteTable } from './route-table.js';

/** Counters of a NameServer: plain fields, read at scrape. */
export interface NamesrvProbe {
  registrations: number;
  refusedRegistrations: number;
  expiredReplicas: number;
  topicQueries: number;
  clusterQueries: number;
}

/** All zero. */
export function newNamesrvProbe(): NamesrvProbe {
  return {
    registrations: 0,
    refusedRegistrations: 0,
    expiredReplicas: 0,
    topicQueries: 0,
    clusterQueries: 0,
  };
}

/** The full list of a NameServer's own metrics. */
export function namesrvMetrics(
  probe: NamesrvProbe,
  table: RouteTable,
  server: RpcServer,
): ProbedMetric[] {
  const counter = (name: string, help: string, read: () => number): ProbedMetric => ({
    name,
    help,
    kind: 'counter',
    read,
  });
  const gauge = (name: string, help: string, read: () => number): ProbedMetric => ({
    name,
    help,
    kind: 'gauge',
    read,
  });
  return [
    counter(
      'raftmq_namesrv_registrations_total',
      'Registrations received.',
      () => probe.registrations,
    ),
    counter(
      'raftmq_namesrv_registrations_refused_total',
      'Registrations not taken over.',
      () => probe.refusedRegistrations,
    ),
    counter(
      'raftmq_namesrv_replicas_expired_total',
      'Replicas dropped for their silence.',
      () => probe.expiredReplicas,
    ),
    counter(
      'raftmq_namesrv_topic_queries_total',
      'Route queries by topic.',
      () => probe.topicQueries,
    ),
    counter(
      'raftmq_namesrv_cluster_queries_total',
      'Queries for the whole cluster.',
      () => probe.clusterQueries,
    ),
    gauge('raftmq_namesrv_groups', 'Broker groups known.', () => table.groupCount),
    gauge('raftmq_namesrv_replicas', 'Replicas known.', () => table.replicaCount),
    gauge('raftmq_namesrv_topics', 'Topics known, counted per group.', () => table.topicCount),
    gauge('raftmq_namesrv_connections', 'Open connections.', () => server.connections),
  ];
}
