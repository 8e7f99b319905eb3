import { isMqError, MqError } from '@raftmq/base';
import { type QueueIndex } from '@raftmq/broker-store';
import {
  deadLetterProperty,
  deadLetterTopic,
  decodeStoredMessage,
  fifoQueueIndex,
  prepareStoredMessage,
  propertyName,
  type StoredHost,
  type StoredMessage,
} from '@raftmq/protocol';
import { type Tables, type TopicRow } from '../state/tables.js';
import { withoutDeadLetterProperties } from './dead-letters.js';
import { groupGone } from './group-behaviour.js';
import { type MessagingProbe } from './probe.js';
import { type RecordsProposer } from './proposals.js';
import { type RecordLog } from './turn-records.js';

/** A dead letter without its body. */
export interface DeadLetter {
  /** In the dead-letter queue. */
  readonly queueOffset: number;
  readonly messageId: string;
  readonly originTopic: string;
  /** -1 where the letter does not say. */
  readonly originQueueId: number;
  readonly originQueueOffset: number;
  readonly reason: string;
  readonly attempts: number;
  /** Unix milliseconds; 0 = not known. */
  readonly firstDeliveryMs: number;
  readonly lastDeliveryMs: number;
  readonly storedMs: number;
  readonly tag: string | null;
  readonly keys: readonly string[];
  /** The sender's own. */
  readonly properties: ReadonlyMap<string, string>;
  readonly bodySizeBytes: number;
  /** It was sent again. */
  readonly resent: boolean;
}

export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  /** Where the next page begins. */
  readonly nextOffset: number;
  readonly endOffset: number;
}

/** What became of one letter that was to be sent again. */
export interface ResendOutcome {
  readonly queueOffset: number;
  /** null = it was sent, now or before; `sent` says which. */
  readonly error: MqError | null;
  readonly sent: boolean;
}

export interface DeadLetterDeskOptions {
  readonly tables: Tables;
  readonly queueIndex: QueueIndex;
  readonly log: RecordLog;
  readonly proposer: RecordsProposer;
  readonly storeHost: StoredHost;
  readonly probe: MessagingProbe;
  /** null while this replica leads; else what calls are told. */
  readonly refusal: () => MqError | null;
}

/** Letters of one page, and letters sent again by one call. */
export const deadLetterLimits = { pageMax: 256, resendMax: 64 } as const;

/** Records read for one page, and sent again in one entry. */
const BYTES_MAX = 8 * 1024 * 1024;

/**
 * Lists the dead letters of a group, and sends them again to where they came from. That a letter was sent again enters the
 * log in one entry with its copy: asked for a second time, it is not sent again.
 */
export class DeadLetterDesk {
  readonly #options: DeadLetterDeskOptions;
  /** Sent again without an answer; the log may still hold it: another copy could be a second one. */
  readonly #inDoubt = new Set<string>();
  /** On its way now. */
  readonly #busy = new Set<string>();

  constructor(options: DeadLetterDeskOptions) {
    this.#options = options;
  }

  /** A new leadership: what is in the log is applied, and nothing else of ours will ever be. */
  reset(): void {
    this.#inDoubt.clear();
    this.#busy.clear();
  }

  /**
   * Letters from an offset on, in the order in which they were buried.
   * @throws MqError CONSUMER_GROUP_NOT_FOUND when there is neither the group nor a letter of it
   */
  async page(group: string, fromOffset: number, countMax: number): Promise<DeadLetterPage> {
    this.#needLeader();
    const { queueIndex } = this.#options;
    const row = this.#topicOf(group);
    if (row === null) return { letters: [], nextOffset: 0, endOffset: 0 };
    const topic = row.config.name;
    const endOffset = row.queues[0]?.endOffset ?? 0;
    const letters: DeadLetter[] = [];
    let nextOffset = Math.min(Math.max(fromOffset, queueIndex.minOffset(topic, 0)), endOffset);
    let sizeBytes = 0;
    const max = Math.min(countMax, deadLetterLimits.pageMax);
    while (letters.length < max && nextOffset < endOffset && sizeBytes < BYTES_MAX) {
      const record = await this.#read(topic, nextOffset);
      if (record !== null) {
        sizeBytes += record.length;
        letters.push(letterOf(decodeStoredMessage(record), row.resent.has(nextOffset)));
      }
      nextOffset++;
    }
    return { letters, nextOffset, endOffset };
  }

  /** Sends letters again, each to the topic that it came from. @returns one outcome per offset, in order */
  async resend(group: string, offsets: readonly number[]): Promise<readonly ResendOutcome[]> {
    this.#needLeader();
    if (offsets.length > deadLetterLimits.resendMax) {
      throw new MqError(
        'BAD_REQUEST',
        `one call sends ${deadLetterLimits.resendMax} dead letters again at most, not ${offsets.length}`,
      );
    }
    const row = this.#topicOf(group);
    const outcomes: ResendOutcome[] = [];
    for (const queueOffset of offsets) {
      try {
        if (row === null) throw noLetter(group, queueOffset);
        const sent = await this.#resendOne(group, row, queueOffset);
        outcomes.push({ queueOffset, error: null, sent });
      } catch (error) {
        // Letters before it were sent: the caller hears of them, and of the reason for this one.
        if (!isMqError(error)) throw error;
        outcomes.push({ queueOffset, error, sent: false });
      }
    }
    return outcomes;
  }

  /** @returns false when it had been sent before */
  async #resendOne(group: string, row: TopicRow, queueOffset: number): Promise<boolean> {
    const { proposer, probe } = this.#options;
    const topic = row.config.name;
    const key = `${topic}/${queueOffset}`;
    if (row.resent.has(queueOffset)) {
      this.#inDoubt.delete(key);
      return false;
    }
    if (this.#busy.has(key) || this.#inDoubt.has(key)) {
      throw new MqError(
        'REQUEST_TIMEOUT',
        `dead letter ${queueOffset} of group ${group} is being sent again by an earlier call; look again soon`,
      );
    }
    if (row.resent.full(queueOffset)) {
      throw new MqError(
        'TOO_MANY_REQUESTS',
        `too many scattered dead letters of group ${group} were sent again one by one; send those in between, too, with --all`,
      );
    }
    this.#busy.add(key);
    try {
      const record = await this.#read(topic, queueOffset);
      if (record === null) throw noLetter(group, queueOffset);
      const { message, queueId } = this.#again(decodeStoredMessage(record));
      const [stored, marked] = await proposer.propose([
        { message, queueId },
        {
          command: {
            kind: 'mark-resent',
            topic,
            topicEpoch: row.epoch,
            offset: queueOffset,
            toTopic: message.topic,
          },
        },
      ]);
      if (isMqError(stored)) throw stored;
      if (isMqError(marked)) throw marked;
      probe.deadLettersResent++;
      return true;
    } catch (error) {
      if (isMqError(error) && error.code === 'REQUEST_TIMEOUT') this.#inDoubt.add(key);
      throw error;
    } finally {
      this.#busy.delete(key);
    }
  }

  /** The message as it was sent, for its own queue, or the one that its message group has now. */
  #again(letter: StoredMessage): {
    readonly message: ReturnType<typeof prepareStoredMessage>;
    readonly queueId: number;
  } {
    const { tables, storeHost } = this.#options;
    const topic = letter.properties.get(propertyName.DLQ_ORIGIN_TOPIC) ?? '';
    const queues = tables.topics.get(topic)?.config.queues ?? 0;
    if (queues === 0) {
      throw new MqError(
        'TOPIC_NOT_FOUND',
        `the message came from topic ${topic || 'unknown'}, which does not exist any more; create it to send the message again`,
      );
    }
    const messageId = letter.properties.get(propertyName.DLQ_ORIGIN_MESSAGE_ID) ?? letter.messageId;
    const userProperties = withoutDeadLetterProperties(letter.userProperties);
    const message = prepareStoredMessage({ ...letter, messageId, userProperties }, topic, {
      storeHost,
    });
    if (letter.messageGroup !== null)
      return { message, queueId: fifoQueueIndex(letter.messageGroup, queues) };
    const origin = numberIn(letter, deadLetterProperty.ORIGIN_QUEUE_ID, 0);
    return { message, queueId: origin < queues ? origin : letter.queueOffset % queues };
  }

  async #read(topic: string, queueOffset: number): Promise<Buffer | null> {
    const { queueIndex, log } = this.#options;
    const slice = queueIndex.read(topic, 0, queueOffset, 1);
    if (slice.count === 0 || slice.fromOffset !== queueOffset) return null;
    const position = slice.positions[0]!;
    const sizeBytes = slice.sizesBytes[0]!;
    return log.cachedRecord(position, sizeBytes) ?? (await log.readRecord(position, sizeBytes));
  }

  #topicOf(group: string): TopicRow | null {
    const { tables } = this.#options;
    const row = tables.topics.get(deadLetterTopic(group)) ?? null;
    if (row === null && !tables.groups.has(group)) throw groupGone(group);
    return row;
  }

  #needLeader(): void {
    const refusal = this.#options.refusal();
    if (refusal !== null) throw refusal;
  }
}

function letterOf(message: StoredMessage, resent: boolean): DeadLetter {
  const { properties } = message;
  const own = withoutDeadLetterProperties(message.userProperties);
  const pairs = own.flatMap((name, i) => (i % 2 === 0 ? [[name, own[i + 1]!] as const] : []));
  return {
    queueOffset: message.queueOffset,
    messageId: properties.get(propertyName.DLQ_ORIGIN_MESSAGE_ID) ?? message.messageId,
    originTopic: properties.get(propertyName.DLQ_ORIGIN_TOPIC) ?? '',
    originQueueId: numberIn(message, deadLetterProperty.ORIGIN_QUEUE_ID, -1),
    originQueueOffset: numberIn(message, deadLetterProperty.ORIGIN_QUEUE_OFFSET, -1),
    reason: properties.get(deadLetterProperty.REASON) ?? '',
    attempts: numberIn(message, deadLetterProperty.ATTEMPTS, 0),
    firstDeliveryMs: numberIn(message, deadLetterProperty.FIRST_DELIVERY, 0),
    lastDeliveryMs: numberIn(message, deadLetterProperty.LAST_DELIVERY, 0),
    storedMs: message.storeTimestampMs,
    tag: message.tag,
    keys: message.keys,
    properties: new Map(pairs),
    bodySizeBytes: message.body.length,
    resent,
  };
}

function numberIn(message: StoredMessage, name: string, otherwise: number): number {
  const value = Number(message.properties.get(name) ?? NaN);
  return Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
}

function noLetter(group: string, queueOffset: number): MqError {
  return new MqError(
    'MESSAGE_NOT_FOUND',
    `group ${group} has no dead letter ${queueOffset}, or not any more; "raftmq dlq list ${group}" shows those there are`,
  );
}
