import {
  decodeStoredMessage,
  encodeOffsetMessageId,
  isStoredMessage,
  parseStoredHost,
  storedMessageId,
  storedPhysicalOffset,
  type StoredMessage,
} from '@raftmq/protocol';
import { type LogByPosition, type QueueIndex } from '@raftmq/broker-store';
import { ENTRY_HEADER_SIZE_BYTES, entryType, type Entry } from '@raftmq/raft';
import { decodeCommand, isCommandOfKind } from '../state/commands/index.js';
import { decodeOutcome, outcomeKey, type TransactionOutcome } from '../state/half-table.js';
import { timerKey } from '../state/timers-row.js';
import { type Tables } from '../state/tables.js';

/**
 * How a message lies in the log: `VISIBLE` in its queue, `HIDDEN` when its queue does not lead to it (its topic was
 * deleted), `TIMER` when it waits for its delivery time, `HALF` when it waits for the end of its transaction. With
 * `_OVER` it did wait: one that was delivered or committed is found a second time, as visible.
 */
export type FoundState = 'VISIBLE' | 'HIDDEN' | 'TIMER' | 'TIMER_OVER' | 'HALF' | 'HALF_OVER';

/** A stored message as queries find it. */
export interface FoundMessage {
  readonly state: FoundState;
  /** `body` is a view. Queue, offset and position mean nothing while the message waits. */
  readonly message: StoredMessage;
  /** Of its record, or of the command that brought it while it waits. */
  readonly position: number;
  readonly sizeBytes: number;
  /** Where it lies in RocketMQ's notation; '' for messages that wait, or waited. */
  readonly offsetMessageId: string;
  /** Delivery time of a timer; 0 for other messages. */
  readonly dueMs: number;
  /** How its transaction ended, as long as that is known; null for other messages. */
  readonly outcome: TransactionOutcome | null;
  readonly entry: Entry;
}

export interface MessageSource {
  readonly tables: Pick<Tables, 'cold' | 'halves'>;
  readonly queueIndex: Pick<QueueIndex, 'read'>;
  readonly log: LogByPosition;
}

/** Timers of one millisecond that are looked through for a message. */
const TIMERS_LOOKED_MAX = 1_000;

/** The message at exactly `position`; null when there is none, or no longer. */
export async function readFoundMessage(
  source: MessageSource,
  position: number,
): Promise<FoundMessage | null> {
  const entry = await source.log.entryAt(position);
  if (entry === null) return null;
  for (const at of recordsOf(entry))
    if (entry.position + at === position) return readAt(source, entry, at);
  return null;
}

/** What a pair of a message id leads to: a message, or those with that id that wait, in the entry that begins there. */
export async function readById(
  source: MessageSource,
  position: number,
  messageId: string,
): Promise<readonly FoundMessage[]> {
  const entry = await source.log.entryAt(position);
  if (entry === null) return [];
  const found: FoundMessage[] = [];
  for (const at of recordsOf(entry)) {
    const waits = entry.position === position && bringsWaiting(entry.frame, at);
    if (!waits && entry.position + at !== position) continue;
    const one = await readAt(source, entry, at);
    if (one !== null && one.message.messageId === messageId) found.push(one);
  }
  return found;
}

async function readAt(
  source: MessageSource,
  entry: Entry,
  at: number,
): Promise<FoundMessage | null> {
  const { frame } = entry;
  const sizeBytes = frame.readUInt32BE(at);
  const position = entry.position + at;
  if (isStoredMessage(frame, at)) {
    const record = frame.subarray(at, at + sizeBytes);
    if (storedPhysicalOffset(record) !== position) return null;
    const message = decodeStoredMessage(record);
    const { topic, queueId, queueOffset, storeHost } = message;
    const slice = source.queueIndex.read(topic, queueId, queueOffset, 1);
    const visible = slice.count === 1 && slice.positions[0] === position;
    const offsetMessageId = encodeOffsetMessageId(parseStoredHost(storeHost), position);
    const state = visible ? 'VISIBLE' : 'HIDDEN';
    return { state, message, position, sizeBytes, offsetMessageId, dueMs: 0, outcome: null, entry };
  }
  if (!bringsWaiting(frame, at)) return null;
  const command = decodeCommand(frame, at, sizeBytes);
  const place = { position, sizeBytes, offsetMessageId: '', entry };
  if (command.kind === 'put-timer') {
    const { dueMs, record } = command;
    const message = decodeStoredMessage(record);
    const state = (await isPending(source, dueMs, message.messageId)) ? 'TIMER' : 'TIMER_OVER';
    return { state, message, dueMs, outcome: null, ...place };
  }
  if (command.kind !== 'put-half') return null;
  const message = decodeStoredMessage(command.message);
  const { topic, messageId } = message;
  const { halves, cold } = source.tables;
  if (halves.find(topic, messageId) !== undefined)
    return { state: 'HALF', message, dueMs: 0, outcome: null, ...place };
  const row = await cold.get(outcomeKey(topic, messageId));
  const outcome = row === null ? null : decodeOutcome(row);
  return { state: 'HALF_OVER', message, dueMs: 0, outcome, ...place };
}

function bringsWaiting(frame: Buffer, at: number): boolean {
  return isCommandOfKind(frame, at, 'put-timer', 'put-half');
}

async function isPending(
  { tables }: MessageSource,
  dueMs: number,
  messageId: string,
): Promise<boolean> {
  const rows = await tables.cold.range(
    timerKey(dueMs, 0),
    timerKey(dueMs + 1, 0),
    TIMERS_LOOKED_MAX,
  );
  return rows.some(({ value }) => storedMessageId(value) === messageId);
}

/** Where the records of an entry begin in its frame. Positions may come from strangers: walked from the start. */
function* recordsOf({ frame, type, recordCount }: Entry): Iterable<number> {
  if (type !== entryType.records) return;
  let at = ENTRY_HEADER_SIZE_BYTES;
  for (let left = recordCount; left > 0; left--) {
    yield at;
    at += frame.readUInt32BE(at);
  }
}
