import { type StoredView } from '@raftmq/protocol';
import { IdHash } from './id-hash.js';
import { IdTable } from './id-table.js';

const TABLE_SIZE_MIN = 1024;
const GROWTH = 4;

/** Tells the ids of timers from the places of the commands that put them. */
const TIMER_IDS = 0x54494d45;

/** Hash of a message id. */
export interface SendHash {
  readonly high: number;
  readonly low: number;
}

/** The topic of a message that waits. When it is deleted, its timers are void, and known to nobody any more. */
export interface TimerTopic {
  readonly idSalt: number;
  readonly epoch: number;
}

function timerSalt({ idSalt, epoch }: TimerTopic): number {
  return Math.imul(idSalt ^ 0x7feb352d, 0x9e3779b1) ^ Math.imul(epoch, 0x85ebca77);
}

/** How far back sends are remembered. */
export interface RecentSendsLimits {
  readonly sendDedupWindowMs: number;
  readonly sendDedupMax: number;
}

/**
 * Where the messages of the last minutes lie, by topic and message id, so that a send that is repeated can be answered
 * with what became of the first one. Filled as messages are applied, so that every replica has it; never saved.
 *
 * It knows hashes only: who finds a place has to read the message there and compare.
 *
 * Tables are never made larger in place, which would take long at a size: a full one whose oldest message still counts
 * is kept as it is until all of it is out of time, and the next one is four times as large.
 */
export class RecentSends {
  /** Newest first; the first one is written to. */
  #tables: IdTable[];
  readonly #countMax: number;
  readonly #windowMs: number;
  readonly #hash: IdHash;

  /** @param seed at least 8 random bytes, so that nobody can choose ids with equal hashes */
  constructor(limits: RecentSendsLimits, seed: Buffer) {
    this.#countMax = 2 ** Math.ceil(Math.log2(limits.sendDedupMax));
    this.#tables = [new IdTable(Math.min(TABLE_SIZE_MIN, this.#countMax))];
    this.#windowMs = limits.sendDedupWindowMs;
    this.#hash = new IdHash(seed);
  }

  /** Messages remembered, some of them perhaps out of time. */
  get size(): number {
    return this.#tables.reduce((sum, table) => sum + table.size, 0);
  }

  get sizeBytes(): number {
    return this.#tables.reduce((sum, table) => sum + table.sizeBytes, 0);
  }

  get windowMs(): number {
    return this.#windowMs;
  }

  /**
   * Remembers a message. Those without an id are passed over.
   * @param salt of its topic, see `nameSalt`
   * @param position where the record begins in the log
   */
  add(salt: number, message: StoredView, position: number, storeTimestampMs: number): void {
    if (this.#hashId(salt, message)) this.#put(storeTimestampMs, message.sizeBytes, position);
  }

  /**
   * Remembers a message that waits for its delivery time, by the command that put it.
   * @param timerId null = add it later, or never
   * @returns its hash, to name it to {@link addTimerId}; null without a message id
   */
  addTimer(
    topic: TimerTopic,
    message: StoredView,
    command: { readonly position: number; readonly sizeBytes: number },
    timerId: number | null,
    storeTimestampMs: number,
  ): SendHash | null {
    if (!this.#hashId(timerSalt(topic), message)) return null;
    const { high, low } = this.#hash;
    this.#put(storeTimestampMs, command.sizeBytes, command.position);
    if (timerId !== null)
      this.addTimerId({ high, low }, command.position, timerId, storeTimestampMs);
    return { high, low };
  }

  /** Remembers which timer a put-timer command made. `storeTimestampMs` is never before that of anything added earlier. */
  addTimerId(
    { high, low }: SendHash,
    position: number,
    timerId: number,
    storeTimestampMs: number,
  ): void {
    const hash = this.#hash;
    hash.high = (high ^ TIMER_IDS) >>> 0;
    hash.low = low;
    this.#put(storeTimestampMs, position >>> 0, timerId);
  }

  /** The hash under which a message that waits is known: valid until the next call of any method. */
  hashOfTimer(topic: TimerTopic, messageId: string): IdHash {
    return this.hashOf(timerSalt(topic), messageId);
  }

  /** The id of the timer that the command at `position` made; null when it is not known. */
  timerId({ high, low }: SendHash, position: number, nowMs: number): number | null {
    const found = this.places((high ^ TIMER_IDS) >>> 0, low, nowMs);
    for (let i = 0; i < found.length; i += 2) {
      if (found[i + 1] === position >>> 0) return found[i]!;
    }
    return null;
  }

  /** The hash of a message id: valid until the next call of any method. */
  hashOf(salt: number, messageId: string): IdHash {
    this.#hash.ofText(salt, messageId);
    return this.#hash;
  }

  /** Whether a message with this hash was stored within the window. */
  has(high: number, low: number, nowMs: number): boolean {
    const tables = this.#tables;
    for (let i = 0; i < tables.length; i++) {
      const number = tables[i]!.newest(high, low);
      if (number !== 0 && !this.#isOver(tables[i]!.stamp(number), nowMs)) return true;
    }
    return false;
  }

  /** Position and size of the messages with this hash within the window, newest first: pairs in one list. */
  places(high: number, low: number, nowMs: number): number[] {
    const places: number[] = [];
    for (const table of this.#tables) {
      for (let found = table.newest(high, low); found !== 0; found = table.earlier(found)) {
        if (this.#isOver(table.stamp(found), nowMs)) return places;
        places.push(table.value(found), table.extra(found));
      }
    }
    return places;
  }

  /** Gives the memory of what is out of time back. To be called now and then: without new sends nobody else does. */
  forgetOld(nowMs: number): void {
    const [first] = this.#tables;
    const isOver = (table: IdTable): boolean =>
      table.size > 0 && this.#isOver(table.newestStamp, nowMs);
    if (this.#tables.length > 1) {
      this.#tables = this.#tables.filter((table) => table === first || !isOver(table));
    }
    if (this.#tables.length === 1 && isOver(first!) && first!.capacity > TABLE_SIZE_MIN) {
      this.#tables = [new IdTable(Math.min(TABLE_SIZE_MIN, this.#countMax))];
    }
  }

  #hashId(salt: number, message: StoredView): boolean {
    const { idStart, idEnd } = message;
    if (idEnd === idStart) return false;
    this.#hash.ofBytes(salt, message.bytes, idStart, idEnd);
    return true;
  }

  /** Adds an entry under the last hash. */
  #put(storeTimestampMs: number, extra: number, value: number): void {
    const { high, low } = this.#hash;
    let table = this.#tables[0]!;
    if (table.isFull) table = this.#tableWithRoom(storeTimestampMs);
    table.add(high, low, Math.floor(storeTimestampMs / 1000), extra, value);
  }

  /** The first table is full: its oldest message can go, or there is another table from now on. */
  #tableWithRoom(nowMs: number): IdTable {
    const full = this.#tables[0]!;
    const isOver = this.#isOver(full.oldestStamp, nowMs);
    if (isOver || full.capacity >= this.#countMax) {
      // At the maximum, or within the window, everything in older tables is older than what is overwritten now.
      if (this.#tables.length > 1) this.#tables = [full];
      return full;
    }
    const table = new IdTable(Math.min(full.capacity * GROWTH, this.#countMax));
    this.#tables = [table, ...this.#tables.filter((old) => !this.#isOver(old.newestStamp, nowMs))];
    return table;
  }

  #isOver(stamp: number, nowMs: number): boolean {
    return nowMs - stamp * 1000 > this.#windowMs + 1000;
  }
}
