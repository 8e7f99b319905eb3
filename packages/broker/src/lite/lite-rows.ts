import { BinaryWriter } from '../pop/binary.js';
import { openRow, rowVersion } from '../state/row-format.js';

/** Places of the newest messages that are remembered per lite topic. */
const TAIL_MAX = 4;

const NOBODY: readonly LiteClientRow[] = [];

/** One lite topic: where its messages are to be looked for. */
export class LiteTopicRow {
  readonly topic: string;
  /** Names it in delivery; see `lite-queue-ids.ts`. */
  readonly id: number;
  /** The parent's queue that holds all of its messages. */
  readonly queueId: number;
  changed = false;
  name: string;
  /** Offset in the parent's queue of its first message, -1 before there is one. */
  firstOffset = -1;
  /** Offset behind its newest message. */
  endOffset = 0;
  /** Store time of its newest message, or its own. */
  lastMs: number;
  messages = 0;
  /** Who takes from it. Never changed in place: lite topics of the same clients share the list. */
  subscribers: readonly LiteClientRow[] = NOBODY;
  /** See {@link tail}; null while the first offset says it all, as in most lite topics. */
  #tail: number[] | null = null;

  constructor(topic: string, id: number, queueId: number, name: string, nowMs: number) {
    this.topic = topic;
    this.id = id;
    this.queueId = queueId;
    this.name = name;
    this.lastMs = nowMs;
  }

  get key(): string {
    return `lite-topic/${this.topic}/${this.id}/${this.queueId}`;
  }

  append(offset: number, nowMs: number): void {
    if (this.messages === 0) this.firstOffset = offset;
    else if (this.#tail === null) this.#tail = [this.firstOffset, offset];
    else if (this.#tail.length < TAIL_MAX) this.#tail = this.#tail.concat(offset);
    else {
      this.#tail.copyWithin(0, 1);
      this.#tail[TAIL_MAX - 1] = offset;
    }
    this.endOffset = offset + 1;
    this.lastMs = nowMs;
    this.messages++;
  }

  /** Offsets of the newest messages, ascending. */
  get tail(): readonly number[] {
    if (this.#tail !== null) return this.#tail;
    return this.messages === 0 ? [] : [this.firstOffset];
  }

  /**
   * Where the next message at or behind `offset` is: exactly, when it is one of the newest; else a place to look from.
   * -1 when there is none.
   */
  nextFrom(offset: number): { readonly offset: number; readonly exact: boolean } {
    if (offset >= this.endOffset) return { offset: -1, exact: true };
    const { tail } = this;
    if (this.messages <= tail.length || offset >= tail[0]!) {
      for (const at of tail) if (at >= offset) return { offset: at, exact: true };
    }
    return { offset: Math.max(offset, this.firstOffset), exact: false };
  }

  encode(): Buffer {
    const writer = new BinaryWriter(0, 64);
    writer.byte(rowVersion);
    writer.text(this.name);
    writer.varint(this.lastMs);
    writer.varint(this.messages);
    if (this.messages === 0) return writer.finish();
    writer.varint(this.firstOffset);
    const { tail } = this;
    writer.varint(tail.length);
    for (const offset of tail) writer.varint(offset);
    return writer.finish();
  }

  /** @param key what {@link key} gave */
  static decode(key: string, row: Buffer): LiteTopicRow {
    const [, topic = '', id = '', queueId = ''] = key.split('/');
    const reader = openRow(row, key);
    const lite = new LiteTopicRow(topic, Number(id), Number(queueId), reader.text(), 0);
    lite.lastMs = reader.varint();
    lite.messages = reader.varint();
    if (lite.messages > 0) {
      lite.firstOffset = reader.varint();
      const tail = Array.from({ length: reader.count(1) }, () => reader.varint());
      lite.endOffset = tail[tail.length - 1]! + 1;
      if (lite.messages > 1) lite.#tail = tail;
    }
    reader.finish();
    return lite;
  }
}

/** The lite topics that one client of a group takes messages from. */
export class LiteClientRow {
  readonly topic: string;
  readonly group: string;
  readonly clientId: string;
  changed = false;
  /** See `Tables.takeTouched`. */
  touched = false;
  /** Ids of lite topics. */
  readonly ids = new Set<number>();
  /**
   * Those of `ids` that may have something to hand out. Not replicated: it grows with arrivals and subscriptions on every
   * replica, and the leader takes out what it finds empty.
   */
  readonly ready = new Set<number>();
  /** This client alone, for lite topics that nobody else takes from. */
  readonly alone: readonly LiteClientRow[] = [this];

  constructor(topic: string, group: string, clientId: string) {
    this.topic = topic;
    this.group = group;
    this.clientId = clientId;
  }

  get key(): string {
    return `lite-client/${this.topic}/${this.group}/${encodeURIComponent(this.clientId)}`;
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writer.varint(this.ids.size);
    for (const id of [...this.ids].sort((a, b) => a - b)) writer.varint(id);
    return writer.finish();
  }

  static decode(key: string, row: Buffer): LiteClientRow {
    const [, topic = '', group = '', clientId = ''] = key.split('/');
    const reader = openRow(row, key);
    const client = new LiteClientRow(topic, group, decodeURIComponent(clientId));
    for (let left = reader.count(1); left > 0; left--) client.ids.add(reader.varint());
    reader.finish();
    return client;
  }
}

/** The next id of a topic's lite topics: ids are never used again. */
export class LiteParentRow {
  readonly topic: string;
  changed = false;
  nextId: number;

  constructor(topic: string, nextId: number) {
    this.topic = topic;
    this.nextId = nextId;
  }

  get key(): string {
    return `lite-parent/${this.topic}`;
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writer.varint(this.nextId);
    return writer.finish();
  }

  static decode(key: string, row: Buffer): LiteParentRow {
    const reader = openRow(row, key);
    const parent = new LiteParentRow(key.slice(key.indexOf('/') + 1), reader.varint());
    reader.finish();
    return parent;
  }
}
