import { createHmac, timingSafeEqual } from 'node:crypto';
import { assert } from '@raftmq/base';

/**
 * A recall handle: base64url text of the bytes below (big-endian), drawn in docs/formats/recall-handle.md.
 *
 *   size field
 *      1 format version (1)
 *      1 length of the broker group name, then the name
 *      8 due time, Unix milliseconds
 *      8 timer id
 *      1 length of the message id, then the id in UTF-8
 *     16 tag: HMAC-SHA256(secret, "recall", 0, all bytes before, 0, topic), cut
 *
 * It is made with the secret of the receipt handles; the word in front keeps the two kinds apart.
 */
const VERSION = 1;
const TAG_SIZE_BYTES = 16;
const FIXED_SIZE_BYTES = 1 + 1 + 8 + 8 + 1 + TAG_SIZE_BYTES;
const TEXT_SIZE_BYTES_MAX = 255;
/** A longer text is no handle. */
const HANDLE_LENGTH_MAX = Math.ceil(((FIXED_SIZE_BYTES + 2 * TEXT_SIZE_BYTES_MAX) * 4) / 3);

/** What a genuine handle says. */
export interface RecallHandle {
  readonly dueMs: number;
  readonly timerId: number;
  readonly messageId: string;
}

/** What any handle claims, genuine or not. */
export interface ClaimedRecall extends RecallHandle {
  readonly brokerGroup: string;
}

/** Makes and checks the recall handles of one broker group. All replicas have the same secret, from the log. */
export class RecallHandles {
  readonly #secret: Buffer;
  readonly #brokerGroup: Buffer;

  /**
   * @param secret the one of the receipt handles; kept
   * @param brokerGroup name of the broker group, at most 255 bytes (asserted)
   */
  constructor(secret: Buffer, brokerGroup: string) {
    this.#secret = secret;
    this.#brokerGroup = Buffer.from(brokerGroup);
    assert(
      this.#brokerGroup.length <= TEXT_SIZE_BYTES_MAX,
      'a broker group name has at most 255 bytes',
    );
  }

  /**
   * The handle of one waiting message. Costs one HMAC, a few microseconds.
   *
   * @param topic full name of the topic
   * @param timer its message id has at most 255 bytes (asserted)
   */
  make(topic: string, timer: RecallHandle): string {
    const group = this.#brokerGroup;
    const idSizeBytes = Buffer.byteLength(timer.messageId);
    assert(idSizeBytes <= TEXT_SIZE_BYTES_MAX, 'a message id has at most 255 bytes');
    const bytes = Buffer.allocUnsafe(FIXED_SIZE_BYTES + group.length + idSizeBytes);
    bytes[0] = VERSION;
    bytes[1] = group.length;
    let at = 2 + group.copy(bytes, 2);
    at = bytes.writeBigUInt64BE(BigInt(timer.dueMs), at);
    at = bytes.writeBigUInt64BE(BigInt(timer.timerId), at);
    bytes[at++] = idSizeBytes;
    at += bytes.write(timer.messageId, at);
    this.#tag(bytes.subarray(0, at), topic).copy(bytes, at);
    return bytes.toString('base64url');
  }

  /**
   * Reads a handle that a client sent.
   *
   * @returns null for anything that this broker group did not make for this topic
   */
  parse(text: string, topic: string): RecallHandle | null {
    const bytes = decode(text);
    const claimed = bytes === null ? null : read(bytes);
    if (bytes === null || claimed === null) return null;
    const tagAt = bytes.length - TAG_SIZE_BYTES;
    const tag = this.#tag(bytes.subarray(0, tagAt), topic);
    if (!timingSafeEqual(tag, bytes.subarray(tagAt))) return null;
    if (!bytes.subarray(2, 2 + bytes[1]!).equals(this.#brokerGroup)) return null;
    const { dueMs, timerId, messageId } = claimed;
    return { dueMs, timerId, messageId };
  }

  /** Topic names have no NUL, so the parts cannot run into each other. */
  #tag(bytes: Buffer, topic: string): Buffer {
    return createHmac('sha256', this.#secret)
      .update('recall\0')
      .update(bytes)
      .update(`\0${topic}`)
      .digest()
      .subarray(0, TAG_SIZE_BYTES);
  }
}

/**
 * Reads what a handle claims, without checking that it is genuine: to find the broker group that can check it.
 *
 * @returns null when the text has not the shape of a handle
 */
export function peekRecallHandle(text: string): ClaimedRecall | null {
  const bytes = decode(text);
  return bytes === null ? null : read(bytes);
}

function decode(text: string): Buffer | null {
  if (text.length > HANDLE_LENGTH_MAX || !/^[A-Za-z0-9_-]+$/.test(text)) return null;
  const bytes = Buffer.from(text, 'base64url');
  // One text per handle: leftover bits of the last character must be what we write.
  return bytes.toString('base64url') === text ? bytes : null;
}

function read(bytes: Buffer): ClaimedRecall | null {
  if (bytes.length < FIXED_SIZE_BYTES || bytes[0] !== VERSION) return null;
  const groupEnd = 2 + bytes[1]!;
  const idLengthAt = groupEnd + 16;
  if (bytes.length < FIXED_SIZE_BYTES + bytes[1]!) return null;
  if (bytes.length !== FIXED_SIZE_BYTES + bytes[1]! + bytes[idLengthAt]!) return null;
  const dueMs = Number(bytes.readBigUInt64BE(groupEnd));
  const timerId = Number(bytes.readBigUInt64BE(groupEnd + 8));
  if (!Number.isSafeInteger(dueMs) || !Number.isSafeInteger(timerId)) return null;
  return {
    brokerGroup: bytes.toString('utf8', 2, groupEnd),
    dueMs,
    timerId,
    messageId: bytes.toString('utf8', idLengthAt + 1, bytes.length - TAG_SIZE_BYTES),
  };
}
