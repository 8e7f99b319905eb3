import { assert, MqError } from '@raftmq/base';

/** Names of the properties that the broker itself writes or reads. */
export const propertyName = {
  TAGS: 'TAGS',
  KEYS: 'KEYS',
  UNIQ_KEY: 'UNIQ_KEY',
  SHARDING_KEY: '__SHARDINGKEY',
  TRACE_CONTEXT: 'TRACE_CONTEXT',
  BORN_HOST: '__BORNHOST',
  TRANSACTION_ID: '__transactionId__',
  TRANSACTION_PREPARED: 'TRAN_MSG',
  REAL_TOPIC: 'REAL_TOPIC',
  DELAY_LEVEL: 'DELAY',
  TIMER_DELIVER_MS: 'TIMER_DELIVER_MS',
  TIMER_DELAY_MS: 'TIMER_DELAY_MS',
  TIMER_DELAY_SEC: 'TIMER_DELAY_SEC',
  TIMER_OUT_MS: 'TIMER_OUT_MS',
  DLQ_ORIGIN_TOPIC: 'DLQ_ORIGIN_TOPIC',
  DLQ_ORIGIN_MESSAGE_ID: 'DLQ_ORIGIN_MESSAGE_ID',
  LITE_TOPIC: '__LITE_TOPIC',
  PRIORITY: '_SYS_MSG_PRIORITY_',
  /** Ours: the exact list of keys, joined by U+001F, written only when a key contains a space. */
  EXACT_KEYS: '__RAFTMQ_KEYS',
} as const;

/** Properties that the broker adds to a dead letter. Its readers see them; a dead letter that is sent again loses them. */
export const deadLetterProperty = {
  /** Why it is here; see {@link deadLetterReason}, or the consumer's own words. */
  REASON: 'DLQ_REASON',
  /** Deliveries to the group. */
  ATTEMPTS: 'DLQ_ATTEMPTS',
  /** Times of the first and the last delivery, Unix milliseconds. */
  FIRST_DELIVERY: 'DLQ_FIRST_DELIVERY_MS',
  LAST_DELIVERY: 'DLQ_LAST_DELIVERY_MS',
  ORIGIN_QUEUE_ID: 'DLQ_ORIGIN_QUEUE_ID',
  ORIGIN_QUEUE_OFFSET: 'DLQ_ORIGIN_QUEUE_OFFSET',
} as const;

/**
 * Header of ForwardMessageToDeadLetterQueue with the consumer's reason, percent-encoded; ours, as the request has no field
 * for it.
 */
export const DEAD_LETTER_REASON_HEADER = 'x-mq-dead-letter-reason';

/** What {@link deadLetterProperty.REASON} says when the consumer gave no reason. */
export const deadLetterReason = {
  ATTEMPTS_USED_UP: 'attempts used up',
  REJECTED: 'rejected by the consumer',
} as const;

/**
 * Property names that users may not set and never see. The first lines are RocketMQ's list, the last one ours.
 * `__SHARDINGKEY`, `__transactionId__` and `TRACE_CONTEXT` are not in it on purpose: users see them on delivery.
 */
export const reservedPropertyNames: ReadonlySet<string> = new Set(
  `TRACE_ON MSG_REGION KEYS TAGS WAIT DELAY RETRY_TOPIC REAL_TOPIC REAL_QID TRAN_MSG PGROUP MIN_OFFSET MAX_OFFSET
  BUYER_ID ORIGIN_MESSAGE_ID TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG RECONSUME_TIME UNIQ_KEY MAX_RECONSUME_TIMES
  CONSUME_START_TIME POP_CK POP_CK_OFFSET 1ST_POP_TIME TRAN_PREPARED_QUEUE_OFFSET DUP_INFO EXTEND_UNIQ_INFO INSTANCE_ID
  CORRELATION_ID REPLY_TO_CLIENT TTL ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE INNER_MULTI_QUEUE_OFFSET
  TIMER_DELAY_MS TIMER_DELAY_SEC TIMER_DELIVER_MS TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS TIMER_ROLL_TIMES TIMER_OUT_MS
  TIMER_DEL_UNIQKEY TIMER_DELAY_LEVEL __BORNHOST BORN_TIMESTAMP DLQ_ORIGIN_TOPIC DLQ_ORIGIN_MESSAGE_ID __CRC32#
  __LITE_TOPIC _SYS_MSG_PRIORITY_ __RAFTMQ_KEYS`.split(/\s+/),
);

/** The length field of the stored layout is a signed 16-bit number. */
export const PROPERTIES_SIZE_BYTES_MAX = 32_767;

/** Ends a name. */
export const NAME_END = '\x01';
/** Ends a value. */
export const VALUE_END = '\x02';
/** Between the keys of {@link propertyName.EXACT_KEYS}; keys never contain control characters. */
export const KEY_SEPARATOR = '\x1f';

/**
 * Writes `name \x01 value \x02` for each pair.
 *
 * @param pairs name, value, name, value …
 * @throws MqError ILLEGAL_MESSAGE_PROPERTY_KEY when a name is empty, or a name or value contains \x01 or \x02
 */
export function encodeProperties(pairs: readonly string[]): string {
  assert(pairs.length % 2 === 0, 'properties come as pairs');
  let text = '';
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i]!;
    const value = pairs[i + 1]!;
    if (name === '' || hasSeparator(name) || hasSeparator(value)) {
      throw new MqError(
        'ILLEGAL_MESSAGE_PROPERTY_KEY',
        `property ${JSON.stringify(name)}: names must not be empty, names and values must not contain bytes 1 or 2`,
      );
    }
    text += name + NAME_END + value + VALUE_END;
  }
  return text;
}

function hasSeparator(text: string): boolean {
  return text.includes(NAME_END) || text.includes(VALUE_END);
}

/**
 * Reads a properties string the way RocketMQ's clients do: pieces without a name or without a value are skipped, the
 * last of equal names wins, a final \x02 may be missing.
 */
export function decodeProperties(text: string): Map<string, string> {
  const result = new Map<string, string>();
  for (const piece of text.split(VALUE_END)) {
    const nameEnd = piece.indexOf(NAME_END);
    if (nameEnd <= 0 || nameEnd === piece.length - 1) continue;
    result.set(piece.slice(0, nameEnd), piece.slice(nameEnd + 1));
  }
  return result;
}

/**
 * Walks over the properties inside a record without making strings. Unlike RocketMQ's reader it stops at empty values
 * too: v5 clients get every property back, also an empty one.
 */
export class PropertyCursor {
  nameStart = 0;
  /** Exclusive; the byte there is \x01. */
  nameEnd = 0;
  valueStart = 0;
  /** Exclusive. */
  valueEnd = 0;
  /** A cheap hash of the name's bytes, see {@link propertyNameHash}. */
  nameHash = 0;
  #bytes: Buffer;
  #end: number;
  #at: number;

  /** Reads `bytes[start, end)`; the bytes must not change while the cursor is in use. */
  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Goes on with other bytes, as a new cursor would. */
  begin(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Moves to the next property; false at the end. */
  next(): boolean {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#at;
    while (at < end) {
      const start = at;
      let hash = 0;
      let byte = 0;
      while (at < end && (byte = bytes[at]!) > 2) {
        hash = (Math.imul(hash, 31) + byte) | 0;
        at++;
      }
      // A NUL in a name is legal bytes here; it only cannot be one of the names that are looked up by hash.
      while (at < end && (byte = bytes[at]!) !== 1 && byte !== 2) at++;
      const nameEnd = at;
      while (at < end && bytes[at]! !== 2) at++;
      const valueEnd = at;
      if (at < end) at++;
      if (nameEnd === start || nameEnd === valueEnd) continue;
      this.nameStart = start;
      this.nameEnd = nameEnd;
      this.nameHash = hash;
      this.valueStart = nameEnd + 1;
      this.valueEnd = valueEnd;
      this.#at = at;
      return true;
    }
    this.#at = at;
    return false;
  }

  /** Whether the name is `name`, given as bytes with its hash. */
  nameIs(name: Buffer, hash: number): boolean {
    if (this.nameHash !== hash || this.nameEnd - this.nameStart !== name.length) return false;
    for (let i = 0; i < name.length; i++) {
      if (this.#bytes[this.nameStart + i] !== name[i]) return false;
    }
    return true;
  }
}

/** The hash that {@link PropertyCursor} computes of a name; names are ASCII. */
export function propertyNameHash(name: string): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
  return hash;
}
