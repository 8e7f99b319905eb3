import { type BrokerRegistration } from '@raftmq/protocol';
import { type GroupAddresses } from './addresses.js';
import { joinHostPort } from './config.js';
import { type Messaging } from './messaging.js';
import { type BrokerSettings } from './settings.js';

export interface RegistrationSource {
  readonly settings: BrokerSettings;
  readonly addresses: GroupAddresses;
  readonly messaging: Messaging;
  readonly startedAtMs: number;
  readonly metricsPort: number;
  /** Comparable between replicas. */
  readonly topicsVersion: number;
}

/** What this replica tells NameServers about itself now. */
export function brokerRegistration(source: RegistrationSource): BrokerRegistration {
  const { settings, addresses, messaging } = source;
  const { cluster, group, nodeId, remotingPort } = settings;
  const { term, leaderId } = messaging.role;
  const { host, port } = addresses.own;
  return {
    cluster,
    group,
    nodeId,
    startedAtMs: source.startedAtMs,
    grpcAddress: joinHostPort(host, port),
    remotingAddress: joinHostPort(host, remotingPort),
    metricsAddress: joinHostPort(host, source.metricsPort),
    raftAddress: addresses.raft(nodeId),
    term,
    leaderId: leaderId ?? -1,
    topicsVersion: source.topicsVersion,
    topics: [...messaging.topics()].map(({ name, type, queues, permission }) => ({
      name,
      type,
      readQueues: queues,
      writeQueues: queues,
      permission,
    })),
    topicsUnchanged: false,
  };
}
