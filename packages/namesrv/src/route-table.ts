import {
  type BrokerRegistration,
  type GroupRoute,
  type RegistrationAck,
  type RouteTopic,
} from '@raftmq/protocol';
import { faultOf, type RegistrationLimits } from './registration-check.js';

/** Stands for one open Register stream; compared by identity. */
export type StreamToken = object;

interface ReplicaRecord {
  /** Without its topics, which `topics` has. */
  registration: BrokerRegistration;
  topics: readonly RouteTopic[];
  topicsVersion: number;
  stream: StreamToken;
  seenMs: number;
}

interface GroupRecord {
  readonly cluster: string;
  readonly group: string;
  /** Highest term that any replica told of, and the leader first named in it; -1 = none named yet. */
  term: number;
  leaderId: number;
  /** Of the leader with the newest list. Kept while the group elects. */
  topicsVersion: number;
  topics: ReadonlyMap<string, RouteTopic>;
  readonly replicas: Map<number, ReplicaRecord>;
}

/**
 * Who is where: all groups, replicas and topics that brokers registered. A function of its inputs; the caller passes
 * the time and says when streams close.
 *
 * The rules: an older term never overwrites the leader of a newer one; a registration of an older start of a process
 * never replaces one of a newer start; only the leader's list of topics enters the routes, and never an older one; a
 * closed stream removes its replica at once, silence removes it in `expire`. A group without replicas is forgotten.
 */
export class RouteTable {
  readonly #limits: RegistrationLimits;
  readonly #groups = new Map<string, GroupRecord>();

  constructor(limits: RegistrationLimits) {
    this.#limits = limits;
  }

  get groupCount(): number {
    return this.#groups.size;
  }

  get replicaCount(): number {
    let count = 0;
    for (const group of this.#groups.values()) count += group.replicas.size;
    return count;
  }

  get topicCount(): number {
    let count = 0;
    for (const group of this.#groups.values()) count += group.topics.size;
    return count;
  }

  /**
   * Takes over what a replica says about itself.
   * @param stream the Register stream that it came on
   * @param nowMs monotonic
   */
  register(registration: BrokerRegistration, stream: StreamToken, nowMs: number): RegistrationAck {
    const fault = faultOf(registration, this.#limits);
    if (fault !== null) return refused(fault);
    const key = `${registration.cluster}\n${registration.group}`;
    const group = this.#groups.get(key) ?? newGroup(registration);
    const before = group.replicas.get(registration.nodeId);
    if (before !== undefined && before.registration.startedAtMs > registration.startedAtMs) {
      return refused(
        `node ${registration.nodeId} of ${registration.group} was registered by a newer start: stop the older process`,
      );
    }
    const topics = topicsOf(registration, before, stream);
    if (topics === null)
      return refused('send the list of topics: this NameServer does not have that version');
    if (!this.#groups.has(key)) {
      if (this.#groups.size >= this.#limits.groupsMax)
        return refused(`there are ${this.#groups.size} groups, the NameServer's groupsMax`);
      this.#groups.set(key, group);
    }
    const { topicsVersion, nodeId } = registration;
    group.replicas.set(nodeId, {
      registration: { ...registration, topics: [] },
      topics,
      topicsVersion,
      stream,
      seenMs: nowMs,
    });
    takeLeader(group, registration);
    takeTopics(group);
    return { topicsVersion, refused: '' };
  }

  /** Forgets what came on a stream that closed; a replica that registered on a newer stream meanwhile stays. */
  streamClosed(stream: StreamToken): void {
    this.#removeReplicas((replica) => replica.stream === stream);
  }

  /**
   * Removes replicas that were silent for `silenceMs`.
   * @returns how many
   */
  expire(nowMs: number, silenceMs: number): number {
    return this.#removeReplicas((replica) => nowMs - replica.seenMs >= silenceMs);
  }

  /** All groups that have the topic, in order of their names. */
  topicRoute(topic: string, nowMs: number): GroupRoute[] {
    const routes: GroupRoute[] = [];
    for (const group of this.#sorted()) {
      const entry = group.topics.get(topic);
      if (entry !== undefined) routes.push(routeOf(group, entry, nowMs));
    }
    return routes;
  }

  /** All groups, in order of their names. */
  cluster(nowMs: number): GroupRoute[] {
    return this.#sorted().map((group) => routeOf(group, null, nowMs));
  }

  #sorted(): GroupRecord[] {
    return [...this.#groups.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, group]) => group);
  }

  #removeReplicas(gone: (replica: ReplicaRecord) => boolean): number {
    let removed = 0;
    for (const [key, group] of this.#groups) {
      for (const [nodeId, replica] of group.replicas) {
        if (!gone(replica)) continue;
        group.replicas.delete(nodeId);
        removed++;
      }
      if (group.replicas.size === 0) this.#groups.delete(key);
    }
    return removed;
  }
}

function newGroup({ cluster, group }: BrokerRegistration): GroupRecord {
  return {
    cluster,
    group,
    term: 0,
    leaderId: -1,
    topicsVersion: -1,
    topics: new Map(),
    replicas: new Map(),
  };
}

function refused(reason: string): RegistrationAck {
  return { topicsVersion: 0, refused: reason };
}

/** The topics that a registration stands for; null when it refers to a list that did not come on this stream. */
function topicsOf(
  registration: BrokerRegistration,
  before: ReplicaRecord | undefined,
  stream: StreamToken,
): readonly RouteTopic[] | null {
  if (!registration.topicsUnchanged) return registration.topics;
  if (before?.stream !== stream || before.topicsVersion !== registration.topicsVersion) return null;
  return before.topics;
}

function takeLeader(group: GroupRecord, { term, leaderId }: BrokerRegistration): void {
  if (term > group.term) {
    group.term = term;
    group.leaderId = leaderId;
  } else if (term === group.term && group.leaderId === -1) {
    group.leaderId = leaderId;
  }
}

/** Takes the list of the present leader, which may have come before it was known to lead. */
function takeTopics(group: GroupRecord): void {
  const leader = group.replicas.get(group.leaderId);
  if (leader === undefined || leader.registration.term !== group.term) return;
  if (leader.topicsVersion <= group.topicsVersion) return;
  group.topicsVersion = leader.topicsVersion;
  group.topics = new Map(leader.topics.map((topic) => [topic.name, topic]));
}

/** The leader's replica first, then by number. A leader that is not registered is none. */
function routeOf(group: GroupRecord, topic: RouteTopic | null, nowMs: number): GroupRoute {
  const leaderId = group.replicas.has(group.leaderId) ? group.leaderId : -1;
  const replicas = [...group.replicas.values()]
    .map(({ registration, seenMs }) => ({
      nodeId: registration.nodeId,
      grpcAddress: registration.grpcAddress,
      remotingAddress: registration.remotingAddress,
      metricsAddress: registration.metricsAddress,
      raftAddress: registration.raftAddress,
      ageMs: Math.max(0, Math.round(nowMs - seenMs)),
    }))
    .sort(
      (a, b) =>
        Number(b.nodeId === leaderId) - Number(a.nodeId === leaderId) || a.nodeId - b.nodeId,
    );
  return {
    cluster: group.cluster,
    group: group.group,
    term: group.term,
    leaderId,
    replicas,
    topic,
  };
}
