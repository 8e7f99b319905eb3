import { randomBytes } from 'node:crypto';
import { assert } from '@raftmq/base';
import { encodeSendMessageRequest, messageType, type OutgoingMessage } from '@raftmq/protocol';

/** Requests kept for another use. */
const SPARE_MAX = 256;

/** Bytes at the start of a body that tell one run and one send time. */
export const STAMP_BYTES = 16;

/**
 * A SendMessageRequest that is encoded once and then sent again and again with new message ids and stamps: load must cost
 * the client little, since client and servers often share a machine.
 *
 *   body: 8 bytes run id | 8 bytes send time (double, big-endian, milliseconds) | random bytes
 *
 * Bodies shorter than the stamp carry none.
 */
export class SendTemplate {
  readonly runId = randomBytes(8);
  readonly messages: number;
  readonly #bytes: Buffer;
  /** Where the last 8 digits of each message id stand. */
  readonly #idAt: readonly number[];
  readonly #bodyAt: readonly number[];
  readonly #stamped: boolean;
  /** Requests that nobody needs any more. */
  readonly #spare: Buffer[] = [];
  #counter = randomBytes(4).readUInt32BE();

  constructor(topic: string, messages: number, sizeBytes: number, idPrefix: string) {
    this.messages = messages;
    this.#stamped = sizeBytes >= STAMP_BYTES;
    const body = randomBytes(sizeBytes);
    if (this.#stamped) this.runId.copy(body);
    const placeholder = (i: number): string =>
      idPrefix + i.toString(16).toUpperCase().padStart(8, '0');
    const outgoing = Array.from({ length: messages }, (_, i) => plainMessage(placeholder(i), body));
    this.#bytes = encodeSendMessageRequest({ namespace: '', name: topic }, outgoing);
    const idAt: number[] = [];
    const bodyAt: number[] = [];
    let from = 0;
    for (let i = 0; i < messages; i++) {
      const id = this.#bytes.indexOf(placeholder(i), from, 'latin1');
      const at = this.#bytes.indexOf(body, id);
      assert(id >= 0, 'the encoded request holds every message id');
      assert(at >= 0, 'the encoded request holds every body behind its id');
      idAt.push(id + idPrefix.length);
      bodyAt.push(at);
      from = at + body.length;
    }
    this.#idAt = idAt;
    this.#bodyAt = bodyAt;
  }

  /** The next request: ids never used before, bodies stamped with `sendTimeMs`. The caller owns it until it recycles it. */
  next(sendTimeMs: number): Buffer {
    const request = this.#spare.pop() ?? Buffer.from(this.#bytes);
    for (let i = 0; i < this.messages; i++) {
      this.#counter = (this.#counter + 1) >>> 0;
      writeHex(request, this.#counter, this.#idAt[i]!);
      if (this.#stamped) request.writeDoubleBE(sendTimeMs, this.#bodyAt[i]! + 8);
    }
    return request;
  }

  /** Takes a request back that has left in whole: its answer is there. */
  recycle(request: Buffer): void {
    if (this.#spare.length < SPARE_MAX) this.#spare.push(request);
  }
}

const HEX_DIGITS = Buffer.from('0123456789ABCDEF', 'latin1');

/** Writes 8 upper-case hex digits. */
function writeHex(target: Buffer, value: number, at: number): void {
  for (let i = 7; i >= 0; i--) {
    target[at + i] = HEX_DIGITS[value & 15]!;
    value >>>= 4;
  }
}

function plainMessage(messageId: string, body: Buffer): OutgoingMessage {
  return {
    messageId,
    body,
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: Date.now(),
    bornHost: 'raftmq-bench',
    gzip: false,
    messageType: messageType.NORMAL,
    deliveryTimestampMs: null,
    liteTopic: null,
    priority: null,
  };
}
