import { createHash } from 'node:crypto';
import { assert, MqError } from '@raftmq/base';
import { type QueueIndex } from '@raftmq/broker-store';
import { isStoredMessage, StoredView } from '@raftmq/protocol';
import {
  ENTRY_HEADER_SIZE_BYTES,
  entryEnd,
  entryType,
  type Entry,
  type RoleStatus,
  type StateMachine,
} from '@raftmq/raft';
import {
  applyCommand,
  commandTerms,
  decodeCommand,
  isCommandMagic,
  type ApplyContext,
} from './commands/index.js';
import { indexHash } from './index-hash.js';
import { type HalfRow } from './half-table.js';
import { createStateProbe, type StateProbe } from './probe.js';
import { type TimerNews } from './timers-row.js';
import { type RecentSends } from './recent-sends.js';
import { type AppliedTermSink } from './terms.js';
import { type ChangedRows, type Tables, type TopicRow, type Touchable } from './tables.js';

/** Who wants to know what changed: on the leader, those who serve clients. */
export interface StateListener {
  roleChanged(status: RoleStatus): void;
  /** Once after each run of applied entries. The lists are the caller's to keep. */
  applied(news: StateNews): void;
}

export interface StateNews {
  /** Topics that got messages. */
  readonly arrivals: readonly TopicRow[];
  /** Where something was handed out, unblocked or moved in time, or a client subscribed to lite topics. */
  readonly touched: readonly Touchable[];
  readonly topicsDeleted: readonly string[];
  readonly timers: TimerNews;
  /** Half messages that came, changed or went. */
  readonly halves: readonly HalfRow[];
  /** Groups that got another configuration. */
  readonly groupsChanged: readonly string[];
}

/** What a checkpoint holds: rows as of `appliedIndex`, and topics whose queue files can go once it is saved. */
export interface StateCapture extends ChangedRows {
  readonly appliedIndex: number;
  readonly doomedTopics: readonly string[];
}

/**
 * The broker group's state machine: walks the records of committed entries; messages go into the queue index, commands
 * change the tables. It knows no clock but the entries' store timestamps and no chance, so that replicas stay equal.
 */
export class BrokerStateMachine implements StateMachine {
  readonly tables: Tables;
  readonly probe: StateProbe = createStateProbe();
  /** Follows the log like the tables, but is no part of the state: it is neither saved nor compared. Null = off. */
  readonly recentSends: RecentSends | null;
  readonly #queueIndex: QueueIndex;
  readonly #onFatal: (error: unknown) => void;
  readonly #context: { -readonly [K in keyof ApplyContext]: ApplyContext[K] };
  readonly #view = new StoredView();
  /** Of the message applied last; null when topics changed since. */
  #lastTopic: TopicRow | null = null;
  #appliedIndex: number;
  #appliedBytes = 0;
  #topicsVersion = 1;
  #role: RoleStatus = { role: 'follower', term: 0, leaderId: null, writable: false };
  #listener: StateListener | null = null;
  #terms: AppliedTermSink | null = null;
  /** Deleted topics whose queue files wait for the next checkpoint: a crash before it must still find them. */
  #doomed = new Set<string>();
  #topicsDeleted: string[] = [];
  #unsavedMax = Infinity;
  #onUnsaved: () => void = () => undefined;
  #digest: { readonly index: number; readonly hex: string } | null = null;

  /**
   * @param tables filled with the rows saved at `appliedIndex`; see `openBrokerState`
   * @param onFatal called when the queue index fails outside of `apply`: the process has to stop
   */
  constructor(
    tables: Tables,
    queueIndex: QueueIndex,
    appliedIndex: number,
    onFatal: (error: unknown) => void,
    recentSends: RecentSends | null = null,
  ) {
    this.tables = tables;
    this.recentSends = recentSends;
    this.#queueIndex = queueIndex;
    this.#appliedIndex = appliedIndex;
    this.#onFatal = onFatal;
    const topicChanged = (name: string, deleted: boolean): void =>
      this.#topicChanged(name, deleted);
    this.#context = { tables, index: appliedIndex, nowMs: 0, topicChanged };
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Store timestamp of the last entry applied since the start; 0 before the first one. */
  get lastStoreTimestampMs(): number {
    return this.#context.nowMs;
  }

  /** Bytes of log applied since the start. */
  get appliedBytes(): number {
    return this.#appliedBytes;
  }

  /** Grows with every change of a topic. */
  get topicsVersion(): number {
    return this.#topicsVersion;
  }

  /** The role as last told by the driver. */
  get role(): RoleStatus {
    return this.#role;
  }

  /** There is one listener at most; it hears of what happens from now on, and of the present role at once. */
  setListener(listener: StateListener | null): void {
    this.#listener = listener;
    listener?.roleChanged(this.#role);
  }

  /** Calls `onUnsaved` after each run of applied entries that leaves `unsavedMax` changed rows or more. */
  setUnsavedLimit(unsavedMax: number, onUnsaved: () => void): void {
    this.#unsavedMax = unsavedMax;
    this.#onUnsaved = onUnsaved;
  }

  /** Hands the terms of every entry applied from now on to an index. */
  setTermSink(sink: AppliedTermSink | null): void {
    this.#terms = sink;
  }

  /**
   * @throws MqError VERSION_UNSUPPORTED for a record of a newer version, LOG_CORRUPTED for an impossible one: the
   *   replica must stop
   */
  apply(entry: Entry, results: unknown[] | null): void {
    assert(entry.index === this.#appliedIndex + 1, 'entries are applied one after the other');
    this.#context.index = entry.index;
    this.#context.nowMs = entry.storeTimestampMs;
    if (entry.type === entryType.records) this.#applyRecords(entry, results);
    this.#appliedIndex = entry.index;
    this.#appliedBytes += entry.frame.length;
    this.#terms?.applied(entryEnd(entry));
  }

  roleChanged(status: RoleStatus): void {
    this.#role = status;
    this.#listener?.roleChanged(status);
  }

  applied(): void {
    this.#tellNews();
    if (this.tables.unsavedCount >= this.#unsavedMax) this.#onUnsaved();
  }

  /**
   * SHA-256 over all rows, in lower-case hex. Equal applied indexes mean equal digests on all replicas, also after a
   * restart or a rebuild. Encodes every row: for tools, not for hot paths.
   */
  digest(): string {
    if (this.#digest?.index === this.#appliedIndex) return this.#digest.hex;
    const rows = [...this.tables.rows()].sort((a, b) => (a.key < b.key ? -1 : 1));
    const hash = createHash('sha256');
    const size = Buffer.alloc(4);
    for (const row of rows) {
      const bytes = row.encode();
      size.writeUInt32BE(bytes.length);
      hash.update(row.key).update('\0').update(size).update(bytes);
    }
    this.#digest = { index: this.#appliedIndex, hex: hash.digest('hex') };
    return this.#digest.hex;
  }

  /** Takes what changed since the last capture; the caller saves it or stops the process. */
  capture(): StateCapture {
    const doomedTopics = [...this.#doomed];
    return { appliedIndex: this.#appliedIndex, ...this.tables.takeChanged(), doomedTopics };
  }

  /** The capture is saved: cold rows can be read from the store, queue files of topics that were deleted before it can go. */
  captureSaved(capture: StateCapture): void {
    this.tables.cold.saved();
    for (const topic of capture.doomedTopics) {
      if (this.#doomed.has(topic)) this.#dropQueueFiles(topic);
    }
  }

  #tellNews(): void {
    const arrivals = this.tables.takeArrivals();
    const touched = this.tables.takeTouched();
    const groupsChanged = this.tables.takeGroupsChanged();
    const topicsDeleted = this.#topicsDeleted;
    if (topicsDeleted.length > 0) this.#topicsDeleted = [];
    const timers = this.tables.timers.takeNews();
    const halves = this.tables.halves.takeTouched();
    const lists = [arrivals, touched, topicsDeleted, groupsChanged, halves];
    const news =
      lists.some((list) => list.length > 0) || timers.put.length + timers.over.length > 0;
    if (!news) return;
    this.#listener?.applied({
      arrivals,
      touched,
      topicsDeleted,
      groupsChanged,
      timers,
      halves,
    });
  }

  #applyRecords(entry: Entry, results: unknown[] | null): void {
    const { frame } = entry;
    let at = ENTRY_HEADER_SIZE_BYTES;
    for (let left = entry.recordCount; left > 0; left--) {
      const sizeBytes = at + 8 <= frame.length ? frame.readUInt32BE(at) : 0;
      if (sizeBytes < 8 || at + sizeBytes > frame.length) {
        throw new MqError(
          'LOG_CORRUPTED',
          `entry ${entry.index}: the record at byte ${at} has size ${sizeBytes}, which does not fit its entry`,
        );
      }
      const result = this.#applyRecord(entry, at, sizeBytes);
      if (results !== null) results.push(result);
      at += sizeBytes;
    }
    if (at !== frame.length) {
      throw new MqError(
        'LOG_CORRUPTED',
        `entry ${entry.index} has ${frame.length - at} bytes behind its records`,
      );
    }
  }

  #applyRecord(entry: Entry, at: number, sizeBytes: number): unknown {
    const { frame } = entry;
    if (isStoredMessage(frame, at)) {
      const message = this.#view;
      message.read(frame, at, sizeBytes);
      this.#terms?.message(message, entry.position + at);
      return this.#applyMessage(message, entry.position + at);
    }
    if (isCommandMagic(frame.readUInt32BE(at + 4))) {
      this.probe.commandsApplied++;
      const command = decodeCommand(frame, at, sizeBytes);
      if (this.#terms !== null) commandTerms(command, this.#terms, entry.position);
      const result = applyCommand(this.#context, command);
      if (command.kind === 'put-timer' && typeof result === 'number') {
        this.#rememberTimer(command.record, result, { position: entry.position + at, sizeBytes });
      }
      return result;
    }
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `entry ${entry.index} holds a record with magic ${frame.toString('hex', at + 4, at + 8)}: written by a newer version of RaftMQ`,
    );
  }

  /** @returns the message's queue offset, or the error that its sender gets */
  #applyMessage(message: StoredView, position: number): number | MqError {
    const topic = this.#topicOf(message);
    if (topic === null) return this.#dropped(message.topic());
    const { name, type } = topic.config;
    const { queueId, queueOffset, sizeBytes } = message;
    const queue = this.tables.queue(topic, queueId);
    assert(queueOffset === queue.endOffset, 'queue offsets are dense');
    const liteName = type === 'LITE' ? message.liteTopic() : null;
    const tagHash = indexHash(message, liteName);
    this.#queueIndex.append(name, queueId, queueOffset, position, sizeBytes, tagHash);
    queue.append(position, sizeBytes, tagHash);
    this.tables.changed(queue);
    this.tables.arrived(topic);
    if (liteName !== null && !this.#applyLite(topic, liteName, queueId, queueOffset))
      return this.#dropped(name);
    this.recentSends?.add(topic.idSalt, message, position, this.#context.nowMs);
    this.probe.messagesApplied++;
    this.probe.messageBytesApplied += sizeBytes;
    return queueOffset;
  }

  #rememberTimer(
    record: Buffer,
    timerId: number,
    command: { readonly position: number; readonly sizeBytes: number },
  ): void {
    const { recentSends } = this;
    if (recentSends === null) return;
    const message = this.#view;
    message.read(record, 0, record.length);
    const topic = this.tables.topics.get(message.topic())!;
    recentSends.addTimer(topic, message, command, timerId, this.#context.nowMs);
  }

  /** Messages of a topic come in runs: no name is read, nor looked up, twice in a row. */
  #topicOf(message: StoredView): TopicRow | null {
    const last = this.#lastTopic;
    if (last !== null && message.isOfTopic(last.config.name)) return last;
    this.#lastTopic = this.tables.topics.get(message.topic()) ?? null;
    return this.#lastTopic;
  }

  /**
   * @returns false when all messages of the lite topic lie in another queue: this one was sent to an earlier topic of that
   *   name, with other queues. Its place is taken, and nobody looks there.
   */
  #applyLite(topic: TopicRow, name: string, queueId: number, queueOffset: number): boolean {
    const { lite } = this.tables;
    const { name: topicName, queues } = topic.config;
    const row = lite.open(topicName, queues, name, this.#context.nowMs);
    if (row.queueId !== queueId) return false;
    lite.append(row, queueOffset, this.#context.nowMs);
    return true;
  }

  #dropped(topic: string): MqError {
    this.probe.messagesDropped++;
    return new MqError(
      'TOPIC_NOT_FOUND',
      `topic ${topic} was deleted before the message was stored`,
    );
  }

  #topicChanged(name: string, deleted: boolean): void {
    this.#lastTopic = null;
    this.#topicsVersion++;
    if (deleted) {
      this.#doomed.add(name);
      this.#topicsDeleted.push(name);
    } else if (this.#doomed.has(name)) {
      this.#dropQueueFiles(name);
    }
  }

  #dropQueueFiles(topic: string): void {
    this.#doomed.delete(topic);
    this.#queueIndex.deleteTopic(topic).catch(this.#onFatal);
  }
}
