import { MqError } from '@raftmq/base';
import {
  keyTerm,
  messageIdTerm,
  type LogByPosition,
  type MessageIndex,
  type QueueIndex,
  type Term,
} from '@raftmq/broker-store';
import { decodeOffsetMessageId } from '@raftmq/protocol';
import { offsetByTimestamp, type OffsetByTimeSource } from '../messaging-service/offset-by-time.js';
import { type Tables } from '../state/tables.js';
import { readById, readFoundMessage, type FoundMessage } from './found-message.js';

export interface QuerySource {
  readonly tables: Tables;
  readonly queueIndex: Pick<QueueIndex, 'read' | 'minOffset' | 'maxOffset'>;
  readonly log: LogByPosition & OffsetByTimeSource['log'];
  readonly messageIndex: Pick<MessageIndex, 'find'>;
  readonly settings: {
    readonly queryMessagesMax: number;
    readonly queryAnswerBytesMax: number;
    readonly traceScanBytesMax: number;
    readonly queriesMax: number;
  };
}

export interface QueryAnswer {
  readonly messages: readonly FoundMessage[];
  /** Where the query goes on; null when it has seen everything. */
  readonly nextPosition: number | null;
  /** Bytes of log that could not be searched: the index is being made again, hits may be missing. */
  readonly missingBytes: number;
}

export interface KeyQuery {
  readonly topic: string;
  readonly key: string;
  /** Store time, both inclusive. */
  readonly fromMs: number;
  readonly throughMs: number;
  /** Only messages below this position: the `nextPosition` of an answer; null = from the newest on. */
  readonly beforePosition: number | null;
  readonly countMax: number;
}

export interface ListQuery {
  readonly topic: string;
  /** null = all queues. */
  readonly queueId: number | null;
  /** Where to begin in every queue: at an offset, at a time, or so that the newest messages are given. */
  readonly start:
    | { readonly kind: 'offset'; readonly offset: number }
    | { readonly kind: 'time'; readonly timestampMs: number }
    | { readonly kind: 'newest' };
  readonly countMax: number;
}

/** How one search goes. */
interface Search {
  /** The `nextPosition` of the answer before; null at first. */
  readonly continueAt: number | null;
  /** Oldest first. */
  readonly ascending: boolean;
  readonly countMax: number;
  /** What a candidate's position leads to. */
  readonly read: (position: number) => Promise<readonly FoundMessage[]>;
  readonly matches: (found: FoundMessage) => boolean;
  /** Nothing behind can match any more. */
  readonly over: (found: FoundMessage) => boolean;
}

/** Candidates taken from the index in one go. */
const PAGE = 64;
/** Candidates that one query reads: hits outside of a time range, or of another topic, cost as much as others. */
const CANDIDATES_MAX = 4_096;

/** Finds stored messages; changes nothing, and moves no consumer. For the group's leader. */
export class MessageQueries {
  readonly #source: QuerySource;
  #running = 0;

  constructor(source: QuerySource) {
    this.#source = source;
  }

  /**
   * Messages with an id, oldest first: the client's id, else RocketMQ's offset message id. Several when a message was
   * sent twice, or copied to a dead-letter queue.
   * @param topic only there; '' = anywhere
   */
  byId(messageId: string, topic: string): Promise<QueryAnswer> {
    return this.guarded(async () => {
      const answer = await this.#search(messageIdTerm(messageId), {
        continueAt: null,
        ascending: true,
        countMax: this.#source.settings.queryMessagesMax,
        read: (position) => readById(this.#source, position, messageId),
        matches: ({ message }) => topic === '' || message.topic === topic,
        over: () => false,
      });
      if (answer.messages.length > 0) return answer;
      const place = decodeOffsetMessageId(messageId);
      if (place === null) return answer;
      const found = await readFoundMessage(this.#source, place.position);
      const right =
        found?.message.storeHost === place.storeHost &&
        (topic === '' || found.message.topic === topic);
      return right ? { messages: [found], nextPosition: null, missingBytes: 0 } : answer;
    });
  }

  /** Messages of a topic with a key, newest first. @throws MqError TOPIC_NOT_FOUND */
  byKey(query: KeyQuery): Promise<QueryAnswer> {
    const { topic, key, fromMs, throughMs, beforePosition } = query;
    return this.guarded(async () => {
      this.#needTopic(topic);
      const matches = ({ message }: FoundMessage): boolean =>
        message.topic === topic &&
        message.keys.includes(key) &&
        message.storeTimestampMs >= fromMs &&
        message.storeTimestampMs <= throughMs;
      return this.#search(keyTerm(topic, key), {
        continueAt: beforePosition,
        ascending: false,
        countMax: Math.min(query.countMax, this.#source.settings.queryMessagesMax),
        read: async (position) => {
          const found = await readFoundMessage(this.#source, position);
          return found === null ? [] : [found];
        },
        matches,
        over: ({ message }) => message.storeTimestampMs < fromMs,
      });
    });
  }

  /**
   * Messages of a topic in the order in which they were stored, without consuming them.
   * @throws MqError TOPIC_NOT_FOUND, BAD_REQUEST for a queue that the topic does not have
   */
  list(query: ListQuery): Promise<QueryAnswer> {
    return this.guarded(() => this.#list(query));
  }

  /** Runs a query; refuses it when too many run. */
  async guarded<T>(query: () => Promise<T>): Promise<T> {
    const { queriesMax } = this.#source.settings;
    if (this.#running >= queriesMax) {
      throw new MqError(
        'TOO_MANY_REQUESTS',
        `${queriesMax} queries for messages are running at this broker; try again later, or raise queriesMax`,
      );
    }
    this.#running++;
    try {
      return await query();
    } finally {
      this.#running--;
    }
  }

  #needTopic(topic: string): number {
    const row = this.#source.tables.topics.get(topic);
    if (row !== undefined) return row.config.queues;
    throw new MqError('TOPIC_NOT_FOUND', `topic ${topic} does not exist`);
  }

  async #search(term: Term, search: Search): Promise<QueryAnswer> {
    const { log, messageIndex, settings } = this.#source;
    const { continueAt, ascending, countMax, read, matches, over } = search;
    const messages: FoundMessage[] = [];
    let missingBytes = 0;
    let sizeBytes = 0;
    let from = ascending ? (continueAt ?? log.firstPosition) : log.firstPosition;
    let end = ascending ? log.endPosition : (continueAt ?? log.endPosition);
    let last = -1;
    for (let looked = 0; looked < CANDIDATES_MAX;) {
      const range = { fromPosition: from, endPosition: end, ascending, countMax: PAGE };
      const page = await messageIndex.find(term, range);
      missingBytes = Math.max(missingBytes, page.missingBytes);
      for (const position of page.positions) {
        looked++;
        // A key that a message has twice comes twice.
        if (position === last) continue;
        last = position;
        for (const found of await read(position)) {
          if (over(found)) return { messages, nextPosition: null, missingBytes };
          if (!matches(found)) continue;
          const full =
            messages.length >= countMax ||
            (messages.length > 0 && sizeBytes + found.sizeBytes > settings.queryAnswerBytesMax);
          if (full) {
            const nextPosition = ascending ? position : position + 1;
            return { messages, nextPosition, missingBytes };
          }
          sizeBytes += found.sizeBytes;
          messages.push(found);
        }
      }
      if (page.positions.length < PAGE) return { messages, nextPosition: null, missingBytes };
      if (ascending) from = last + 1;
      else end = last;
    }
    return { messages, nextPosition: ascending ? from : end, missingBytes };
  }

  async #list(query: ListQuery): Promise<QueryAnswer> {
    const { queueIndex, settings } = this.#source;
    const { topic, queueId } = query;
    const queues = this.#needTopic(topic);
    if (queueId !== null && queueId >= queues) {
      throw new MqError('BAD_REQUEST', `topic ${topic} has ${queues} queues, 0 to ${queues - 1}`);
    }
    const countMax = Math.min(query.countMax, settings.queryMessagesMax);
    const ids = queueId === null ? Array.from({ length: queues }, (_, id) => id) : [queueId];
    const positions: number[] = [];
    for (const id of ids) {
      const from = await this.#startOf(query, id, countMax);
      const slice = queueIndex.read(topic, id, from, countMax + 1);
      for (let i = 0; i < slice.count; i++) positions.push(slice.positions[i]!);
    }
    // Positions follow the order of storing, over all queues of the group.
    positions.sort((a, b) => a - b);
    const wanted = query.start.kind === 'newest' ? positions.slice(-countMax) : positions;
    const messages: FoundMessage[] = [];
    let sizeBytes = 0;
    for (const position of wanted) {
      const found = await readFoundMessage(this.#source, position);
      if (found === null) continue;
      const full =
        messages.length === countMax ||
        (messages.length > 0 && sizeBytes + found.sizeBytes > settings.queryAnswerBytesMax);
      if (full) return { messages, nextPosition: position, missingBytes: 0 };
      sizeBytes += found.sizeBytes;
      messages.push(found);
    }
    return { messages, nextPosition: null, missingBytes: 0 };
  }

  #startOf(query: ListQuery, queueId: number, countMax: number): Promise<number> | number {
    const { topic, start } = query;
    if (start.kind === 'offset') return start.offset;
    if (start.kind === 'newest')
      return Math.max(0, this.#source.queueIndex.maxOffset(topic, queueId) - countMax);
    return offsetByTimestamp(this.#source, topic, queueId, start.timestampMs);
  }
}
