import { KEY_SEPARATOR, type StoredView } from '@raftmq/protocol';
import { type TermSink } from '../ports.js';
import { type PairBuffer } from './pair-buffer.js';
import { TermHash, termKind } from './term-hash.js';

/** Keys of one message that can be found again; RocketMQ users have a handful. */
export const KEYS_PER_MESSAGE_MAX = 64;
/** Offsets of a queue that share a term. */
export const OFFSETS_PER_RANGE = 16;
/** Commands about one range of offsets within so many bytes of log share a pair. */
export const STRIPE_SIZE_BYTES = 256 * 1024;
const RECENT_SLOTS = 4_096;

const SPACE = 0x20;
const EXACT_SEPARATOR = KEY_SEPARATOR.charCodeAt(0);

/** Hashes the terms of records, straight from their bytes, into a {@link PairBuffer}. */
export class TermCollector implements TermSink {
  #buffer: PairBuffer;
  readonly #hash = new TermHash();
  /** Which queue ranges the latest stripes hold already: lower lane and stripe number, by slot. */
  readonly #recentLows = new Uint32Array(RECENT_SLOTS);
  readonly #recentStripes = new Float64Array(RECENT_SLOTS).fill(-1);
  /** The range that was given last: acks of neighbours come in a row. */
  #lastTopic = '';
  #lastQueueId = 0;
  #lastRange = 0;
  #lastStripe = -1;

  constructor(buffer: PairBuffer) {
    this.#buffer = buffer;
  }

  get buffer(): PairBuffer {
    return this.#buffer;
  }

  /** Goes on with another buffer. Each one stands for itself: it repeats the ranges that the one before may have. */
  begin(buffer: PairBuffer): void {
    this.#buffer = buffer;
    this.#recentStripes.fill(-1);
    this.#lastStripe = -1;
  }

  message(message: StoredView, position: number): void {
    const { bytes, idStart, idEnd } = message;
    if (idEnd > idStart) this.#addId(bytes, idStart, idEnd, position);
    if (message.keysEnd > message.keysStart) this.#addKeys(message, position);
  }

  messageId(messageId: string, position: number): void {
    const bytes = Buffer.from(messageId);
    this.#addId(bytes, 0, bytes.length, position);
  }

  queueRange(
    topic: string,
    queueId: number,
    fromOffset: number,
    count: number,
    position: number,
  ): void {
    const stripe = Math.floor(position / STRIPE_SIZE_BYTES);
    const hash = this.#hash;
    const last = Math.floor((fromOffset + count - 1) / OFFSETS_PER_RANGE);
    for (let range = Math.floor(fromOffset / OFFSETS_PER_RANGE); range <= last; range++) {
      const repeated =
        range === this.#lastRange &&
        queueId === this.#lastQueueId &&
        stripe === this.#lastStripe &&
        topic === this.#lastTopic;
      if (repeated) continue;
      this.#lastTopic = topic;
      this.#lastQueueId = queueId;
      this.#lastRange = range;
      this.#lastStripe = stripe;
      hashQueueRange(hash, topic, queueId, range);
      const slot = hash.low & (RECENT_SLOTS - 1);
      if (this.#recentStripes[slot] === stripe && this.#recentLows[slot] === hash.low) continue;
      this.#recentStripes[slot] = stripe;
      this.#recentLows[slot] = hash.low;
      this.#buffer.add(hash.high, hash.low, position);
    }
  }

  #addId(bytes: Buffer, start: number, end: number, position: number): void {
    const hash = this.#hash;
    hash.start(termKind.messageId);
    hash.bytes(bytes, start, end);
    hash.finish();
    this.#buffer.add(hash.high, hash.low, position);
  }

  #addKeys(message: StoredView, position: number): void {
    const { bytes, topicStart, topicEnd, keysEnd } = message;
    const separator = message.keysExact ? EXACT_SEPARATOR : SPACE;
    const hash = this.#hash;
    let left = KEYS_PER_MESSAGE_MAX;
    for (let at = message.keysStart; at < keysEnd && left > 0;) {
      let keyEnd = at;
      while (keyEnd < keysEnd && bytes[keyEnd] !== separator) keyEnd++;
      if (keyEnd > at) {
        hash.start(termKind.key);
        hash.bytes(bytes, topicStart, topicEnd);
        hash.bytes(bytes, at, keyEnd);
        hash.finish();
        this.#buffer.add(hash.high, hash.low, position);
        left--;
      }
      at = keyEnd + 1;
    }
  }
}

/** A term as it is looked up. */
export interface Term {
  readonly high: number;
  readonly low: number;
}

/** Messages with this id, in any topic, and commands that name it. */
export function messageIdTerm(messageId: string): Term {
  return termOf(termKind.messageId, Buffer.from(messageId));
}

/** Messages of a topic with this key. */
export function keyTerm(topic: string, key: string): Term {
  return termOf(termKind.key, Buffer.from(topic, 'latin1'), Buffer.from(key));
}

/** Commands about an offset of a queue, and about its neighbours. */
export function queueRangeTerm(topic: string, queueId: number, offset: number): Term {
  const hash = new TermHash();
  hashQueueRange(hash, topic, queueId, Math.floor(offset / OFFSETS_PER_RANGE));
  return { high: hash.high, low: hash.low };
}

function hashQueueRange(hash: TermHash, topic: string, queueId: number, range: number): void {
  hash.start(termKind.queueRange);
  hash.ascii(topic);
  hash.number(queueId);
  hash.number(range);
  hash.finish();
}

function termOf(kind: TermHashKind, ...pieces: readonly Buffer[]): Term {
  const hash = new TermHash();
  hash.start(kind);
  for (const piece of pieces) hash.bytes(piece, 0, piece.length);
  hash.finish();
  return { high: hash.high, low: hash.low };
}

type TermHashKind = (typeof termKind)[keyof typeof termKind];
