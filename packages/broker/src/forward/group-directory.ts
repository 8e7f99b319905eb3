import { errorText, type Clock, type Logger } from '@raftmq/base';
import { parseTopicType, type TopicType } from '@raftmq/protocol';
import { type RoleStatus } from '@raftmq/raft';
import { splitHostPort } from '../config.js';
import { type TopicConfig } from '../messaging.js';

/** Where one replica answers clients. */
export interface ReplicaAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** A broker group as far as one topic is concerned. */
export interface TopicGroup {
  readonly group: string;
  /** The leader, or the last one known. */
  readonly leaderId: number | null;
  /** Ascending by id, at least one. */
  readonly replicas: readonly ReplicaAddress[];
  readonly topic: TopicConfig;
}

/** A route as the NameServer gives it; the part that is needed here. */
export interface RemoteGroupRoute {
  readonly group: string;
  readonly leaderId: number;
  readonly replicas: readonly { readonly nodeId: number; readonly grpcAddress: string }[];
  readonly topic: {
    readonly name: string;
    readonly type: string;
    readonly readQueues: number;
    readonly writeQueues: number;
    readonly permission: number;
  } | null;
}

/** Asks a NameServer; rejects when none answers. */
export type RouteLookup = (topic: string) => Promise<readonly RemoteGroupRoute[]>;

export interface GroupDirectoryOptions {
  readonly ownGroup: string;
  readonly role: () => RoleStatus;
  /** All replicas of this group, ascending by id; at least this one. */
  readonly ownReplicas: () => readonly ReplicaAddress[];
  readonly ownTopic: (topic: string) => TopicConfig | null;
  /** null without NameServers: then this group is the whole cluster. */
  readonly lookup: RouteLookup | null;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly cacheMs: number;
}

interface CachedRoute {
  groups: readonly TopicGroup[];
  fetchedAtMs: number;
  pending: Promise<void> | null;
}

const CACHED_TOPICS_MAX = 10_000;
/** A topic that nobody has is asked for again soon: it may just be under creation. */
const UNKNOWN_TOPIC_CACHE_MS = 250;
const GROUP_REFRESH_PAUSE_MS = 200;

/** Which groups there are, who leads them, and which topics they have: this group from its own state, others by asking. */
export class GroupDirectory {
  readonly #options: GroupDirectoryOptions;
  readonly #routes = new Map<string, CachedRoute>();
  /** Other groups as last seen, with a topic to ask for when their leader has to be found anew. */
  readonly #others = new Map<string, TopicGroup>();
  readonly #refreshedAtMs = new Map<string, number>();
  #lastLeaderId: number | null = null;

  constructor(options: GroupDirectoryOptions) {
    this.#options = options;
  }

  /** gRPC address of a group's leader; null while none is known. */
  leaderAddress(group: string): string | null {
    if (group === this.#options.ownGroup) {
      const { leaderId } = this.#options.role();
      return addressOf(this.#options.ownReplicas(), leaderId);
    }
    const other = this.#others.get(group);
    return other === undefined ? null : addressOf(other.replicas, other.leaderId);
  }

  /** A call to this group's leader failed: asks for its present leader, in the background. */
  suspect(group: string): void {
    const other = this.#others.get(group);
    if (other === undefined) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - (this.#refreshedAtMs.get(group) ?? -Infinity) < GROUP_REFRESH_PAUSE_MS) return;
    this.#refreshedAtMs.set(group, nowMs);
    void this.#refresh(other.topic.name);
  }

  /** Whether the name is that of a group that could be asked: this one, or one that a NameServer told of. */
  knows(group: string): boolean {
    return group === this.#options.ownGroup || this.#others.has(group);
  }

  /** This group's view of a topic of its own; null when it has no such topic. */
  own(topicName: string): TopicGroup | null {
    const topic = this.#options.ownTopic(topicName);
    if (topic === null) return null;
    this.#lastLeaderId = this.#options.role().leaderId ?? this.#lastLeaderId;
    return {
      group: this.#options.ownGroup,
      leaderId: this.#lastLeaderId,
      replicas: this.#options.ownReplicas(),
      topic,
    };
  }

  /**
   * All groups that have the topic, ascending by name; none when it is unknown. Other groups come from a cache that is
   * refreshed in the background; only a topic asked for the first time waits for the NameServer.
   */
  async groupsOf(topicName: string): Promise<readonly TopicGroup[]> {
    const own = this.own(topicName);
    if (this.#options.lookup === null) return own === null ? [] : [own];
    const others = await this.#othersOf(topicName, own !== null);
    const groups = own === null ? others : [...others, own];
    return groups.length < 2 ? groups : [...groups].sort((a, b) => (a.group < b.group ? -1 : 1));
  }

  async #othersOf(topicName: string, hasOwn: boolean): Promise<readonly TopicGroup[]> {
    const nowMs = this.#options.clock.monotonicMs();
    const cached = this.#routes.get(topicName);
    if (cached === undefined) {
      await this.#refresh(topicName);
      return this.#routes.get(topicName)?.groups ?? [];
    }
    const ageMs = nowMs - cached.fetchedAtMs;
    const unknown = cached.groups.length === 0 && !hasOwn;
    if (unknown && ageMs > UNKNOWN_TOPIC_CACHE_MS) {
      await this.#refresh(topicName);
      return this.#routes.get(topicName)?.groups ?? [];
    }
    if (ageMs > this.#options.cacheMs) void this.#refresh(topicName);
    return cached.groups;
  }

  #refresh(topicName: string): Promise<void> {
    const { lookup, clock, logger } = this.#options;
    if (lookup === null) return Promise.resolve();
    const cached = this.#routes.get(topicName);
    if (cached !== undefined && cached.pending !== null) return cached.pending;
    const entry: CachedRoute = cached ?? { groups: [], fetchedAtMs: 0, pending: null };
    if (cached === undefined) {
      if (this.#routes.size >= CACHED_TOPICS_MAX) this.#dropOldest();
      this.#routes.set(topicName, entry);
    }
    entry.pending = lookup(topicName)
      .then((routes) => {
        entry.groups = routes
          .map((route) => toTopicGroup(route))
          .filter((group) => group !== null)
          .filter((group) => group.group !== this.#options.ownGroup);
        for (const group of entry.groups) this.#others.set(group.group, group);
      })
      .catch((error: unknown) => {
        // Old routes stay in use: a cluster lives on without its NameServers.
        logger.debug({ topic: topicName, error: errorText(error) }, 'route lookup failed');
      })
      .finally(() => {
        entry.fetchedAtMs = clock.monotonicMs();
        entry.pending = null;
      });
    return entry.pending;
  }

  #dropOldest(): void {
    const oldest = this.#routes.keys().next();
    if (oldest.done !== true) this.#routes.delete(oldest.value);
  }
}

function addressOf(replicas: readonly ReplicaAddress[], nodeId: number | null): string | null {
  if (nodeId === null) return null;
  const replica = replicas.find((candidate) => candidate.nodeId === nodeId);
  if (replica === undefined) return null;
  return replica.host.includes(':')
    ? `[${replica.host}]:${replica.port}`
    : `${replica.host}:${replica.port}`;
}

function toTopicGroup(route: RemoteGroupRoute): TopicGroup | null {
  const { topic } = route;
  const type: TopicType | null = topic === null ? null : parseTopicType(topic.type);
  if (topic === null || type === null) return null;
  const replicas: ReplicaAddress[] = [];
  for (const replica of route.replicas) {
    const address = splitHostPort(replica.grpcAddress);
    if (address !== null) replicas.push({ nodeId: replica.nodeId, ...address });
  }
  if (replicas.length === 0) return null;
  return {
    group: route.group,
    leaderId: route.leaderId < 0 ? null : route.leaderId,
    replicas: replicas.sort((a, b) => a.nodeId - b.nodeId),
    topic: {
      name: topic.name,
      type,
      queues: Math.max(topic.readQueues, topic.writeQueues),
      permission: topic.permission,
    },
  };
}
