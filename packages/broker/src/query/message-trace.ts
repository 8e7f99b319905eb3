import { MqError } from '@raftmq/base';
import { queueRangeTerm, STRIPE_SIZE_BYTES } from '@raftmq/broker-store';
import { ENTRY_HEADER_SIZE_BYTES, entryEnd, entryType, type Entry } from '@raftmq/raft';
import { decodeCommand, isCommandMagic } from '../state/commands/index.js';
import { type DeliveryRow } from '../state/tables.js';
import { outcomeCode, type TransactionOutcome } from '../state/half-table.js';
import {
  note,
  noteOf,
  type CommandNote,
  type TraceTarget,
  type TransactionEnd,
} from './command-note.js';
import { readFoundMessage, type FoundMessage } from './found-message.js';
import { type MessageQueries, type QuerySource } from './message-queries.js';

/** Something that happened to a message. */
export interface TraceEvent extends CommandNote {
  /** Store timestamp of the command's entry. */
  readonly timeMs: number;
  readonly position: number;
}

export type ConsumeStatus = 'CONSUMED' | 'IN_FLIGHT' | 'NOT_CONSUMED';

/** Where one consumer group stands with a message. */
export interface GroupConsumeStatus {
  readonly group: string;
  readonly status: ConsumeStatus;
}

export interface TraceAnswer {
  readonly found: FoundMessage;
  /** In the order of the log. */
  readonly events: readonly TraceEvent[];
  /** Now, by the groups that read the topic; ascending by name. */
  readonly groups: readonly GroupConsumeStatus[];
  /** Where the trace goes on; null when it is complete. */
  readonly nextPosition: number | null;
  readonly missingBytes: number;
}

const PAGE = 64;
const EVENTS_MAX = 1_000;

/**
 * What happened to a message, out of the commands in the log behind it: no other record is kept for that, and nothing is
 * written for it. The message index knows which quarter megabytes of the log hold commands about the message or its
 * neighbours; those are read.
 */
export class MessageTraces {
  readonly #source: QuerySource;
  readonly #queries: MessageQueries;

  constructor(source: QuerySource, queries: MessageQueries) {
    this.#source = source;
    this.#queries = queries;
  }

  /**
   * @param position of the message's record
   * @param continueAt the `nextPosition` of the answer before; null at first
   * @throws MqError MESSAGE_NOT_FOUND
   */
  trace(position: number, continueAt: number | null): Promise<TraceAnswer> {
    return this.#queries.guarded(async () => {
      const found = await readFoundMessage(this.#source, position);
      if (found === null) {
        throw new MqError('MESSAGE_NOT_FOUND', `no message lies at position ${position}`);
      }
      const { messageId, topic, queueOffset } = found.message;
      const target = { messageId, topic, queueId: this.#queueOf(found.message), queueOffset };
      // An invisible message, of a deleted topic perhaps, shares its offset with another one.
      const visible = found.state === 'VISIBLE';
      const scan = visible
        ? await this.#scan(target, Math.max(position, continueAt ?? 0))
        : { events: outcomeEvents(found), nextPosition: null, missingBytes: 0 };
      return { found, ...scan, groups: visible ? this.#groups(target) : [] };
    });
  }

  /**
   * The queue that commands name: messages of lite topics are handed out by the id of their lite topic. One that was
   * forgotten since has none, and what was done with its messages is not found any more.
   */
  #queueOf({ topic, queueId, liteTopic }: FoundMessage['message']): number {
    const { lite } = this.#source.tables;
    return lite.byName(topic, liteTopic ?? '')?.id ?? queueId;
  }

  async #scan(
    target: TraceTarget,
    fromPosition: number,
  ): Promise<Pick<TraceAnswer, 'events' | 'nextPosition' | 'missingBytes'>> {
    const { log, messageIndex, settings } = this.#source;
    const term = queueRangeTerm(target.topic, target.queueId, target.queueOffset);
    const events: TraceEvent[] = [];
    const endPosition = log.endPosition;
    let missingBytes = 0;
    let leftBytes = settings.traceScanBytesMax;
    let from = fromPosition;
    for (;;) {
      const range = { fromPosition: stripeStart(from), endPosition, ascending: true };
      const page = await messageIndex.find(term, { ...range, countMax: PAGE });
      missingBytes = Math.max(missingBytes, page.missingBytes);
      for (const position of page.positions) {
        const stripeEnd = stripeStart(position) + STRIPE_SIZE_BYTES;
        let at = Math.max(position, from);
        while (at < stripeEnd) {
          const entry = await log.entryAt(at);
          if (entry === null) break;
          collectEvents(entry, target, events);
          at = entryEnd(entry);
          leftBytes -= entry.frame.length;
          if (leftBytes <= 0 || events.length >= EVENTS_MAX)
            return { events, nextPosition: at < endPosition ? at : null, missingBytes };
        }
        from = Math.max(from, at, stripeEnd);
      }
      if (page.positions.length < PAGE) return { events, nextPosition: null, missingBytes };
    }
  }

  #groups(target: TraceTarget): GroupConsumeStatus[] {
    const statuses: GroupConsumeStatus[] = [];
    for (const { config, deliveries } of this.#source.tables.groups.values()) {
      if (!deliveries.has(target.topic)) continue;
      const row = deliveries.get(target.topic, target.queueId, config.fifo);
      const status = statusOf(row, target.queueOffset);
      statuses.push({ group: config.name, status });
    }
    return statuses.sort((a, b) => (a.group < b.group ? -1 : 1));
  }
}

/** How the transaction of a half message ended, as long as the broker remembers. */
function outcomeEvents({ outcome, position }: FoundMessage): TraceEvent[] {
  if (outcome === null) return [];
  return [{ ...note(endOf(outcome), '', {}), timeMs: outcome.decidedAtMs, position }];
}

function endOf({ outcome }: TransactionOutcome): TransactionEnd {
  if (outcome === outcomeCode.COMMITTED) return 'COMMITTED';
  return outcome === outcomeCode.ROLLED_BACK ? 'ROLLED_BACK' : 'DISCARDED';
}

/** What a group's delivery row says about one offset. */
export function statusOf(row: DeliveryRow | undefined, offset: number): ConsumeStatus {
  if (row === undefined) return 'NOT_CONSUMED';
  const { state } = row;
  if (offset < state.committedOffset) return 'CONSUMED';
  if (offset >= state.nextOffset) return 'NOT_CONSUMED';
  return state.check(offset, Number.MAX_SAFE_INTEGER) === 'done' ? 'CONSUMED' : 'IN_FLIGHT';
}

/** Pairs of a stripe point to the first entry in it that is about the range; the others follow behind. */
function stripeStart(position: number): number {
  return Math.floor(position / STRIPE_SIZE_BYTES) * STRIPE_SIZE_BYTES;
}

function collectEvents(entry: Entry, target: TraceTarget, events: TraceEvent[]): void {
  if (entry.type !== entryType.records) return;
  const { frame, storeTimestampMs, position } = entry;
  let at = ENTRY_HEADER_SIZE_BYTES;
  for (let left = entry.recordCount; left > 0; left--) {
    const sizeBytes = frame.readUInt32BE(at);
    if (isCommandMagic(frame.readUInt32BE(at + 4))) {
      const note = noteOf(decodeCommand(frame, at, sizeBytes), target);
      if (note !== null) events.push({ ...note, timeMs: storeTimestampMs, position });
    }
    at += sizeBytes;
  }
}
