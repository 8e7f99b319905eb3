import { hash } from 'node:crypto';
import { assert } from '@raftmq/base';
import { type BinaryReader, BinaryWriter } from '../pop/binary.js';
import { type DueItem } from '../pop/due-queue.js';
import { type ColdRows } from './cold-rows.js';
import { openRow, rowVersion } from './row-format.js';

/** What is known of a half message when it is stored. */
export interface HalfMessage {
  readonly topic: string;
  /** Also the id of the transaction. */
  readonly messageId: string;
  /** Who sent it. */
  readonly clientId: string;
  readonly bodySizeBytes: number;
  /** Store timestamp of the entry that brought it. */
  readonly storedAtMs: number;
  /** Orphaned transaction recovery duration as sent; 0 = not given. */
  readonly recoveryMs: number;
}

/** How a transaction ended. Numbers are part of the rows. */
export const outcomeCode = { COMMITTED: 1, ROLLED_BACK: 2, DISCARDED: 3 } as const;

/** A transaction that is over; kept as a cold row for a while. */
export interface TransactionOutcome extends HalfMessage {
  readonly outcome: number;
  /** Wire number of TransactionSource: who decided. */
  readonly source: number;
  readonly checks: number;
  readonly decidedAtMs: number;
}

/** A half message without a decision: the small part of it that stays in memory. The message itself is a cold row. */
export class HalfRow implements DueItem, HalfMessage {
  readonly key: string;
  /** From 1, in the order of storage. */
  readonly number: number;
  readonly topic: string;
  readonly messageId: string;
  readonly clientId: string;
  readonly bodySizeBytes: number;
  readonly storedAtMs: number;
  readonly recoveryMs: number;
  changed = false;
  touched = false;
  /** Decided, or gone with its topic. */
  removed = false;
  /** Times that a producer was asked, since it was stored or resumed. */
  checks = 0;
  nextCheckMs = 0;
  /** Place in the order of parking; 0 = not parked. */
  parkedNumber = 0;
  parkedAtMs = 0;
  /** The leader's own: its timer. */
  dueMs = 0;
  heapIndex = -1;

  constructor(number: number, half: HalfMessage) {
    this.key = `half/${number}`;
    this.number = number;
    this.topic = half.topic;
    this.messageId = half.messageId;
    this.clientId = half.clientId;
    this.bodySizeBytes = half.bodySizeBytes;
    this.storedAtMs = half.storedAtMs;
    this.recoveryMs = half.recoveryMs;
  }

  get parked(): boolean {
    return this.parkedNumber > 0;
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writeHalf(writer, this);
    writer.varint(this.checks);
    writer.varint(this.nextCheckMs);
    writer.varint(this.parkedNumber);
    writer.varint(this.parkedAtMs);
    return writer.finish();
  }

  static decode(key: string, number: number, row: Buffer): HalfRow {
    const reader = openRow(row, key);
    const half = new HalfRow(number, readHalf(reader));
    half.checks = reader.varint();
    half.nextCheckMs = reader.varint();
    half.parkedNumber = reader.varint();
    half.parkedAtMs = reader.varint();
    reader.finish();
    return half;
  }
}

/** Numbers that transactions share. Outcomes are numbered without gaps: those from `firstOutcome` on are kept. */
export class TransactionNumbersRow {
  readonly key = 'shared/transactions';
  changed = false;
  lastNumber = 0;
  lastParked = 0;
  firstOutcome = 1;
  nextOutcome = 1;

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writer.varint(this.lastNumber);
    writer.varint(this.lastParked);
    writer.varint(this.firstOutcome);
    writer.varint(this.nextOutcome);
    return writer.finish();
  }

  decode(row: Buffer): void {
    const reader = openRow(row, this.key);
    this.lastNumber = reader.varint();
    this.lastParked = reader.varint();
    this.firstOutcome = reader.varint();
    this.nextOutcome = reader.varint();
    reader.finish();
  }
}

/** What the table needs of those that it is one of. */
export interface HalfTableOwner {
  readonly cold: ColdRows;
  changed(row: HalfRow | TransactionNumbersRow): void;
  dropped(row: HalfRow): void;
}

/**
 * Half messages without a decision, and the outcomes of those that have one. Changed only while an entry is applied.
 *
 *   half/<number>                 cold: the message, stored layout
 *   txn/<hash of id>/<of topic>   cold: an outcome
 *   txn-age/<outcome number>      cold: key of that outcome, for forgetting in order
 */
export class HalfTable {
  readonly numbers = new TransactionNumbersRow();
  readonly #owner: HalfTableOwner;
  /** By number, ascending. */
  readonly #rows = new Map<number, HalfRow>();
  /** By topic and id. */
  readonly #byId = new Map<string, HalfRow>();
  /** In the order of parking. */
  #parked = new Map<number, HalfRow>();
  #touched: HalfRow[] = [];

  constructor(owner: HalfTableOwner) {
    this.#owner = owner;
  }

  /** Half messages that wait for a decision, parked ones left out. */
  get pendingCount(): number {
    return this.#rows.size - this.#parked.size;
  }

  get parkedCount(): number {
    return this.#parked.size;
  }

  /** Outcomes that can be asked for. */
  get outcomeCount(): number {
    return this.numbers.nextOutcome - this.numbers.firstOutcome;
  }

  /** All of them, parked ones included, in the order of storage. */
  rows(): Iterable<HalfRow> {
    return this.#rows.values();
  }

  get(number: number): HalfRow | undefined {
    return this.#rows.get(number);
  }

  find(topic: string, messageId: string): HalfRow | undefined {
    return this.#byId.get(`${topic}/${messageId}`);
  }

  /** @param message the stored message; taken over */
  add(half: HalfMessage, nextCheckMs: number, message: Buffer): HalfRow {
    const row = new HalfRow(++this.numbers.lastNumber, half);
    row.nextCheckMs = nextCheckMs;
    this.#owner.changed(this.numbers);
    this.#owner.cold.put(halfKey(row.number), message);
    this.#insert(row);
    this.#touch(row);
    return row;
  }

  /** The transaction is over. */
  decide(row: HalfRow, outcome: number, source: number, nowMs: number): void {
    this.#remove(row);
    const { numbers } = this;
    const key = outcomeKey(row.topic, row.messageId);
    const { topic, messageId, clientId, bodySizeBytes, storedAtMs, recoveryMs, checks } = row;
    const half = { topic, messageId, clientId, bodySizeBytes, storedAtMs, recoveryMs };
    const value = encodeOutcome({ ...half, outcome, source, checks, decidedAtMs: nowMs });
    this.#owner.cold.put(key, value);
    this.#owner.cold.put(ageKey(numbers.nextOutcome++), encodeAge(key, nowMs));
    this.#owner.changed(numbers);
  }

  /** A producer was asked. */
  checked(row: HalfRow, nextCheckMs: number): void {
    row.checks++;
    row.nextCheckMs = nextCheckMs;
    this.#touch(row);
  }

  park(row: HalfRow, nowMs: number): void {
    row.parkedNumber = ++this.numbers.lastParked;
    row.parkedAtMs = nowMs;
    this.#parked.set(row.parkedNumber, row);
    this.#owner.changed(this.numbers);
    this.#touch(row);
  }

  /** Back among those that are asked about, with all checks before it. */
  resume(row: HalfRow, nextCheckMs: number): void {
    this.#parked.delete(row.parkedNumber);
    row.parkedNumber = 0;
    row.parkedAtMs = 0;
    row.checks = 0;
    row.nextCheckMs = nextCheckMs;
    this.#touch(row);
  }

  /** The one that was parked first. */
  oldestParked(): HalfRow | undefined {
    return this.#parked.values().next().value;
  }

  /** The topic is gone, and with it everything that was meant for it. Outcomes stay. */
  removeTopic(topic: string): void {
    for (const row of [...this.#rows.values()]) if (row.topic === topic) this.#remove(row);
  }

  /** @param keys of the outcomes from `firstOutcome` on, in order */
  forget(keys: readonly string[]): void {
    const { numbers } = this;
    for (const key of keys) {
      this.#owner.cold.delete(key);
      this.#owner.cold.delete(ageKey(numbers.firstOutcome++));
    }
    this.#owner.changed(numbers);
  }

  /** Half messages that came, changed or went since the last call. */
  takeTouched(): readonly HalfRow[] {
    const touched = this.#touched;
    if (touched.length === 0) return touched;
    this.#touched = [];
    for (const row of touched) row.touched = false;
    return touched;
  }

  /** Takes in a saved row; {@link loaded} has to follow the last one. */
  load(key: string, number: number, row: Buffer): void {
    this.#insert(HalfRow.decode(key, number, row));
  }

  /** All saved rows are in: brings them into order. */
  loaded(): void {
    const rows = [...this.#rows.values()].sort((a, b) => a.number - b.number);
    this.#rows.clear();
    for (const row of rows) this.#rows.set(row.number, row);
    const parked = rows.filter((row) => row.parked);
    parked.sort((a, b) => a.parkedNumber - b.parkedNumber);
    this.#parked = new Map(parked.map((row) => [row.parkedNumber, row]));
  }

  #insert(row: HalfRow): void {
    const id = `${row.topic}/${row.messageId}`;
    assert(!this.#byId.has(id), 'a half message is pending once');
    this.#rows.set(row.number, row);
    this.#byId.set(id, row);
  }

  #remove(row: HalfRow): void {
    this.#rows.delete(row.number);
    this.#byId.delete(`${row.topic}/${row.messageId}`);
    if (row.parked) this.#parked.delete(row.parkedNumber);
    this.#owner.cold.delete(halfKey(row.number));
    this.#owner.dropped(row);
    row.removed = true;
    this.#tell(row);
  }

  #touch(row: HalfRow): void {
    this.#owner.changed(row);
    this.#tell(row);
  }

  #tell(row: HalfRow): void {
    if (row.touched) return;
    row.touched = true;
    this.#touched.push(row);
  }
}

/** Key of the cold row with the message. */
export function halfKey(number: number): string {
  return `half/${padded(number)}`;
}

/** Key of the cold row with a transaction's outcome. */
export function outcomeKey(topic: string, messageId: string): string {
  return `${outcomeKeyPrefix(messageId)}${hash('md5', topic, 'hex').slice(0, 16)}`;
}

/** What the keys of all outcomes with this id begin with, whatever their topics. */
export function outcomeKeyPrefix(messageId: string): string {
  return `txn/${hash('md5', messageId, 'hex')}/`;
}

/** Whether it is the key of an outcome. */
export function isOutcomeKey(key: string): boolean {
  return /^txn\/[0-9a-f]{32}\/[0-9a-f]{16}$/.test(key);
}

/** Key of the cold row that knows the age of an outcome. */
export function ageKey(outcomeNumber: number): string {
  return `txn-age/${padded(outcomeNumber)}`;
}

function padded(number: number): string {
  return String(number).padStart(16, '0');
}

function encodeAge(key: string, decidedAtMs: number): Buffer {
  const writer = new BinaryWriter(0, 80);
  writer.byte(rowVersion);
  writer.varint(decidedAtMs);
  writer.text(key);
  return Buffer.from(writer.finish());
}

/** Reads the row behind {@link ageKey}. */
export function decodeAge(row: Buffer): { readonly key: string; readonly decidedAtMs: number } {
  const reader = openRow(row, 'txn-age');
  const decidedAtMs = reader.varint();
  const key = reader.text();
  reader.finish();
  return { key, decidedAtMs };
}

function encodeOutcome(outcome: TransactionOutcome): Buffer {
  const writer = new BinaryWriter(0, 256);
  writer.byte(rowVersion);
  writeHalf(writer, outcome);
  writer.byte(outcome.outcome);
  writer.varint(outcome.source);
  writer.varint(outcome.checks);
  writer.varint(outcome.decidedAtMs);
  return Buffer.from(writer.finish());
}

/** Reads the row behind {@link outcomeKey}. */
export function decodeOutcome(row: Buffer): TransactionOutcome {
  const reader = openRow(row, 'txn');
  const half = readHalf(reader);
  const outcome = reader.byte();
  const source = reader.varint();
  const checks = reader.varint();
  const decidedAtMs = reader.varint();
  reader.finish();
  return { ...half, outcome, source, checks, decidedAtMs };
}

function writeHalf(writer: BinaryWriter, half: HalfMessage): void {
  writer.text(half.topic);
  writer.text(half.messageId);
  writer.text(half.clientId);
  writer.varint(half.bodySizeBytes);
  writer.varint(half.storedAtMs);
  writer.varint(half.recoveryMs);
}

function readHalf(reader: BinaryReader): HalfMessage {
  return {
    topic: reader.text(),
    messageId: reader.text(),
    clientId: reader.text(),
    bodySizeBytes: reader.varint(),
    storedAtMs: reader.varint(),
    recoveryMs: reader.varint(),
  };
}
