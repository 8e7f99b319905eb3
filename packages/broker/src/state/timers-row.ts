import { assert } from '@raftmq/base';
import { BinaryWriter } from '../pop/binary.js';
import { openRow, rowVersion } from './row-format.js';

/** What a timer is known by. */
export interface TimerName {
  /** Not delivered before; Unix milliseconds, from 0. */
  readonly dueMs: number;
  /** Ascending in the order of the log, from 1. */
  readonly id: number;
}

/** A timer that was put. */
export interface PutTimerNews extends TimerName {
  /** The waiting message; read only. */
  readonly record: Buffer;
}

/** What happened to timers while entries were applied. */
export interface TimerNews {
  readonly put: readonly PutTimerNews[];
  /** Ids of those that fired or were recalled. */
  readonly over: readonly number[];
}

/** Key of the cold row that holds a waiting message: rows lie in the order of their due times, then of the log. */
export function timerKey(dueMs: number, id: number): string {
  return `${timerKeyFrom(dueMs)}/${hex16(id)}`;
}

/** The first key that a timer of this due time, or a later one, may have. */
export function timerKeyFrom(dueMs: number): string {
  return `timer/${hex16(dueMs)}`;
}

/** Reads {@link timerKey}. */
export function timerOfKey(key: string): TimerName {
  return { dueMs: parseInt(key.slice(6, 22), 16), id: parseInt(key.slice(23), 16) };
}

function hex16(value: number): string {
  return value.toString(16).padStart(16, '0');
}

const NOTHING: TimerNews = { put: [], over: [] };

/** Numbers about all timers; the waiting messages themselves are cold rows. */
export class TimersRow {
  readonly key = 'shared/timers';
  changed = false;
  /** Timers that wait. */
  pending = 0;
  /** Id of the last timer that was put. */
  lastId = 0;
  /** Latest due time of any timer that fired: one with a later due time that is gone was recalled. */
  firedThroughMs = 0;
  #put: PutTimerNews[] = [];
  #over: number[] = [];

  /** Remembers for those who serve clients that a timer was put. */
  put(timer: PutTimerNews): void {
    this.#put.push(timer);
  }

  /** A timer does not wait any more. */
  over(id: number): void {
    assert(this.pending > 0, 'there is a timer to end');
    this.pending--;
    this.#over.push(id);
  }

  /** What happened since the last call. */
  takeNews(): TimerNews {
    if (this.#put.length + this.#over.length === 0) return NOTHING;
    const news = { put: this.#put, over: this.#over };
    this.#put = [];
    this.#over = [];
    return news;
  }

  encode(): Buffer {
    const writer = new BinaryWriter();
    writer.byte(rowVersion);
    writer.varint(this.pending);
    writer.varint(this.lastId);
    writer.varint(this.firedThroughMs);
    return writer.finish();
  }

  decode(row: Buffer): void {
    const reader = openRow(row, this.key);
    this.pending = reader.varint();
    this.lastId = reader.varint();
    this.firedThroughMs = reader.varint();
    reader.finish();
  }
}
