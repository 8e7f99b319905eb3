import { type RowChanges } from '@raftmq/broker-store';
import { type GroupConfig, type TopicConfig } from '../messaging.js';
import { type BinaryReader, BinaryWriter } from '../pop/binary.js';
import { readDeliveryRow } from '../pop/rows.js';
import { isLiteQueueId } from '../lite/lite-queue-ids.js';
import { LiteTable } from '../lite/lite-table.js';
import { type LeaseSequence } from '../pop/delivery.js';
import { readGroup, readTopic, writeGroup, writeTopic } from './config-codec.js';
import { GroupDeliveries, type DeliveryRow, type SavedRow } from './group-deliveries.js';
import { ColdRows, type ColdStore } from './cold-rows.js';
import { HalfTable } from './half-table.js';
import { nameSalt } from './id-hash.js';
import { OffsetRanges } from './offset-ranges.js';
import { rowVersion, openRow } from './row-format.js';
import { TimersRow } from './timers-row.js';

export { type DeliveryRow } from './group-deliveries.js';

/** A row of the state, in memory; encoded when a checkpoint or a digest asks for it. */
interface Row {
  readonly key: string;
  /** Already in the list of changed rows. */
  changed: boolean;
  encode(): Buffer;
}

/** One queue of a topic: how far it goes, and a rolling sum over its messages. */
export class QueueRow implements Row {
  readonly key: string;
  readonly queueId: number;
  changed = false;
  /** Offset that the next message gets. */
  endOffset = 0;
  #sumA = 0x811c9dc5;
  #sumB = 0x9e3779b9;

  constructor(topic: string, queueId: number) {
    this.key = `queue/${topic}/${queueId}`;
    this.queueId = queueId;
  }

  /** Counts a message in; equal sums on two replicas mean equal messages at equal places. */
  append(position: number, sizeBytes: number, tagHash: number): void {
    const low = position | 0;
    const high = (position / 0x1_0000_0000) | 0;
    let a = Math.imul(this.#sumA ^ low, 0x01000193) ^ sizeBytes;
    a = Math.imul(a ^ (a >>> 15) ^ high, 0x85ebca6b);
    let b = Math.imul(this.#sumB ^ tagHash, 0xc2b2ae35) ^ (this.endOffset | 0);
    b = Math.imul(b ^ (b >>> 13) ^ low, 0x27d4eb2f);
    this.#sumA = (a ^ (a >>> 16)) >>> 0;
    this.#sumB = (b ^ (b >>> 16)) >>> 0;
    this.endOffset++;
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writer.varint(this.endOffset);
    writer.varint(this.#sumA);
    writer.varint(this.#sumB);
    return writer.finish();
  }

  decode(row: Buffer): void {
    const reader = openRow(row, this.key);
    this.endOffset = reader.varint();
    this.#sumA = reader.varint();
    this.#sumB = reader.varint();
    reader.finish();
  }
}

/** A topic with its queues. */
export class TopicRow implements Row {
  readonly key: string;
  changed = false;
  config: TopicConfig;
  /** Index of the entry that created the topic: tells it from an earlier one of the same name. */
  readonly epoch: number;
  /** By queue id; holes for queues without a message. */
  readonly queues: (QueueRow | undefined)[] = [];
  /** Of a dead-letter topic: letters that were sent again. */
  readonly resent = new OffsetRanges();
  /** Messages came in since {@link Tables.takeArrivals}. */
  arrived = false;
  /** Tells its message ids from equal ones of other topics. */
  readonly idSalt: number;

  constructor(config: TopicConfig, epoch: number) {
    this.key = `topic/${config.name}`;
    this.idSalt = nameSalt(config.name);
    this.config = config;
    this.epoch = epoch;
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writer.varint(this.epoch);
    writeTopic(writer, this.config);
    this.resent.write(writer);
    return writer.finish();
  }
}

/**
 * What deliveries of one group in one queue are planned for: it grows when the topic is made anew, and when the group is
 * put somewhere else in the queue.
 */
export function deliveryEpoch(topic: TopicRow, row: DeliveryRow | null | undefined): number {
  return Math.max(topic.epoch, row?.state.epoch ?? 0);
}

/** A consumer group. */
export class GroupRow implements Row {
  readonly key: string;
  changed = false;
  config: GroupConfig;
  readonly deliveries: GroupDeliveries;

  constructor(config: GroupConfig) {
    this.key = `group/${config.name}`;
    this.deliveries = new GroupDeliveries(config.name);
    this.config = config;
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writeGroup(writer, this.config);
    return writer.finish();
  }
}

/** Values that exist once: the next lease id and the key of receipt handles. */
export class SharedRow implements Row, LeaseSequence {
  readonly key = 'shared/values';
  changed = false;
  lastLeaseId = 0;
  secret: Buffer | null = null;

  take(): number {
    return ++this.lastLeaseId;
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writer.varint(this.lastLeaseId);
    writer.bytes(this.secret ?? Buffer.alloc(0));
    return writer.finish();
  }

  decode(row: Buffer): void {
    const reader = openRow(row, this.key);
    this.lastLeaseId = reader.varint();
    const secret = reader.bytes();
    this.secret = secret.length === 0 ? null : secret;
    reader.finish();
  }
}

/** A row whose changes those who wait have to know of: what they look for on `topic` may be there now. */
export interface Touchable {
  readonly topic: string;
  readonly group: string;
  /** Already in the list of {@link Tables.takeTouched}. */
  touched: boolean;
}

/** Everything that changed since the last capture. */
export interface ChangedRows {
  readonly rows: RowChanges;
  readonly cold: RowChanges;
}

/**
 * The replicated tables of a broker group, in memory. They change only while an entry is applied; whoever changes a
 * row calls {@link changed} with it.
 */
export class Tables {
  readonly topics = new Map<string, TopicRow>();
  readonly groups = new Map<string, GroupRow>();
  readonly shared = new SharedRow();
  readonly timers = new TimersRow();
  /** Rows on disk only. */
  readonly cold: ColdRows;
  /** Lite topics, and who subscribes to them. */
  readonly lite: LiteTable;
  /** Transactional messages that wait for a decision. */
  readonly halves: HalfTable;
  #changed: Row[] = [];
  #deleted = new Set<string>();
  #arrived: TopicRow[] = [];
  #touched: Touchable[] = [];
  #groupsChanged: string[] = [];
  /** Groups with unsaved rows of lite topics, and the number of these. */
  #liteGroups = new Set<GroupRow>();
  #liteChanged = 0;

  constructor(coldStore: ColdStore) {
    this.cold = new ColdRows(coldStore, () => this.changed(this.cold));
    this.lite = new LiteTable({
      changed: (row) => {
        this.#deleted.delete(row.key);
        this.changed(row);
      },
      dropped: (row) => this.#drop(row),
    });
    this.halves = new HalfTable({
      cold: this.cold,
      changed: (row) => this.changed(row),
      dropped: (row) => this.#drop(row),
    });
  }

  changed(row: Row): void {
    if (row.changed) return;
    row.changed = true;
    this.#changed.push(row);
  }

  /** The same for where a group stands; of a lite topic, `row` must be asked for again before the next change. */
  deliveryChanged(row: DeliveryRow): void {
    const group = isLiteQueueId(row.queueId) ? this.groups.get(row.group) : undefined;
    if (group === undefined) this.changed(row);
    else if (group.deliveries.liteChanged(row)) {
      this.#liteChanged++;
      this.#liteGroups.add(group);
    }
  }

  /** Rows, cold ones included, that {@link takeChanged} would give, about. */
  get unsavedCount(): number {
    const rows = this.#changed.length + this.#deleted.size + this.#liteChanged;
    return rows + this.cold.unsavedCount;
  }

  /** Remembers that a topic has news for those who wait. */
  arrived(topic: TopicRow): void {
    if (topic.arrived) return;
    topic.arrived = true;
    this.#arrived.push(topic);
  }

  /** Topics that got messages since the last call. */
  takeArrivals(): readonly TopicRow[] {
    const arrived = this.#arrived;
    if (arrived.length === 0) return arrived;
    this.#arrived = [];
    for (const topic of arrived) topic.arrived = false;
    return arrived;
  }

  /** Remembers that the group may find something else on the topic now than it did before. */
  touched(row: Touchable): void {
    if (row.touched) return;
    row.touched = true;
    this.#touched.push(row);
  }

  /** Rows touched since the last call. */
  takeTouched(): readonly Touchable[] {
    const touched = this.#touched;
    if (touched.length === 0) return touched;
    this.#touched = [];
    for (const row of touched) row.touched = false;
    return touched;
  }

  /** Remembers that a group behaves differently now. */
  groupChanged(name: string): void {
    this.#groupsChanged.push(name);
  }

  /** Groups changed since the last call. */
  takeGroupsChanged(): readonly string[] {
    const groups = this.#groupsChanged;
    if (groups.length > 0) this.#groupsChanged = [];
    return groups;
  }

  putTopic(row: TopicRow): void {
    this.topics.set(row.config.name, row);
    this.#deleted.delete(row.key);
    this.changed(row);
  }

  /** Drops the topic, its queues, where groups stand in them, and half messages for it. */
  deleteTopic(row: TopicRow): void {
    this.topics.delete(row.config.name);
    this.#drop(row);
    for (const queue of row.queues) if (queue !== undefined) this.#drop(queue);
    for (const group of this.groups.values()) {
      for (const key of group.deliveries.drop(row.config.name)) this.#deleted.add(key);
    }
    this.lite.dropParent(row.config.name);
    this.halves.removeTopic(row.config.name);
  }

  putGroup(row: GroupRow): void {
    this.groups.set(row.config.name, row);
    this.#deleted.delete(row.key);
    this.changed(row);
  }

  /** Drops the group and where it stands everywhere. */
  deleteGroup(row: GroupRow): void {
    this.groups.delete(row.config.name);
    this.#drop(row);
    for (const key of row.deliveries.drop()) this.#deleted.add(key);
    this.lite.dropGroup(row.config.name);
  }

  /** Drops where all groups stand in one queue. */
  dropDeliveries(topic: string, queueId: number): void {
    for (const group of this.groups.values()) {
      for (const key of group.deliveries.drop(topic, queueId)) this.#deleted.add(key);
    }
  }

  /** Offset behind the newest message of a queue, or of a lite topic. */
  endOffset(topic: TopicRow, queueId: number): number {
    if (isLiteQueueId(queueId)) return this.lite.byId(topic.config.name, queueId)?.endOffset ?? 0;
    return topic.queues[queueId]?.endOffset ?? 0;
  }

  queue(topic: TopicRow, queueId: number): QueueRow {
    let queue = topic.queues[queueId];
    if (queue === undefined) {
      queue = new QueueRow(topic.config.name, queueId);
      topic.queues[queueId] = queue;
      this.#deleted.delete(queue.key);
    }
    return queue;
  }

  delivery(group: string, topic: string, queueId: number): DeliveryRow | undefined {
    const row = this.groups.get(group);
    return row?.deliveries.get(topic, queueId, row.config.fifo);
  }

  /** The row, made when there is none. */
  openDelivery(group: GroupRow, topic: string, queueId: number): DeliveryRow {
    const { row, made } = group.deliveries.open(topic, queueId, group.config.fifo);
    if (made) this.#deleted.delete(row.key);
    return row;
  }

  /** Without lite topics in which nothing is in flight. */
  *deliveries(): Iterable<DeliveryRow> {
    for (const group of this.groups.values()) {
      yield* group.deliveries.active();
    }
  }

  /** Every row there is, in no particular order. */
  *rows(): Iterable<SavedRow> {
    yield this.shared;
    yield this.cold;
    yield this.timers;
    for (const topic of this.topics.values()) {
      yield topic;
      for (const queue of topic.queues) if (queue !== undefined) yield queue;
    }
    for (const group of this.groups.values()) {
      yield group;
      yield* group.deliveries.saved(group.config.fifo);
    }
    yield* this.lite.rows();
    yield this.halves.numbers;
    yield* this.halves.rows();
  }

  /** Encodes what changed since the last call; the rows count as saved from here on. */
  takeChanged(): ChangedRows {
    const puts = new Map<string, Buffer>();
    const put = (row: SavedRow): void => {
      const { key } = row;
      if (!this.#deleted.has(key)) puts.set(key, row.encode());
    };
    for (const row of this.#changed) {
      row.changed = false;
      put(row);
    }
    for (const { config, deliveries } of this.#liteGroups) {
      for (const row of deliveries.takeLiteChanged(config.fifo)) put(row);
    }
    const deletes = this.#deleted;
    this.#changed = [];
    this.#deleted = new Set();
    this.#liteGroups = new Set();
    this.#liteChanged = 0;
    return { rows: { puts, deletes }, cold: this.cold.capture() };
  }

  /**
   * Fills empty tables with saved rows.
   * @throws MqError LOG_CORRUPTED or VERSION_UNSUPPORTED for a row that cannot be read
   */
  load(rows: ReadonlyMap<string, Buffer>): void {
    const inOrder = [...rows].sort(([a], [b]) => loadRank(a) - loadRank(b));
    for (const [key, row] of inOrder) this.#loadRow(key, row);
    this.halves.loaded();
  }

  #loadRow(key: string, row: Buffer): void {
    const [table, name = '', topicOrQueue = '', queue = ''] = key.split('/');
    if (key === this.shared.key) this.shared.decode(row);
    else if (key === this.cold.key) this.cold.decode(row);
    else if (key === this.timers.key) this.timers.decode(row);
    else if (this.lite.load(key, row)) return;
    else if (key === this.halves.numbers.key) this.halves.numbers.decode(row);
    else if (table === 'half') this.halves.load(key, Number(name), row);
    else if (table === 'topic') {
      const reader = openRow(row, key);
      const epoch = reader.varint();
      const topic = new TopicRow(readTopic(reader), epoch);
      topic.resent.read(reader);
      reader.finish();
      this.topics.set(name, topic);
    } else if (table === 'group') {
      this.groups.set(name, new GroupRow(readWhole(openRow(row, key), readGroup)));
    } else if (table === 'queue') {
      const topic = this.topics.get(name) ?? openRow(row, key).fail('belongs to no topic');
      this.queue(topic, Number(topicOrQueue)).decode(row);
    } else if (table === 'delivery') {
      const group = this.groups.get(name) ?? openRow(row, key).fail('belongs to no group');
      const delivery = this.openDelivery(group, topicOrQueue, Number(queue));
      delivery.state = readDeliveryRow(row, key);
      group.deliveries.rest(delivery);
    } else openRow(row, key).fail('belongs to an unknown table');
  }

  #drop(row: Pick<Row, 'key'>): void {
    this.#deleted.add(row.key);
  }
}

function readWhole<T>(reader: BinaryReader, read: (reader: BinaryReader) => T): T {
  const value = read(reader);
  reader.finish();
  return value;
}

/** What others hang on comes first. */
function loadRank(key: string): number {
  if (key.startsWith('topic/') || key.startsWith('group/')) return 0;
  return key.startsWith('lite-client/') ? 2 : 1;
}
