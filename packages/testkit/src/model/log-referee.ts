import { isMqError } from '@raftmq/base';
import {
  decodeCommand,
  isCommandMagic,
  type ChangeInvisibleResult,
  type Command,
  type DeliveryGrant,
  type DeliveryName,
  type DeliveryOutcome,
} from '@raftmq/broker/internal';
import { decodeStoredMessage, isStoredMessage, type StoredMessage } from '@raftmq/protocol';
import { ENTRY_HEADER_SIZE_BYTES, entryType, type Entry } from '@raftmq/raft';
import { TimerLedger, type LedgerEntry, type Violate } from './timer-ledger.js';
import { LiteLedger } from './lite-ledger.js';
import { TransactionLedger } from './transaction-ledger.js';
import { newDeliveryModel, type DeliveryModel, type DeliveryStart } from './delivery-model.js';

/** A message as the log has it. */
export interface LoggedMessage {
  readonly messageId: string;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly tag: string | null;
  readonly messageGroup: string | null;
  /** Its name below a topic of type LITE; null on every other message. */
  readonly liteTopic: string | null;
  /** All of them, those of the broker included. */
  readonly properties: ReadonlyMap<string, string>;
  readonly storeTimestampMs: number;
  /** Entry that holds it. */
  readonly index: number;
  /** Tells its topic from a later one of the name. */
  readonly topicEpoch: number;
}

export interface RefereeOptions {
  /** Something must not be. Does not return. */
  readonly violate: Violate;
  /** What a group's filter lets through. */
  readonly wants: (group: string, message: LoggedMessage) => boolean;
  /** A message is handed out again, though its lease was to be renewed for as long as its client lives. */
  readonly lapsed?: (group: string, message: LoggedMessage) => void;
}

interface TopicModel {
  readonly epoch: number;
  readonly lite: boolean;
  readonly queues: LoggedMessage[][];
}

interface GroupModel {
  readonly fifo: boolean;
  maxAttempts: number;
  /** Nothing is handed out. */
  paused: boolean;
  /** By `<topic>/<queue id>`, of a lite topic by `<topic>/<its id>`. */
  readonly deliveries: Map<string, DeliveryModel>;
}

type CommandOf<K extends Command['kind']> = Extract<Command, { readonly kind: K }>;

/**
 * Reads the one committed log as a person with a pencil would: which message lies where, who holds it, what is consumed.
 * Judges with it every result that the state machine gave, and answers what clients may have seen. Deliveries, acks and
 * changes are judged by naive models, written from the contract.
 */
export class LogReferee {
  readonly topics = new Map<string, TopicModel>();
  readonly groups = new Map<string, GroupModel>();
  readonly timers: TimerLedger;
  readonly transactions: TransactionLedger;
  readonly lites: LiteLedger;
  readonly #options: RefereeOptions;
  /** Messages of the entry that is being read, so far. */
  #inEntry: LoggedMessage[] = [];
  /** Every place of a message id, in the order of the log. */
  readonly #places = new Map<string, LoggedMessage[]>();
  /** How often a delivery was granted and not yet answered. */
  readonly #grants = new Map<string, number>();
  /** By group, topic and queue: every wanted message below is consumed. */
  readonly #consumed = new Map<string, number>();
  #lastIndex = 0;

  constructor(options: RefereeOptions) {
    this.#options = options;
    this.timers = new TimerLedger(options.violate);
    this.transactions = new TransactionLedger(options.violate);
    this.lites = new LiteLedger(options.violate);
  }

  /** Every copy of a message, in the order of the log, also those of topics that are gone. */
  places(messageId: string): readonly LoggedMessage[] {
    return this.#places.get(messageId) ?? [];
  }

  /** The copy at a place: in the topic as it is now, else in one of its name before. */
  placeOf(
    messageId: string,
    topic: string,
    queueId: number | null,
    queueOffset: number,
  ): LoggedMessage | null {
    const at = (place: LoggedMessage): boolean =>
      place.topic === topic &&
      place.queueOffset === queueOffset &&
      (queueId === null || place.queueId === queueId);
    return this.places(messageId).findLast(at) ?? null;
  }

  message(topic: string, queueId: number, queueOffset: number): LoggedMessage | null {
    return this.topics.get(topic)?.queues[queueId]?.[queueOffset] ?? null;
  }

  /** The queues that deliveries know: those of the topic, or its lite topics. */
  deliveryQueues(topic: string): readonly number[] {
    const model = this.topics.get(topic);
    if (model?.lite === true) return [...this.lites.topics(topic)].map(({ id }) => id);
    return [...(model?.queues.keys() ?? [])];
  }

  /** The one of {@link deliveryQueues} that a message belongs to. */
  deliveryQueueOf(message: LoggedMessage): number {
    const { topic, liteTopic, queueId } = message;
    if (liteTopic === null) return queueId;
    return this.lites.byName(topic, liteTopic)?.id ?? queueId;
  }

  /** Offset behind the last message of one of {@link deliveryQueues}. */
  endOf(topic: string, queueId: number): number {
    const lite = this.lites.byId(topic, queueId);
    if (lite !== null) return (lite.messages.at(-1)?.queueOffset ?? -1) + 1;
    return this.topics.get(topic)?.queues[queueId]?.length ?? 0;
  }

  delivery(group: string, topic: string, queueId: number): DeliveryModel | null {
    return this.groups.get(group)?.deliveries.get(`${topic}/${queueId}`) ?? null;
  }

  /** Last entry looked at. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** The first message of a queue that the group wants and has not consumed; null = there is none. */
  unconsumed(group: string, topic: string, queueId: number): LoggedMessage | null {
    const key = `${group}/${topic}/${queueId}`;
    const model = this.delivery(group, topic, queueId);
    const end = this.endOf(topic, queueId);
    let offset = this.#consumed.get(key) ?? 0;
    for (; offset < end; offset++)
      if (this.#wants(group, topic, queueId, offset) && model?.isConsumed(offset) !== true) break;
    this.#consumed.set(key, offset);
    return offset < end ? this.#deliverable(topic, queueId, offset) : null;
  }

  /** A consumer was given this delivery: it must be in the log, and be given once. */
  handedOut(group: string, message: LoggedMessage, attempt: number): boolean {
    const key = grantKey(group, message, attempt);
    const left = this.#grants.get(key) ?? 0;
    if (left > 0) this.#grants.set(key, left - 1);
    return left > 0;
  }

  /** The next committed entry, with the result of each of its records. */
  entry(entry: Entry, results: readonly unknown[]): void {
    if (entry.index !== this.#lastIndex + 1)
      this.#violate('log-order', `entry ${entry.index} follows ${this.#lastIndex}`);
    this.#lastIndex = entry.index;
    if (entry.type !== entryType.records) return;
    const { frame } = entry;
    this.#inEntry = [];
    let at = ENTRY_HEADER_SIZE_BYTES;
    for (let i = 0; i < entry.recordCount; i++) {
      const sizeBytes = frame.readUInt32BE(at);
      if (isStoredMessage(frame, at)) {
        this.#stored(entry, decodeStoredMessage(frame.subarray(at, at + sizeBytes)), results[i]);
      } else if (isCommandMagic(frame.readUInt32BE(at + 4))) {
        this.#command(entry, decodeCommand(frame, at, sizeBytes), results[i]);
      }
      at += sizeBytes;
    }
  }

  #stored(entry: Entry, message: StoredMessage, result: unknown): void {
    const topic = this.topics.get(message.topic);
    if (topic === undefined) {
      if (!isMqError(result))
        this.#violate('stored-nowhere', `message ${message.messageId} has no topic and no error`);
      return;
    }
    const queue = (topic.queues[message.queueId] ??= []);
    if (message.queueOffset !== queue.length || result !== queue.length) {
      this.#violate(
        'offset-continuity',
        `entry ${entry.index} puts ${message.messageId} at offset ${message.queueOffset} of ` +
          `${message.topic}/${message.queueId} (applied: ${String(result)}), which ends at ${queue.length}`,
      );
    }
    const logged: LoggedMessage = {
      messageId: message.messageId,
      topic: message.topic,
      queueId: message.queueId,
      queueOffset: message.queueOffset,
      tag: message.tag,
      messageGroup: message.messageGroup,
      liteTopic: topic.lite ? (message.liteTopic ?? null) : null,
      properties: message.properties,
      storeTimestampMs: entry.storeTimestampMs,
      index: entry.index,
      topicEpoch: topic.epoch,
    };
    queue.push(logged);
    this.#inEntry.push(logged);
    if (topic.lite) this.lites.stored(logged);
    const places = this.#places.get(message.messageId);
    if (places === undefined) this.#places.set(message.messageId, [logged]);
    else places.push(logged);
  }

  #command(entry: Entry, command: Command, result: unknown): void {
    switch (command.kind) {
      case 'put-topic':
        return this.#topicPut(entry, command);
      case 'delete-topic':
        return this.#topicDeleted(command.name);
      case 'put-group': {
        const { name, fifo, maxAttempts } = command.group;
        const paused = command.group.consumeEnabled === false;
        const known = this.groups.get(name);
        if (known === undefined)
          this.groups.set(name, { fifo, maxAttempts, paused, deliveries: new Map() });
        else if (!command.ifMissing) Object.assign(known, { maxAttempts, paused });
        return;
      }
      case 'delete-group':
        this.groups.delete(command.name);
        this.lites.groupDeleted(command.name);
        return;
      case 'lite-subscribe':
        return this.#liteSubscribed(entry, command, result);
      case 'lite-forget':
        return this.lites.forgotten(command);
      case 'lite-expire':
        for (const id of this.lites.expired(this.#ledgerEntry(entry), command, result))
          this.#dropDeliveries(command.topic, id);
        return;
      case 'deliver':
        return this.#deliver(entry, command, result as DeliveryGrant);
      case 'ack':
        return this.#ack(entry, command, result as readonly DeliveryOutcome[]);
      case 'change-invisible': {
        const visibleAtMs = entry.storeTimestampMs + command.invisibleMs;
        const { offsets, leaseId, suspend } = command;
        const { outcome, leaseId: newLeaseId } = result as ChangeInvisibleResult;
        const expected =
          this.#known(command)?.changeInvisible(
            offsets,
            leaseId,
            visibleAtMs,
            suspend,
            newLeaseId,
          ) ?? 'stale';
        return this.#expect('receipt', entry, command, offsets, outcome, expected);
      }
      case 'dead-letter': {
        const expected = this.#known(command)?.deadLetter(command.offset) ?? 'stale';
        const [outcome] = result as readonly DeliveryOutcome[];
        return this.#expect('dead-letter', entry, command, [command.offset], outcome!, expected);
      }
      case 'renew-leases': {
        const visibleAtMs = entry.storeTimestampMs + command.invisibleMs;
        this.#known(command)?.renew(command.leaseIds, visibleAtMs, command.release);
        return;
      }
      case 'commit-offset':
        return this.#committed(entry, command, result);
      case 'reset-offsets':
      case 'open-queues':
        return this.#placed(entry, command, result);
      default:
        return this.#ledgers(this.#ledgerEntry(entry), command, result);
    }
  }

  #topicPut(entry: Entry, { topic: { name, type } }: CommandOf<'put-topic'>): void {
    if (this.topics.has(name)) return;
    const lite = type === 'LITE';
    this.topics.set(name, { epoch: entry.index, lite, queues: [] });
    if (lite) this.lites.topicPut(name);
  }

  #topicDeleted(name: string): void {
    this.topics.delete(name);
    this.transactions.topicDeleted(name);
    this.lites.topicDeleted(name);
    this.#dropDeliveries(name, null);
  }

  /** @param queueId null = all of the topic */
  #dropDeliveries(topic: string, queueId: number | null): void {
    const gone = (name: string | undefined, id: string | undefined): boolean =>
      name === topic && (queueId === null || id === String(queueId));
    for (const { deliveries } of this.groups.values()) {
      for (const key of [...deliveries.keys()]) {
        const [name, id] = key.split('/');
        if (gone(name, id)) deliveries.delete(key);
      }
    }
    for (const key of [...this.#consumed.keys()]) {
      const [, name, id] = key.split('/');
      if (gone(name, id)) this.#consumed.delete(key);
    }
  }

  #liteSubscribed(entry: Entry, command: CommandOf<'lite-subscribe'>, result: unknown): void {
    const { topic } = command;
    const group = this.groups.get(command.group);
    const around = this.#ledgerEntry(entry);
    const starts = this.lites.subscribed(around, command, group !== undefined, result);
    for (const { id, offset } of starts) {
      const name = { group: command.group, topic, queueId: id };
      if (this.#known(name) === null) this.#open(name, group!, { offset, epoch: 0 });
    }
  }

  #ledgers(entry: LedgerEntry, command: Command, result: unknown): void {
    const { timers, transactions } = this;
    switch (command.kind) {
      case 'put-timer':
        return timers.put(entry, command, result);
      case 'fire-timers':
        return command.timers.forEach((name) => timers.fire(entry, name));
      case 'recall-timer':
        return void timers.end(entry, command, 'recalled');
      case 'put-half':
        return transactions.put(entry, command, result);
      case 'end-transaction':
        return transactions.end(entry, command, result);
      case 'count-checks':
        return transactions.counted(command);
      case 'park-half':
        return transactions.parked(entry, command);
      case 'resume-halves':
        return transactions.resumed(command);
      default:
        return;
    }
  }

  /** A committed offset is what was asked for or a later one, and never before the one it had. */
  #committed(entry: Entry, command: CommandOf<'commit-offset'>, result: unknown): void {
    const group = this.groups.get(command.group);
    const topic = this.topics.get(command.topic);
    const { queueId, offset } = command;
    const end = topic?.queues[queueId]?.length ?? 0;
    const refused = group === undefined || topic?.epoch !== command.topicEpoch || offset > end;
    const where = `entry ${entry.index}: ${command.group} at ${offset} of ${command.topic}/${queueId}`;
    if (refused !== isMqError(result))
      this.#violate('offset-no-regress', `${where} is ${refused ? 'taken' : 'refused'}`);
    if (refused) return;
    const model = this.#open(command, group);
    model.skipTo(offset);
    if (result !== model.committedOffset)
      this.#violate(
        'offset-no-regress',
        `${where} is committed as ${String(result)}, not ${model.committedOffset}`,
      );
  }

  #placed(
    entry: Entry,
    command: CommandOf<'reset-offsets' | 'open-queues'>,
    result: unknown,
  ): void {
    const group = this.groups.get(command.group);
    if (group === undefined || isMqError(result)) return;
    for (const { queueId, offset } of command.places) {
      const name = { group: command.group, topic: command.topic, queueId };
      if (command.kind === 'open-queues' && this.#known(name) !== null) continue;
      this.#open(name, group, { offset, epoch: entry.index });
      this.#consumed.delete(`${command.group}/${command.topic}/${queueId}`);
    }
  }

  /** The entry as ledgers see it. */
  #ledgerEntry({ index, storeTimestampMs }: Entry): LedgerEntry {
    return {
      index,
      storeTimestampMs,
      takeMessage: (topic, messageId) => {
        const place = this.#inEntry.findIndex(
          (message) => message.messageId === messageId && message.topic === topic,
        );
        if (place >= 0) this.#inEntry.splice(place, 1);
        return place >= 0;
      },
      topicEpoch: (topic) => this.topics.get(topic)?.epoch ?? null,
    };
  }

  #deliver(entry: Entry, command: CommandOf<'deliver'>, grant: DeliveryGrant): void {
    const topic = this.topics.get(command.topic);
    const group = this.groups.get(command.group);
    const where = `${command.group} on ${command.topic}/${command.queueId}`;
    const epoch = Math.max(topic?.epoch ?? 0, this.#known(command)?.epoch ?? 0);
    if (group === undefined || topic === undefined || epoch !== command.epoch) {
      if (grant.offsets.length > 0)
        this.#violate('one-live-receipt', `${where}: a lease for a topic or place that is gone`);
      return;
    }
    const wanted: number[] = [];
    const dropped: number[] = [];
    for (const run of command.runs) {
      const list = run.dropped ? dropped : wanted;
      for (let i = 0; i < run.count; i++) list.push(run.fromOffset + i);
    }
    const end = this.endOf(command.topic, command.queueId);
    if (command.endOffset > end || wanted.some((offset) => offset >= end))
      this.#violate('no-uncommitted-read', `${where}: a lease reaches behind the end, ${end}`);
    const fault = this.#open(command, group).delivered({
      nowMs: entry.storeTimestampMs,
      leaseId: grant.leaseId,
      invisibleMs: command.invisibleMs,
      attemptId: command.attemptId,
      autoRenew: command.autoRenew,
      wanted,
      dropped,
      endOffset: command.endOffset,
      offsets: grant.offsets,
      attempts: grant.attempts,
    });
    if (fault !== null) {
      this.#violate(
        group.fifo ? 'fifo-per-group' : 'one-live-receipt',
        `entry ${entry.index}, ${where}: ${fault}`,
      );
    }
    for (let i = 0; i < grant.offsets.length; i++) {
      const message = this.#deliverable(command.topic, command.queueId, grant.offsets[i]!)!;
      const key = grantKey(command.group, message, grant.attempts[i]!);
      this.#grants.set(key, (this.#grants.get(key) ?? 0) + 1);
    }
  }

  #ack(entry: Entry, command: CommandOf<'ack'>, outcomes: readonly DeliveryOutcome[]): void {
    const model = this.#known(command);
    command.targets.forEach(({ offset, leaseId }, i) => {
      const expected = model?.ack(offset, leaseId) ?? 'stale';
      this.#expect('receipt', entry, command, [offset], outcomes[i]!, expected);
    });
  }

  #expect(
    invariant: string,
    entry: Entry,
    command: DeliveryName & { readonly kind: string },
    offsets: readonly number[],
    outcome: DeliveryOutcome,
    expected: DeliveryOutcome,
  ): void {
    if (outcome === expected) return;
    const { kind, group, topic, queueId } = command;
    this.#violate(
      invariant,
      `entry ${entry.index}: ${kind} of ${group} for offsets ${offsets.join(', ')} of ${topic}/${queueId} is ${outcome}, not ${expected}`,
    );
  }

  /** The message at an offset of one of {@link deliveryQueues}; null for what does not belong to the lite topic. */
  #deliverable(topic: string, queueId: number, offset: number): LoggedMessage | null {
    const lite = this.lites.byId(topic, queueId);
    if (lite === null) return this.message(topic, queueId, offset);
    const [first] = lite.messages;
    const message = first === undefined ? null : this.message(topic, first.queueId, offset);
    return message !== null && offset >= first!.queueOffset && message.liteTopic === lite.name
      ? message
      : null;
  }

  #wants(group: string, topic: string, queueId: number, offset: number): boolean {
    const message = this.#deliverable(topic, queueId, offset);
    return message !== null && this.#options.wants(group, message);
  }

  #known(name: DeliveryName): DeliveryModel | null {
    return this.delivery(name.group, name.topic, name.queueId);
  }

  /** @param start puts the group there, wherever it was */
  #open(name: DeliveryName, group: GroupModel, start?: DeliveryStart): DeliveryModel {
    const key = `${name.topic}/${name.queueId}`;
    let model = group.deliveries.get(key);
    if (model === undefined || start !== undefined) {
      const { topic, queueId } = name;
      const subject = {
        wants: (offset: number) => this.#wants(name.group, topic, queueId, offset),
        maxAttempts: () => group.maxAttempts,
        lapsed: (offset: number) => {
          const message = this.#deliverable(topic, queueId, offset);
          if (message !== null) this.#options.lapsed?.(name.group, message);
        },
      };
      model = newDeliveryModel(group.fifo, subject, start);
      group.deliveries.set(key, model);
    }
    return model;
  }

  #violate(invariant: string, message: string): never {
    return this.#options.violate(invariant, message);
  }
}

function grantKey(group: string, message: LoggedMessage, attempt: number): string {
  const { topic, topicEpoch, queueId, queueOffset } = message;
  return `${group}/${topic}/${topicEpoch}/${queueId}/${queueOffset}/${attempt}`;
}
