import { isMqError, MqError, type Logger } from '@raftmq/base';
import { type CommitLogReader } from '@raftmq/broker-store';
import {
  deadLetterProperty,
  deadLetterReason,
  deadLetterTopic,
  decodeStoredMessage,
  prepareStoredMessage,
  propertyName,
  type PreparedMessage,
  type StoredHost,
  type StoredMessage,
} from '@raftmq/protocol';
import { type QueueReader } from '../lite/delivery-queues.js';
import { type DeliveryName } from '../state/commands/index.js';
import { type Tables } from '../state/tables.js';
import { type MessagingProbe } from './probe.js';
import { type ProposedRecord, type RecordsProposer } from './proposals.js';

export interface DeadLettersOptions {
  readonly tables: Tables;
  readonly queueIndex: QueueReader;
  readonly log: Pick<CommitLogReader, 'cachedRecord' | 'readRecord'>;
  readonly proposer: RecordsProposer;
  readonly storeHost: StoredHost;
  readonly logger: Logger;
  readonly probe: MessagingProbe;
}

/** Why a consumer gives a message up, and after how many attempts by its own count. */
export interface DeadLetterCause {
  readonly reason: string;
  readonly attempts: number;
}

const USED_UP: DeadLetterCause = { reason: deadLetterReason.ATTEMPTS_USED_UP, attempts: 0 };
const READ_WRITE = 6;
/** Messages in one proposal, beyond the first one: it has to become one entry, and dozens of large ones do not fit. */
const MOVE_SIZE_BYTES_MAX = 4 * 1024 * 1024;
const addedNames: ReadonlySet<string> = new Set(Object.values(deadLetterProperty));

/** User properties, name, value, name, value …, without those that the broker adds to dead letters. */
export function withoutDeadLetterProperties(userProperties: readonly string[]): string[] {
  return userProperties.filter((_, i) => !addedNames.has(userProperties[i - (i % 2)]!));
}

/** A message to be moved, and its record; null when the log no longer holds it. */
interface Letter {
  readonly offset: number;
  readonly record: Buffer | null;
}

/**
 * Moves messages to `%DLQ%<group>`: the copy, the topic when it is missing, and the ack of the original enter the log in
 * one entry, so that a message is in one place at any time.
 */
export class DeadLetters {
  readonly #options: DeadLettersOptions;
  /** Moves on their way by queue and offset: a second request for the same message joins the first. */
  readonly #moving = new Map<string, Promise<void>>();
  /** Moves without an answer that the log may still hold: another one would make a second copy. */
  readonly #inDoubt = new Set<string>();

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  /** The group was put somewhere else in the queue: every earlier move is decided, and may have to be made again. */
  moved(from: DeliveryName): void {
    const start = keyOf(from, '');
    for (const key of [...this.#inDoubt]) if (key.startsWith(start)) this.#inDoubt.delete(key);
  }

  /** A new leadership: what is in the log is applied, and nothing else of ours will ever be. */
  reset(): void {
    this.#inDoubt.clear();
  }

  /**
   * Moves messages of one queue, in order, each in one entry, several of them together. A message that the log no longer holds is only acknowledged.
   * @throws MqError of the proposal; REQUEST_TIMEOUT also while the outcome of an earlier one is not known
   */
  async move(
    from: DeliveryName,
    wanted: readonly number[],
    cause: DeadLetterCause = USED_UP,
  ): Promise<void> {
    const offsets = this.#inDoubt.size === 0 ? wanted : this.#undecided(from, wanted);
    const keys = offsets.map((offset) => keyOf(from, offset));
    const joined = keys.map((key) => this.#moving.get(key)).filter((move) => move !== undefined);
    const own = offsets.filter((_, i) => !this.#moving.has(keys[i]!));
    if (own.length > 0) {
      const ownKeys = keys.filter((key) => !this.#moving.has(key));
      const move = this.#moveAll(from, own, cause).finally(() => {
        for (const key of ownKeys) this.#moving.delete(key);
      });
      for (const key of ownKeys) this.#moving.set(key, move);
      joined.push(move);
    }
    await Promise.all(joined);
  }

  /** Leaves out what an earlier move has done after all. @throws MqError REQUEST_TIMEOUT when one is still open */
  #undecided(from: DeliveryName, offsets: readonly number[]): readonly number[] {
    const { state } = this.#options.tables.delivery(from.group, from.topic, from.queueId) ?? {};
    return offsets.filter((offset) => {
      if (!this.#inDoubt.has(keyOf(from, offset))) return true;
      if (state?.isConsumed(offset) === false) {
        throw new MqError(
          'REQUEST_TIMEOUT',
          'an earlier move of the message to the dead-letter queue is not decided; try again',
        );
      }
      this.#inDoubt.delete(keyOf(from, offset));
      return false;
    });
  }

  async #moveAll(
    from: DeliveryName,
    offsets: readonly number[],
    cause: DeadLetterCause,
  ): Promise<void> {
    let letters: Letter[] = [];
    let sizeBytes = 0;
    for (const offset of offsets) {
      const record = await this.#read(from, offset);
      sizeBytes += record?.length ?? 0;
      if (letters.length > 0 && sizeBytes > MOVE_SIZE_BYTES_MAX) {
        await this.#propose(from, letters, cause);
        letters = [];
        sizeBytes = record?.length ?? 0;
      }
      letters.push({ offset, record });
    }
    await this.#propose(from, letters, cause);
  }

  async #propose(
    from: DeliveryName,
    letters: readonly Letter[],
    cause: DeadLetterCause,
  ): Promise<void> {
    const { proposer, probe } = this.#options;
    const topic = deadLetterTopic(from.group);
    const records: ProposedRecord[] = [
      {
        command: {
          kind: 'put-topic',
          ifMissing: true,
          topic: { name: topic, type: 'NORMAL', queues: 1, permission: READ_WRITE },
        },
      },
    ];
    let copies = 0;
    for (const { offset, record } of letters) {
      if (record !== null) {
        records.push({ message: this.#copy(record, topic, from, offset, cause), queueId: 0 });
        copies++;
      }
      records.push({ command: { kind: 'dead-letter', ...nameOf(from), offset } });
    }
    try {
      await proposer.propose(records);
    } catch (error) {
      if (isMqError(error) && error.code === 'REQUEST_TIMEOUT')
        for (const { offset } of letters) this.#inDoubt.add(keyOf(from, offset));
      throw error;
    }
    probe.deadLetters += copies;
  }

  async #read(from: DeliveryName, offset: number): Promise<Buffer | null> {
    const { queueIndex, log } = this.#options;
    const slice = queueIndex.read(from.topic, from.queueId, offset, 1);
    if (slice.count === 0 || slice.fromOffset !== offset) return null;
    const position = slice.positions[0]!;
    const sizeBytes = slice.sizesBytes[0]!;
    return log.cachedRecord(position, sizeBytes) ?? (await log.readRecord(position, sizeBytes));
  }

  #copy(
    record: Buffer,
    topic: string,
    from: DeliveryName,
    offset: number,
    cause: DeadLetterCause,
  ): PreparedMessage {
    const { storeHost, logger } = this.#options;
    const stored = decodeStoredMessage(record);
    const message = {
      ...stored,
      userProperties: withoutDeadLetterProperties(stored.userProperties),
    };
    const brokerProperties = this.#cardOf(stored, from, offset, cause);
    const options = { storeHost, brokerProperties, reconsumeTimes: message.reconsumeTimes };
    try {
      return prepareStoredMessage(message, topic, options);
    } catch (error) {
      if (!isMqError(error) || error.code !== 'MESSAGE_PROPERTIES_TOO_LARGE') throw error;
      // The body and the id matter more than properties that were at the limit before the origin was added.
      logger.warn(
        { topic, messageId: message.messageId },
        'dead letter stored without its user properties',
      );
      return prepareStoredMessage({ ...message, userProperties: [] }, topic, options);
    }
  }

  /** Where a dead letter comes from, and what was tried. */
  #cardOf(
    message: StoredMessage,
    from: DeliveryName,
    offset: number,
    cause: DeadLetterCause,
  ): string[] {
    const { state } = this.#options.tables.delivery(from.group, from.topic, from.queueId) ?? {};
    const history = state?.history(offset) ?? null;
    const attempts = Math.max(history?.attempts ?? 1, cause.attempts);
    const card = [propertyName.DLQ_ORIGIN_TOPIC, from.topic];
    card.push(propertyName.DLQ_ORIGIN_MESSAGE_ID, message.messageId);
    card.push(deadLetterProperty.REASON, cause.reason);
    card.push(deadLetterProperty.ATTEMPTS, String(attempts));
    if (history !== null) {
      card.push(deadLetterProperty.FIRST_DELIVERY, String(history.firstAtMs));
      card.push(deadLetterProperty.LAST_DELIVERY, String(history.lastAtMs));
    }
    card.push(deadLetterProperty.ORIGIN_QUEUE_ID, String(message.queueId));
    card.push(deadLetterProperty.ORIGIN_QUEUE_OFFSET, String(message.queueOffset));
    return card;
  }
}

function keyOf({ group, topic, queueId }: DeliveryName, offset: number | ''): string {
  return `${group}/${topic}/${queueId}/${offset}`;
}

function nameOf(name: DeliveryName): DeliveryName {
  return { group: name.group, topic: name.topic, queueId: name.queueId };
}
