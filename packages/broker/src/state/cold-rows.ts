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
  #saves = 0;
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

  /** Changes that no checkpoint has taken. */
  get unsavedCount(): number {
    return this.#unsaved.size;
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

  /**
   * Reads rows and says so at once, in the same turn as the caller's next line: nothing was applied to them in between.
   * For callers that decide by what is there, and must not decide by what was.
   */
  async getNow(
    keys: readonly string[],
    decide: (rows: readonly (Buffer | null)[]) => void,
  ): Promise<void> {
    for (;;) {
      const saves = this.#saves;
      const rows = await Promise.all(keys.map((key) => this.get(key)));
      // Rows may have moved on to the store since: what it said before is not the last word then.
      if (saves !== this.#saves) continue;
      for (let i = 0; i < keys.length; i++) {
        const recent = this.#recent(keys[i]!);
        if (recent !== undefined) rows[i] = recent;
      }
      return decide(rows);
    }
  }

  /**
   * Rows with from <= key < before, ascending, as of some moment during the call; at most `countMax`, and after the
   * first one no more than fit into `bytesMax`. Looks at all unsaved keys once, and sorts no more than it gives.
   */
  async range(
    from: string,
    before: string,
    countMax: number,
    bytesMax = Infinity,
  ): Promise<readonly ColdRow[]> {
    // What a checkpoint takes away while we wait stays readable through these two.
    const unsaved = this.#unsaved;
    const saving = this.#saving;
    const recent = new SmallestKeys(countMax);
    for (const [key, value] of unsaved) {
      if (value !== null && key >= from && key < before) recent.add(key);
    }
    for (const [key, value] of saving) {
      if (value !== null && key >= from && key < before && !unsaved.has(key)) recent.add(key);
    }
    const merged = recent.sorted();
    const page = new Page(countMax, bytesMax);
    let at = 0;
    const addBefore = (end: string | null): void => {
      for (; at < merged.length && (end === null || merged[at]! < end); at++) {
        const key = merged[at]!;
        const value = unsaved.get(key);
        page.add(key, value === undefined ? saving.get(key)! : value);
      }
    };
    for (let next = from; ;) {
      const stored = await this.#store.coldRange(next, before, countMax, bytesMax);
      for (const row of stored) {
        addBefore(row.key);
        if (!unsaved.has(row.key) && !saving.has(row.key)) page.add(row.key, row.value);
        if (page.full) return page.rows;
      }
      const last = bytesMax === Infinity && stored.length < countMax;
      if (stored.length === 0 || last) break;
      next = `${stored[stored.length - 1]!.key}\0`;
    }
    addBefore(null);
    return page.rows;
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
    this.#saves++;
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

/** Rows up to a count and a size. */
class Page {
  readonly rows: ColdRow[] = [];
  readonly #countMax: number;
  #bytesLeft: number;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesLeft = bytesMax;
  }

  get full(): boolean {
    return this.rows.length >= this.#countMax || this.#bytesLeft <= 0;
  }

  /** null = deleted since. */
  add(key: string, value: Buffer | null): void {
    if (value === null || this.full) return;
    this.#bytesLeft -= value.length;
    if (this.#bytesLeft >= 0 || this.rows.length === 0) this.rows.push({ key, value });
  }
}

/** The smallest of many keys, without sorting all of them: what is too large is thrown away now and then. */
class SmallestKeys {
  readonly #countMax: number;
  #keys: string[] = [];
  /** Keys from here on are too many. */
  #end: string | null = null;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  add(key: string): void {
    if (this.#end !== null && key >= this.#end) return;
    this.#keys.push(key);
    if (this.#keys.length < 2 * this.#countMax + 64) return;
    this.#keys = this.sorted();
    this.#end = this.#keys[this.#keys.length - 1]!;
  }

  /** Ascending, at most the count. */
  sorted(): string[] {
    return this.#keys.sort().slice(0, this.#countMax);
  }
}
