import { type ColdRow, type RowChanges, type StateStore } from '@raftmq/broker-store';
import { BinaryWriter } from '../pop/binary.js';
import { openRow, rowVersion } from './row-format.js';

/** The part of the store that holds cold rows. */
export type ColdStore = Pick<StateStore, 'coldGet' | 'coldRange'>;

/**
 * Rows that are too many, or too large, to be kept in memory: pending timers, half messages. They are changed while an
 * entry is applied, without looking at what was there, and read by the leader, between entries. What is not saved yet is
 * kept here; the rest lies in the store. Keys are ASCII and begin with the name of their table.
 *
 * A key must not be put twice, nor deleted unless it is there: the sums that stand for these rows in the digest of the
 * state count on it.
 */
export class ColdRows {
  readonly key = 'shared/cold-rows';
  /** Set by the tables; part of their list of changed rows. */
  changed = false;
  readonly #store: ColdStore;
  readonly #onChange: () => void;
  /** null = deleted. */
  #unsaved = new Map<string, Buffer | null>();
  /** Taken by a checkpoint that is not in the store yet. */
  #saving = new Map<string, Buffer | null>();
  #count = 0;
  #sumA = 0;
  #sumB = 0;

  /** @param onChange called with each change: this row has to be saved too */
  constructor(store: ColdStore, onChange: () => void) {
    this.#store = store;
    this.#onChange = onChange;
  }

  /** Rows there are. */
  get count(): number {
    return this.#count;
  }

  /** Takes over `value`: it must not be changed, nor be a view of something larger. */
  put(key: string, value: Buffer): void {
    this.#unsaved.set(key, value);
    this.#count++;
    this.#add(key, 1);
  }

  delete(key: string): void {
    this.#unsaved.set(key, null);
    this.#count--;
    this.#add(key, -1);
  }

  async get(key: string): Promise<Buffer | null> {
    const recent = this.#recent(key);
    return recent === undefined ? this.#store.coldGet(key) : recent;
  }

  /** Rows with from <= key < before, ascending, as of some moment during the call; at most `countMax`. */
  async range(from: string, before: string, countMax: number): Promise<readonly ColdRow[]> {
    const recent = new Map<string, Buffer | null>();
    for (const rows of [this.#saving, this.#unsaved]) {
      for (const [key, value] of rows) if (key >= from && key < before) recent.set(key, value);
    }
    const merged = [...recent].sort(([a], [b]) => (a < b ? -1 : 1));
    const found: ColdRow[] = [];
    let at = 0;
    let next = from;
    for (;;) {
      const stored = await this.#store.coldRange(next, before, countMax);
      for (const row of stored) {
        for (; at < merged.length && merged[at]![0] < row.key; at++) keep(found, merged[at]!);
        if (!recent.has(row.key)) found.push(row);
      }
      if (stored.length < countMax) {
        for (; at < merged.length; at++) keep(found, merged[at]!);
        return found.slice(0, countMax);
      }
      if (found.length >= countMax) return found.slice(0, countMax);
      next = `${stored[stored.length - 1]!.key}\0`;
    }
  }

  /** What a checkpoint has to save; it stays readable here until {@link saved}. */
  capture(): RowChanges {
    for (const [key, value] of this.#unsaved) this.#saving.set(key, value);
    this.#unsaved = new Map();
    const puts = new Map<string, Buffer>();
    const deletes = new Set<string>();
    for (const [key, value] of this.#saving) {
      if (value === null) deletes.add(key);
      else puts.set(key, value);
    }
    return { puts, deletes };
  }

  /** What the last capture took is in the store. */
  saved(): void {
    this.#saving = new Map();
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writer.varint(this.#count);
    writer.varint(this.#sumA);
    writer.varint(this.#sumB);
    return writer.finish();
  }

  decode(row: Buffer): void {
    const reader = openRow(row, this.key);
    this.#count = reader.varint();
    this.#sumA = reader.varint();
    this.#sumB = reader.varint();
    reader.finish();
  }

  #recent(key: string): Buffer | null | undefined {
    const unsaved = this.#unsaved.get(key);
    return unsaved === undefined ? this.#saving.get(key) : unsaved;
  }

  /** Sums do not depend on the order of the rows: equal sums mean equal sets of keys. */
  #add(key: string, sign: number): void {
    let a = 0x811c9dc5;
    let b = 0x9e3779b9;
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i);
      a = Math.imul(a ^ unit, 0x01000193);
      b = Math.imul(b ^ unit, 0x85ebca6b) ^ (b >>> 15);
    }
    this.#sumA = (this.#sumA + sign * (a >>> 0)) >>> 0;
    this.#sumB = (this.#sumB + sign * (b >>> 0)) >>> 0;
    this.#onChange();
  }
}

function keep(found: ColdRow[], [key, value]: readonly [string, Buffer | null]): void {
  if (value !== null) found.push({ key, value });
}
