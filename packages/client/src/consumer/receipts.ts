import { type MqError } from '@raftmq/base';
import {
  DEAD_LETTER_REASON_HEADER,
  decodeAckMessageResponse,
  decodeChangeInvisibleDurationResponse,
  decodeStatusResponse,
  encodeAckMessageRequest,
  encodeChangeInvisibleDurationRequest,
  encodeForwardToDeadLetterRequest,
} from '@raftmq/protocol';
import { type ClientCore } from '../client-core.js';
import { messagingPath } from '../messaging-rpc.js';
import { callFailure, isOk, statusToError } from '../status-error.js';
import { type MessageView } from './message-view.js';

/** Messages acknowledged in one call. */
const ACK_ENTRIES_MAX = 256;

/** What consumers do with messages they were given: acknowledge, put off, give up. All of it may be repeated. */
export class Receipts {
  readonly #core: ClientCore;
  readonly #group: string;

  constructor(core: ClientCore, group: string) {
    this.#core = core;
    this.#group = group;
  }

  /**
   * Acknowledges messages, those of one broker and topic together.
   * @returns one outcome per message, in order: null = acknowledged
   */
  async ack(messages: readonly MessageView[]): Promise<readonly (MqError | null)[]> {
    const outcomes = new Array<MqError | null>(messages.length).fill(null);
    const calls = new Map<string, number[]>();
    for (let i = 0; i < messages.length; i++) {
      const { topic, broker } = messages[i]!;
      const key = `${broker.name}\n${topic}`;
      const same = calls.get(key);
      if (same === undefined) calls.set(key, [i]);
      else same.push(i);
    }
    await Promise.all(
      [...calls.values()].map(async (indexes) => {
        for (let at = 0; at < indexes.length; at += ACK_ENTRIES_MAX) {
          await this.#ackCall(messages, indexes.slice(at, at + ACK_ENTRIES_MAX), outcomes);
        }
      }),
    );
    return outcomes;
  }

  async #ackCall(
    messages: readonly MessageView[],
    indexes: readonly number[],
    outcomes: (MqError | null)[],
  ): Promise<void> {
    const first = messages[indexes[0]!]!;
    const request = encodeAckMessageRequest({
      group: this.#core.resource(this.#group),
      topic: this.#core.resource(first.topic),
      entries: indexes.map((i) => messages[i]!),
    });
    try {
      const { addresses } = first.broker;
      const bytes = await this.#core.rpc.unary(addresses, messagingPath.ackMessage, request);
      const { status, entries } = decodeAckMessageResponse(bytes);
      for (let k = 0; k < indexes.length; k++) {
        const own = entries.length === indexes.length ? entries[k]!.status : status;
        if (!isOk(own)) outcomes[indexes[k]!] = statusToError(own);
      }
    } catch (error) {
      const failure = callFailure(error);
      for (const i of indexes) outcomes[i] = failure;
    }
  }

  /**
   * The message is delivered again after `invisibleMs`. Its receipt handle is replaced.
   * @param suspend the delivery so far does not count as an attempt
   * @throws MqError INVALID_RECEIPT_HANDLE when this delivery is over; ILLEGAL_INVISIBLE_TIME; or the call's failure
   */
  async changeInvisible(message: MessageView, invisibleMs: number, suspend = false): Promise<void> {
    const request = encodeChangeInvisibleDurationRequest({
      group: this.#core.resource(this.#group),
      topic: this.#core.resource(message.topic),
      receiptHandle: message.receiptHandle,
      invisibleMs,
      messageId: message.messageId,
      liteTopic: message.liteTopic,
      suspend,
    });
    const { addresses } = message.broker;
    const bytes = await this.#core.rpc.unary(
      addresses,
      messagingPath.changeInvisibleDuration,
      request,
    );
    const { status, receiptHandle } = decodeChangeInvisibleDurationResponse(bytes);
    if (!isOk(status)) throw statusToError(status);
    if (receiptHandle !== '') message.receiptHandle = receiptHandle;
  }

  /**
   * Moves the message to the group's dead-letter queue.
   * @param reason for those who read it there; '' = the server says what it sees
   * @throws MqError as `changeInvisible`
   */
  async deadLetter(message: MessageView, attemptsMax: number, reason = ''): Promise<void> {
    const request = encodeForwardToDeadLetterRequest({
      group: this.#core.resource(this.#group),
      topic: this.#core.resource(message.topic),
      receiptHandle: message.receiptHandle,
      messageId: message.messageId,
      deliveryAttempt: message.deliveryAttempt,
      maxDeliveryAttempts: attemptsMax,
      liteTopic: message.liteTopic,
    });
    const { addresses } = message.broker;
    const bytes = await this.#core.rpc.unary(
      addresses,
      messagingPath.forwardToDeadLetterQueue,
      request,
      reason === '' ? undefined : { [DEAD_LETTER_REASON_HEADER]: encodeReason(reason) },
    );
    const status = decodeStatusResponse(bytes);
    if (!isOk(status)) throw statusToError(status);
  }
}

const REASON_LENGTH_MAX = 512;

/** Headers are ASCII. Half a surrogate pair, which has no encoding, becomes U+FFFD on its way through UTF-8. */
function encodeReason(reason: string): string {
  return encodeURIComponent(Buffer.from(reason.slice(0, REASON_LENGTH_MAX)).toString());
}
