import { isIPv4, isIPv6 } from 'node:net';
import {
  acceptedMessageTypes,
  addressScheme,
  queuePermission,
  type Endpoints,
  type Resource,
  type RouteQueue,
} from '@raftmq/protocol';
import { type ReplicaAddress, type TopicGroup } from '../forward/group-directory.js';

/** Clients send to, and receive from, brokers with this id only. */
const MASTER_ID = 0;
/** Queue id of an assignment that stands for all queues of a broker. */
const ALL_QUEUES = -1;
/** Bits of TopicConfig.permission. */
export const READABLE = 4;
export const WRITABLE = 2;

/** A broker as clients see it. */
export interface ShownBroker {
  readonly name: string;
  readonly endpoints: Endpoints;
}

/**
 * The brokers that a group shows to a client. Any replica answers for any queue, the leader is only the shortest way, so
 * all of them are listed, the leader first:
 *
 * - literal addresses of one kind: one broker with several addresses;
 * - host names, or mixed kinds: one broker per replica with one address each, because the protocol allows a single
 *   address with the scheme DOMAIN_NAME. The leader's carries the group's name, the others' `<group>@<id>`.
 *
 * Every broker has id 0: clients send and receive at brokers with id 0 only.
 *
 * The Node.js SDK joins the addresses of a broker with commas into one target for its gRPC library, which takes several
 * plain addresses for a host name and fails; with the scheme in front of the first host it reads the list as it is meant,
 * and moves to the next address when one fails.
 */
export function groupBrokers(group: TopicGroup, nodeSdk: boolean): readonly ShownBroker[] {
  const replicas = leaderFirst(group);
  const hosts = replicas.map((replica) => replica.host);
  if (hosts.every((host) => isIPv4(host))) {
    return [
      {
        name: group.group,
        endpoints: {
          scheme: addressScheme.IPV4,
          addresses: addresses(replicas, nodeSdk ? 'ipv4' : null),
        },
      },
    ];
  }
  if (hosts.every((host) => isIPv6(host))) {
    return [
      {
        name: group.group,
        endpoints: {
          scheme: addressScheme.IPV6,
          addresses: addresses(replicas, nodeSdk ? 'ipv6' : null),
        },
      },
    ];
  }
  return replicas.map((replica, i) => ({
    name: i === 0 ? group.group : `${group.group}@${replica.nodeId}`,
    endpoints: {
      scheme: isIPv4(replica.host)
        ? addressScheme.IPV4
        : isIPv6(replica.host)
          ? addressScheme.IPV6
          : addressScheme.DOMAIN_NAME,
      addresses: addresses([replica], nodeSdk && isIPv6(replica.host) ? 'ipv6' : null),
    },
  }));
}

/** The group that a broker name of a route stands for: with or without `@id`. */
export function groupOfBrokerName(name: string): string {
  const at = name.indexOf('@');
  return at < 0 ? name : name.slice(0, at);
}

function addresses(
  replicas: readonly ReplicaAddress[],
  nodeScheme: 'ipv4' | 'ipv6' | null,
): { host: string; port: number }[] {
  return replicas.map((replica, i) => {
    const host = nodeScheme === 'ipv6' ? `[${replica.host}]` : replica.host;
    return {
      host: nodeScheme !== null && i === 0 ? `${nodeScheme}:${host}` : host,
      port: replica.port,
    };
  });
}

function leaderFirst(group: TopicGroup): readonly ReplicaAddress[] {
  const leader = group.replicas.find((replica) => replica.nodeId === group.leaderId);
  if (leader === undefined) return group.replicas;
  return [leader, ...group.replicas.filter((replica) => replica !== leader)];
}

/** All queues of a topic for QueryRoute; the topic is the client's own spelling. */
export function routeQueues(
  topic: Resource,
  groups: readonly TopicGroup[],
  nodeSdk: boolean,
): readonly RouteQueue[] {
  const queues: RouteQueue[] = [];
  for (const group of groups) {
    const acceptMessageTypes = acceptedMessageTypes(group.topic.type);
    for (const broker of groupBrokers(group, nodeSdk)) {
      for (let queueId = 0; queueId < group.topic.queues; queueId++) {
        queues.push(shownQueue(topic, group, broker, queueId, acceptMessageTypes));
      }
    }
  }
  return queues;
}

/**
 * The queues that every member of a consumer group polls. Which message goes to whom is decided at the poll, so all
 * members get the same list: one entry per broker, or with an ordered group one per queue.
 */
export function assignedQueues(
  topic: Resource,
  groups: readonly TopicGroup[],
  ordered: boolean,
  nodeSdk: boolean,
): readonly RouteQueue[] {
  const queues: RouteQueue[] = [];
  for (const group of groups) {
    if ((group.topic.permission & READABLE) === 0) continue;
    for (const broker of groupBrokers(group, nodeSdk)) {
      const fromId = ordered ? 0 : ALL_QUEUES;
      const endId = ordered ? group.topic.queues : ALL_QUEUES + 1;
      for (let queueId = fromId; queueId < endId; queueId++) {
        queues.push(shownQueue(topic, group, broker, queueId, []));
      }
    }
  }
  return queues;
}

function shownQueue(
  topic: Resource,
  group: TopicGroup,
  broker: ShownBroker,
  queueId: number,
  acceptMessageTypes: readonly number[],
): RouteQueue {
  return {
    topic,
    queueId,
    permission: wirePermission(group.topic.permission),
    brokerName: broker.name,
    brokerId: MASTER_ID,
    endpoints: broker.endpoints,
    acceptMessageTypes,
  };
}

function wirePermission(bits: number): number {
  const readable = (bits & READABLE) !== 0;
  const writable = (bits & WRITABLE) !== 0;
  if (readable && writable) return queuePermission.READ_WRITE;
  if (readable) return queuePermission.READ;
  return writable ? queuePermission.WRITE : queuePermission.NONE;
}
