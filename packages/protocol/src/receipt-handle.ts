import { createHmac } from 'node:crypto';
import { assert } from '@raftmq/base';
import { sipHash128Key, SipHash } from './sip-hash.js';

/**
 * A receipt handle: base64url text of the bytes below, drawn in docs/formats/receipt-handle.md. Everything up to the
 * padding is the same for all messages of one lease, so it is made once per lease.
 *
 *   size field
 *      1 format version (1)
 *      1 length of the broker group name, then the name
 *      4 queueId
 *      7 leaseId
 *    0-2 zeros, so that what follows starts on a base64 boundary
 *      7 queueOffset
 *      3 attempt
 *      8 tag: SipHash-2-4 of queueOffset and attempt
 *
 * The key of the SipHash is HMAC-SHA256(secret, all bytes up to the padding, consumer group, topic), cut to 16 bytes: no
 * part of a handle can be changed, and none can be used for another group or topic, without the secret.
 */
const VERSION = 1;
const SUFFIX_SIZE_BYTES = 18;
const SUFFIX_LENGTH = 24;
const BROKER_GROUP_SIZE_BYTES_MAX = 255;
const ATTEMPT_MAX = 0xff_ffff;
/** A longer text is no handle: group name of 255 bytes, rounded up. */
const HANDLE_LENGTH_MAX = 392;
const TWO_32 = 0x1_0000_0000;

/** Size of the secret that handles are made with. */
export const RECEIPT_SECRET_SIZE_BYTES = 32;

/** What a genuine handle says. */
export interface ReceiptHandle {
  readonly queueId: number;
  readonly queueOffset: number;
  readonly leaseId: number;
  /** From 1. */
  readonly attempt: number;
}

/** What any handle claims, genuine or not. */
export interface ClaimedReceipt extends ReceiptHandle {
  readonly brokerGroup: string;
}

/** Makes the handles of one lease. */
export class ReceiptLease {
  readonly #prefix: string;
  readonly #sip: SipHash;
  readonly #suffix = Buffer.alloc(SUFFIX_SIZE_BYTES);

  /** Use {@link ReceiptHandles.lease}. */
  constructor(prefix: string, sip: SipHash) {
    this.#prefix = prefix;
    this.#sip = sip;
  }

  /**
   * The handle of one message of the lease.
   *
   * @param queueOffset a safe integer, not negative (asserted)
   * @param attempt from 1 to 2^24 - 1 (asserted)
   */
  handle(queueOffset: number, attempt: number): string {
    assert(Number.isSafeInteger(queueOffset), 'a queue offset is a safe integer');
    assert(queueOffset >= 0, 'a queue offset is not negative');
    assert(attempt >= 1 && attempt <= ATTEMPT_MAX, 'an attempt is counted from 1 and fits 24 bits');
    const suffix = this.#suffix;
    writeUint56(suffix, queueOffset, 0);
    suffix.writeUIntBE(attempt, 7, 3);
    this.#sip.hash(queueOffset >>> 0, Math.floor(queueOffset / TWO_32), attempt, 0);
    suffix.writeUInt32BE(this.#sip.high, 10);
    suffix.writeUInt32BE(this.#sip.low, 14);
    return this.#prefix + suffix.toString('base64url');
  }
}

/** Keys of so many leases are remembered: the acks of a batch come together. */
const KEYS_MAX = 1024;

/** Makes and checks the receipt handles of one broker group. All replicas have the same secret, from the log. */
export class ReceiptHandles {
  readonly #secret: Buffer;
  readonly #brokerGroup: Buffer;
  readonly #keys = new Map<string, SipHash>();
  /** The key used last: the handles of one lease come one after another. */
  #last: {
    readonly prefix: string;
    readonly group: string;
    readonly topic: string;
    readonly sip: SipHash;
  } | null = null;

  /**
   * @param secret 32 bytes (asserted); kept
   * @param brokerGroup name of the broker group, at most 255 bytes (asserted)
   */
  constructor(secret: Buffer, brokerGroup: string) {
    assert(
      secret.length === RECEIPT_SECRET_SIZE_BYTES,
      'the secret of receipt handles has 32 bytes',
    );
    this.#secret = secret;
    this.#brokerGroup = Buffer.from(brokerGroup);
    assert(
      this.#brokerGroup.length <= BROKER_GROUP_SIZE_BYTES_MAX,
      'a broker group name has at most 255 bytes',
    );
  }

  /**
   * Starts the handles of a lease. Costs one HMAC; each handle after that costs well under a microsecond.
   *
   * @param group full name of the consumer group
   * @param topic full name of the topic
   * @param queueId from 0 (asserted)
   * @param leaseId a safe integer, not negative (asserted)
   */
  lease(group: string, topic: string, queueId: number, leaseId: number): ReceiptLease {
    assert(Number.isInteger(queueId) && queueId >= 0, 'a queue id is not negative');
    assert(
      Number.isSafeInteger(leaseId) && leaseId >= 0,
      'a lease id is a safe integer, not negative',
    );
    const used = 2 + this.#brokerGroup.length + 11;
    const prefix = Buffer.alloc(Math.ceil(used / 3) * 3);
    prefix[0] = VERSION;
    prefix[1] = this.#brokerGroup.length;
    this.#brokerGroup.copy(prefix, 2);
    prefix.writeUInt32BE(queueId, used - 11);
    writeUint56(prefix, leaseId, used - 7);
    return new ReceiptLease(prefix.toString('base64url'), this.#derive(prefix, group, topic));
  }

  /**
   * Reads a handle that a client sent.
   *
   * @returns null for anything that this broker group did not make for this group and topic
   */
  parse(text: string, group: string, topic: string): ReceiptHandle | null {
    const bytes = decode(text);
    const claimed = bytes === null ? null : read(bytes);
    if (bytes === null || claimed === null) return null;
    const nameEnd = 2 + bytes[1]!;
    if (!bytes.subarray(2, nameEnd).equals(this.#brokerGroup)) return null;
    const sip = this.#keyOf(text, bytes, group, topic);
    const { queueId, queueOffset, leaseId, attempt } = claimed;
    sip.hash(queueOffset >>> 0, Math.floor(queueOffset / TWO_32), attempt, 0);
    const tagAt = bytes.length - 8;
    // No early exit: the time taken tells nothing about how much of the tag was right.
    const wrong =
      (bytes.readUInt32BE(tagAt) ^ sip.high) | (bytes.readUInt32BE(tagAt + 4) ^ sip.low);
    return wrong === 0 ? { queueId, queueOffset, leaseId, attempt } : null;
  }

  #keyOf(text: string, bytes: Buffer, group: string, topic: string): SipHash {
    const last = this.#last;
    if (
      last !== null &&
      text.length === last.prefix.length + SUFFIX_LENGTH &&
      text.startsWith(last.prefix) &&
      group === last.group &&
      topic === last.topic
    )
      return last.sip;
    const prefix = text.slice(0, -SUFFIX_LENGTH);
    const sip = this.#rememberedKey(prefix, bytes, group, topic);
    this.#last = { prefix, group, topic, sip };
    return sip;
  }

  #rememberedKey(prefix: string, bytes: Buffer, group: string, topic: string): SipHash {
    const name = `${prefix}\0${group}\0${topic}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const sip = this.#derive(bytes.subarray(0, bytes.length - SUFFIX_SIZE_BYTES), group, topic);
    if (this.#keys.size >= KEYS_MAX) {
      for (const oldest of this.#keys.keys()) {
        this.#keys.delete(oldest);
        break;
      }
    }
    this.#keys.set(name, sip);
    return sip;
  }

  /** Names have no NUL, so the parts cannot run into each other. */
  #derive(prefix: Buffer, group: string, topic: string): SipHash {
    const digest = createHmac('sha256', this.#secret)
      .update(prefix)
      .update(`\0${group}\0${topic}`)
      .digest();
    return new SipHash(sipHash128Key(digest));
  }
}

/**
 * Reads what a handle claims, without checking that it is genuine: to find the broker group that can check it.
 *
 * @returns null when the text has not the shape of a handle
 */
export function peekReceiptHandle(text: string): ClaimedReceipt | null {
  const bytes = decode(text);
  return bytes === null ? null : read(bytes);
}

function decode(text: string): Buffer | null {
  if (text.length > HANDLE_LENGTH_MAX || text.length % 4 !== 0 || !/^[A-Za-z0-9_-]+$/.test(text))
    return null;
  return Buffer.from(text, 'base64url');
}

function read(bytes: Buffer): ClaimedReceipt | null {
  const nameLength = bytes[1]!;
  const used = 2 + nameLength + 11;
  const prefixSize = Math.ceil(used / 3) * 3;
  if (bytes[0] !== VERSION || bytes.length !== prefixSize + SUFFIX_SIZE_BYTES) return null;
  for (let at = used; at < prefixSize; at++) if (bytes[at] !== 0) return null;
  const leaseId = readUint56(bytes, used - 7);
  const queueOffset = readUint56(bytes, prefixSize);
  if (!Number.isSafeInteger(leaseId) || !Number.isSafeInteger(queueOffset)) return null;
  return {
    brokerGroup: bytes.toString('utf8', 2, 2 + nameLength),
    queueId: bytes.readUInt32BE(used - 11),
    queueOffset,
    leaseId,
    attempt: bytes.readUIntBE(prefixSize + 7, 3),
  };
}

function writeUint56(bytes: Buffer, value: number, at: number): void {
  const high = Math.floor(value / TWO_32);
  bytes[at] = high >>> 16;
  bytes[at + 1] = (high >>> 8) & 0xff;
  bytes[at + 2] = high & 0xff;
  bytes.writeUInt32BE(value - high * TWO_32, at + 3);
}

function readUint56(bytes: Buffer, at: number): number {
  return bytes.readUIntBE(at, 3) * TWO_32 + bytes.readUInt32BE(at + 3);
}
