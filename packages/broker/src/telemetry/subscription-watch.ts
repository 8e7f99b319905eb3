import { LogGate, type Clock, type Logger } from '@raftmq/base';

/** One way in which members of a group subscribe to a topic. */
export interface SubscriptionChoice {
  /** Key of the filter; null = the topic is not among what these clients subscribe to. */
  readonly filter: string | null;
  readonly clientCount: number;
  /** Some of them. */
  readonly clientIds: readonly string[];
}

/** A topic to which members of one group subscribe in different ways. */
export interface SubscriptionConflict {
  readonly topic: string;
  /** At least two, the most common first. */
  readonly choices: readonly SubscriptionChoice[];
}

export interface SubscriptionWatchOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Members remembered; beyond, new ones are not compared. */
  readonly clientsMax: number;
  /** A member that only polls is forgotten when it did not poll for this long. */
  readonly expiryMs: number;
}

interface Member {
  readonly clientId: string;
  /** Key of the filter by topic. */
  readonly topics: Map<string, string>;
  /** The topics are all that it subscribes to: it said so in its Settings here. */
  declared: boolean;
  lastSeenMs: number;
}

interface Group {
  readonly members: Map<string, Member>;
  readonly gate: LogGate;
}

/** Topics remembered of one member. */
const TOPICS_MAX = 1_024;
const CLIENT_IDS_SHOWN_MAX = 5;
const FILTER_LOGGED_MAX = 500;
const WARNING_INTERVAL_MS = 60_000;

/**
 * Finds groups whose members do not subscribe to the same: what one member's filter passes over, the others never see,
 * and RocketMQ loses it without a word. Knows the Settings of clients with a stream to this replica, and, on the leader,
 * the filter of every receive call of the group, whichever replica took it. Nothing is refused: a new version of an
 * application that filters differently runs beside the old one for a while.
 */
export class SubscriptionWatch {
  /** Times a member was found that disagrees with another one. */
  mismatches = 0;
  readonly #options: SubscriptionWatchOptions;
  readonly #groups = new Map<string, Group>();
  /** Groups in which members disagreed when one of them was last looked at. */
  readonly #divided = new Set<string>();
  #size = 0;

  constructor(options: SubscriptionWatchOptions) {
    this.#options = options;
  }

  /** Members remembered. */
  get size(): number {
    return this.#size;
  }

  /** Groups whose members disagree now. */
  get dividedGroups(): number {
    for (const group of [...this.#divided]) this.conflicts(group);
    return this.#divided.size;
  }

  /** A client said what it subscribes to: the key of the filter by topic. */
  declared(clientId: string, group: string, topics: ReadonlyMap<string, string>): void {
    const member = this.#member(clientId, group);
    if (member === null) return;
    member.declared = true;
    const before = new Map(member.topics);
    member.topics.clear();
    for (const [topic, filter] of topics) {
      if (member.topics.size < TOPICS_MAX) member.topics.set(topic, filter);
    }
    if (!sameTopics(before, member.topics)) this.#compare(group, member, [...topics.keys()]);
  }

  /** A client received with this filter. Cheap while nothing changes. */
  used(clientId: string, group: string, topic: string, filter: string): void {
    const member = this.#member(clientId, group);
    if (member === null || member.topics.get(topic) === filter) return;
    if (!member.topics.has(topic) && member.topics.size >= TOPICS_MAX) return;
    member.topics.set(topic, filter);
    this.#compare(group, member, [topic]);
  }

  /** A client said goodbye or was not heard of for too long. */
  gone(clientId: string, group: string): void {
    this.#forget(clientId, group);
  }

  /** What members of a group disagree about now, by topic. */
  conflicts(group: string): readonly SubscriptionConflict[] {
    this.#dropSilent(group);
    const members = [...(this.#groups.get(group)?.members.values() ?? [])];
    const topics = new Set(members.flatMap((member) => [...member.topics.keys()]));
    const conflicts: SubscriptionConflict[] = [];
    for (const topic of [...topics].sort()) {
      const choices = choicesOf(members, topic);
      if (choices.length > 1) conflicts.push({ topic, choices });
    }
    if (conflicts.length > 0) this.#divided.add(group);
    else this.#divided.delete(group);
    return conflicts;
  }

  /** null when there is no room for one more. */
  #member(clientId: string, groupName: string): Member | null {
    const nowMs = this.#options.clock.monotonicMs();
    let group = this.#groups.get(groupName);
    let member = group?.members.get(clientId);
    if (member === undefined) {
      if (this.#size >= this.#options.clientsMax) this.#dropAllSilent();
      if (this.#size >= this.#options.clientsMax) return null;
      if (group === undefined) {
        group = { members: new Map(), gate: new LogGate(WARNING_INTERVAL_MS) };
        this.#groups.set(groupName, group);
      }
      member = { clientId, topics: new Map(), declared: false, lastSeenMs: nowMs };
      group.members.set(clientId, member);
      this.#size++;
    }
    member.lastSeenMs = nowMs;
    return member;
  }

  /** Looks for another member that disagrees about one of the topics. */
  #compare(groupName: string, member: Member, topics: readonly string[]): void {
    this.#dropSilent(groupName);
    const group = this.#groups.get(groupName);
    for (const other of group?.members.values() ?? []) {
      if (other === member) continue;
      const topic =
        topics.find((name) => disagree(member, other, name)) ??
        (member.declared
          ? [...other.topics.keys()].find((n) => disagree(member, other, n))
          : undefined);
      if (topic === undefined) continue;
      this.mismatches++;
      this.#divided.add(groupName);
      this.#warn(groupName, group!.gate, topic, member, other);
      return;
    }
  }

  #warn(group: string, gate: LogGate, topic: string, member: Member, other: Member): void {
    const suppressed = gate.pass(this.#options.clock.monotonicMs());
    if (suppressed === null) return;
    this.#options.logger.warn(
      {
        group,
        topic,
        clientId: member.clientId,
        filter: shown(member.topics.get(topic)),
        otherClientId: other.clientId,
        otherFilter: shown(other.topics.get(topic)),
        suppressed,
      },
      'members of a consumer group subscribe differently: each loses what the other passes over; ' +
        'give them the same topics and filters, or groups of their own',
    );
  }

  #forget(clientId: string, groupName: string): void {
    const group = this.#groups.get(groupName);
    if (group?.members.delete(clientId) !== true) return;
    this.#size--;
    if (group.members.size > 0) return;
    this.#groups.delete(groupName);
    this.#divided.delete(groupName);
  }

  #dropSilent(groupName: string): void {
    const oldestMs = this.#options.clock.monotonicMs() - this.#options.expiryMs;
    for (const member of this.#groups.get(groupName)?.members.values() ?? []) {
      if (!member.declared && member.lastSeenMs < oldestMs)
        this.#forget(member.clientId, groupName);
    }
  }

  #dropAllSilent(): void {
    for (const group of [...this.#groups.keys()]) this.#dropSilent(group);
  }
}

/** For a line of the log. */
function shown(filter: string | undefined): string {
  if (filter === undefined) return 'not subscribed';
  return filter.length > FILTER_LOGGED_MAX ? `${filter.slice(0, FILTER_LOGGED_MAX)}…` : filter;
}

/** Both said something about the topic, and not the same. */
function disagree(a: Member, b: Member, topic: string): boolean {
  const filterA = choiceOf(a, topic);
  const filterB = choiceOf(b, topic);
  return filterA !== undefined && filterB !== undefined && filterA !== filterB;
}

/** undefined when nothing is known, null when the member does not subscribe to the topic. */
function choiceOf(member: Member, topic: string): string | null | undefined {
  return member.topics.get(topic) ?? (member.declared ? null : undefined);
}

function choicesOf(members: readonly Member[], topic: string): SubscriptionChoice[] {
  const clients = new Map<string | null, string[]>();
  for (const member of members) {
    const filter = choiceOf(member, topic);
    if (filter === undefined) continue;
    const ids = clients.get(filter);
    if (ids === undefined) clients.set(filter, [member.clientId]);
    else ids.push(member.clientId);
  }
  return [...clients]
    .map(([filter, ids]) => ({
      filter,
      clientCount: ids.length,
      clientIds: ids.slice(0, CLIENT_IDS_SHOWN_MAX),
    }))
    .sort((a, b) => b.clientCount - a.clientCount);
}

function sameTopics(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([topic, filter]) => b.get(topic) === filter);
}
