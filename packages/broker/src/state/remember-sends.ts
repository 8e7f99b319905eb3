import { isMqError, type Logger } from '@raftmq/base';
import { isStoredMessage, StoredView } from '@raftmq/protocol';
import { ENTRY_HEADER_SIZE_BYTES, entryEnd, entryType, type Entry } from '@raftmq/raft';
import { decodeCommand, isCommandOfKind, type PutTimer } from './commands/index.js';
import { type RecentSends, type SendHash } from './recent-sends.js';
import { type Tables } from './tables.js';

export interface RememberOptions {
  readonly tables: Tables;
  readonly log: LogTail;
  readonly logger: Logger;
  /** Last entry to be read: what comes behind it will be applied. */
  readonly throughIndex: number;
  /** Most log to be read. */
  readonly bytesMax: number;
}

/** The part of the log that is needed here. */
export interface LogTail {
  readonly firstIndex: number;
  readonly lastIndex: number;
  read(fromIndex: number, throughIndex: number, bytesMax: number): readonly Entry[];
}

const READ_BYTES = 4 * 1024 * 1024;

/** Fills `recent` from the end of the log: as far back as its window and `bytesMax` reach. */
export function rememberSends(recent: RecentSends, options: RememberOptions): void {
  const { logger } = options;
  try {
    const entries = readTail(recent, options);
    const messageIds = recent.size;
    logger.info({ messageIds, entries }, 'ids of recent messages read from the log');
  } catch (error) {
    if (!isMqError(error)) throw error;
    // What is applied already is not needed to serve: whoever reads it will hear of it.
    logger.error(
      { error },
      'the end of the log cannot be read: sends from before this start that are repeated will be stored twice',
    );
  }
}

/** @returns how many entries were read */
function readTail(recent: RecentSends, options: RememberOptions): number {
  const { tables, log, bytesMax } = options;
  const throughIndex = Math.min(options.throughIndex, log.lastIndex);
  if (throughIndex < log.firstIndex) return 0;
  const last = entryAt(log, throughIndex);
  const sinceMs = last.storeTimestampMs - recent.windowMs;
  const sincePosition = entryEnd(last) - bytesMax;
  const fromIndex = firstWhere(log.firstIndex, throughIndex + 1, (index) => {
    const { storeTimestampMs, position } = entryAt(log, index);
    return storeTimestampMs >= sinceMs && position >= sincePosition;
  });
  const timers: (PutSeen | null)[] = [];
  for (let index = fromIndex; index <= throughIndex;) {
    const entries = log.read(index, throughIndex, READ_BYTES);
    for (const entry of entries) rememberEntry(recent, tables, timers, entry);
    index += entries.length;
  }
  // Ids are given in the order of the log, so the last ones are known; in front of a command that may have failed they are not.
  let timerId = tables.timers.lastId;
  for (const put of timers.reverse()) {
    if (put === null) break;
    const { hash, position } = put;
    if (hash !== null) recent.addTimerId(hash, position, timerId, last.storeTimestampMs);
    timerId--;
  }
  return throughIndex + 1 - fromIndex;
}

/** A put-timer command that made a timer. */
interface PutSeen {
  /** null = the message has no id. */
  readonly hash: SendHash | null;
  readonly position: number;
}

/** @param timers one for each put-timer command, null when it may have failed */
function rememberEntry(
  recent: RecentSends,
  tables: Tables,
  timers: (PutSeen | null)[],
  entry: Entry,
): void {
  if (entry.type !== entryType.records) return;
  const { frame, storeTimestampMs } = entry;
  const message = new StoredView();
  let at = ENTRY_HEADER_SIZE_BYTES;
  for (let left = entry.recordCount; left > 0; left--) {
    const sizeBytes = frame.readUInt32BE(at);
    if (isStoredMessage(frame, at)) {
      message.read(frame, at, sizeBytes);
      // Of a topic that is deleted by now nothing is asked for.
      const topic = tables.topics.get(message.topic());
      if (topic !== undefined) {
        recent.add(topic.idSalt, message, entry.position + at, storeTimestampMs);
      }
    } else if (isCommandOfKind(frame, at, 'put-timer')) {
      const command = decodeCommand(frame, at, sizeBytes) as PutTimer;
      const { record } = command;
      const position = entry.position + at;
      message.read(record, 0, record.length);
      const topic = tables.topics.get(message.topic());
      if (topic === undefined || topic.epoch > entry.index) timers.push(null);
      else {
        const place = { position, sizeBytes };
        const hash = recent.addTimer(topic, message, place, null, storeTimestampMs);
        timers.push({ hash, position });
      }
    }
    at += sizeBytes;
  }
}

function entryAt(log: LogTail, index: number): Entry {
  return log.read(index, index, 1)[0]!;
}

/** The first index of [from, end) for which `holds`, given that it holds for all behind it; `end` without one. */
function firstWhere(from: number, end: number, holds: (index: number) => boolean): number {
  while (from < end) {
    const middle = Math.floor((from + end) / 2);
    if (holds(middle)) end = middle;
    else from = middle + 1;
  }
  return from;
}
