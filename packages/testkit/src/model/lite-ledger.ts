import { isMqError } from '@raftmq/base';
import { type Command } from '@raftmq/broker/internal';
import { type LoggedMessage } from './log-referee.js';
import { type LedgerEntry, type Violate } from './timer-ledger.js';

/** Ids of lite topics begin here (`docs/formats/commands.md`), so that none is the number of a queue. */
const FIRST_ID = 1_048_576;

/** What lies below one name, from its first mention on until it is forgotten. */
export interface LoggedLiteTopic {
  readonly id: number;
  readonly name: string;
  readonly messages: LoggedMessage[];
  /** Time of its newest message, or its own. */
  lastMs: number;
}

interface LiteParent {
  nextId: number;
  readonly byId: Map<number, LoggedLiteTopic>;
  /** Names by `<group>/<client id>`. */
  readonly clients: Map<string, Set<string>>;
}

type CommandOf<K extends Command['kind']> = Extract<Command, { readonly kind: K }>;

/** Every lite topic of the log, with its messages, and who takes from it. */
export class LiteLedger {
  readonly #violate: Violate;
  readonly #parents = new Map<string, LiteParent>();

  constructor(violate: Violate) {
    this.#violate = violate;
  }

  /** Lite topics of a topic, oldest first. */
  topics(topic: string): Iterable<LoggedLiteTopic> {
    return this.#parents.get(topic)?.byId.values() ?? [];
  }

  byId(topic: string, id: number): LoggedLiteTopic | null {
    return this.#parents.get(topic)?.byId.get(id) ?? null;
  }

  byName(topic: string, name: string): LoggedLiteTopic | null {
    for (const lite of this.topics(topic)) if (lite.name === name) return lite;
    return null;
  }

  /** The names that a client takes from. */
  subscriptions(topic: string, group: string, clientId: string): ReadonlySet<string> {
    return this.#parents.get(topic)?.clients.get(`${group}/${clientId}`) ?? new Set();
  }

  topicPut(topic: string): void {
    if (!this.#parents.has(topic))
      this.#parents.set(topic, { nextId: FIRST_ID, byId: new Map(), clients: new Map() });
  }

  topicDeleted(topic: string): void {
    this.#parents.delete(topic);
  }

  groupDeleted(group: string): void {
    for (const { clients } of this.#parents.values()) {
      for (const key of [...clients.keys()]) if (key.startsWith(`${group}/`)) clients.delete(key);
    }
  }

  /** A message of a topic of type LITE. All messages of a name lie in one queue. */
  stored(message: LoggedMessage): void {
    const parent = this.#parents.get(message.topic)!;
    const name = message.liteTopic;
    if (name === null) return;
    const lite = this.byName(message.topic, name) ?? open(parent, name);
    const [first] = lite.messages;
    if (first !== undefined && first.queueId !== message.queueId)
      this.#violate(
        'lite-one-queue',
        `${message.messageId} of ${name} lies in queue ${message.queueId}, others in ${first.queueId}`,
      );
    lite.messages.push(message);
    lite.lastMs = message.storeTimestampMs;
  }

  /** @returns the lite topics where the group begins somewhere else than at the first message */
  subscribed(
    entry: LedgerEntry,
    command: CommandOf<'lite-subscribe'>,
    groupExists: boolean,
    result: unknown,
  ): readonly { readonly id: number; readonly offset: number }[] {
    const { topic, group, clientId, names } = command;
    const parent = this.#parents.get(topic);
    const key = `${group}/${clientId}`;
    const before = parent?.clients.get(key) ?? new Set<string>();
    const after = changed(before, command);
    const known = new Set([...this.topics(topic)].map(({ name }) => name));
    const missing = [...after].filter((name) => !known.has(name));
    const refused =
      parent === undefined || !groupExists
        ? 'TOPIC_NOT_FOUND'
        : after.size > command.subscriptionsMax
          ? 'LITE_SUBSCRIPTION_QUOTA_EXCEEDED'
          : known.size + missing.length > command.liteTopicsMax
            ? 'LITE_TOPIC_QUOTA_EXCEEDED'
            : null;
    const code = isMqError(result) ? result.code : null;
    if (code !== refused)
      this.#violate(
        'lite-subscription',
        `entry ${entry.index}: ${key} on ${topic} is answered ${code ?? 'OK'}, not ${refused ?? 'OK'}`,
      );
    if (parent === undefined || refused !== null) return [];
    for (const name of missing) open(parent, name).lastMs = entry.storeTimestampMs;
    parent.clients.set(key, after);
    if (command.change === 'remove') return [];
    return command.starts.flatMap((start, i) => {
      const lite = start === 0 ? null : this.byName(topic, names[i]!);
      if (lite === null) return [];
      const end = (lite.messages.at(-1)?.queueOffset ?? -1) + 1;
      return [{ id: lite.id, offset: start === 1 ? end : Math.min(start - 2, end) }];
    });
  }

  forgotten({ topic, clients }: CommandOf<'lite-forget'>): void {
    const known = this.#parents.get(topic)?.clients;
    for (const { group, clientId } of clients) known?.delete(`${group}/${clientId}`);
  }

  /** @returns ids of the lite topics that are gone */
  expired(
    entry: LedgerEntry,
    { topic, ids, beforeMs }: CommandOf<'lite-expire'>,
    result: unknown,
  ): readonly number[] {
    const parent = this.#parents.get(topic);
    const subscribed = new Set([...(parent?.clients.values() ?? [])].flatMap((set) => [...set]));
    const gone = ids.filter((id) => {
      const lite = parent?.byId.get(id);
      return lite !== undefined && lite.lastMs < beforeMs && !subscribed.has(lite.name);
    });
    if (result !== gone.length)
      this.#violate(
        'lite-expiry',
        `entry ${entry.index}: ${String(result)} lite topics of ${topic} are forgotten, not ${gone.length}`,
      );
    for (const id of gone) parent!.byId.delete(id);
    return gone;
  }
}

function open(parent: LiteParent, name: string): LoggedLiteTopic {
  const lite: LoggedLiteTopic = { id: parent.nextId++, name, messages: [], lastMs: 0 };
  parent.byId.set(lite.id, lite);
  return lite;
}

function changed(
  before: ReadonlySet<string>,
  { change, names }: CommandOf<'lite-subscribe'>,
): Set<string> {
  if (change === 'replace') return new Set(names);
  const after = new Set(before);
  for (const name of names) {
    if (change === 'add') after.add(name);
    else after.delete(name);
  }
  return after;
}
