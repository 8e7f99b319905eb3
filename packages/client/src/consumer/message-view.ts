import { gunzipSync } from 'node:zlib';
import { bodyMatchesDigest, type ReceivedMessage } from '@raftmq/protocol';
import { type BrokerTarget } from '../route-cache.js';

const UNPACKED_BYTES_MAX = 64 * 1024 * 1024;

/** A message as a consumer sees it. It belongs to the receiver; its body is a view of what the network delivered. */
export class MessageView {
  readonly topic: string;
  readonly messageId: string;
  /** Unpacked when the sender compressed it. */
  readonly body: Buffer;
  readonly tag: string | null;
  readonly keys: readonly string[];
  readonly messageGroup: string | null;
  /** From 1. Grows with each local attempt of a push consumer in order mode, too. */
  deliveryAttempt: number;
  readonly bornTimestampMs: number;
  readonly storeTimestampMs: number | null;
  readonly queueId: number;
  readonly queueOffset: number;
  /** The body is not what its sum says; it was damaged on the way or cannot be unpacked. */
  readonly corrupted: boolean;
  /** Where it comes from, when it was read from a dead-letter queue. */
  readonly deadLetter: { readonly topic: string; readonly messageId: string } | null;
  /** The right to acknowledge this delivery; replaced when its invisible time is changed. */
  receiptHandle: string;
  /** The broker that handed it out. */
  readonly broker: BrokerTarget;
  readonly liteTopic: string | null;
  readonly #userProperties: readonly string[];

  constructor(message: ReceivedMessage, broker: BrokerTarget) {
    this.topic = message.topic.name;
    this.messageId = message.messageId;
    this.tag = message.tag;
    this.keys = message.keys;
    this.messageGroup = message.messageGroup;
    this.deliveryAttempt = Math.max(1, message.deliveryAttempt);
    this.bornTimestampMs = message.bornTimestampMs;
    this.storeTimestampMs = message.storeTimestampMs;
    this.queueId = message.queueId;
    this.queueOffset = message.queueOffset;
    this.deadLetter = message.deadLetter;
    this.receiptHandle = message.receiptHandle;
    this.broker = broker;
    this.liteTopic = message.liteTopic;
    this.#userProperties = message.userProperties;
    const unpacked = message.gzip ? unpack(message.body) : message.body;
    const { bodyDigest } = message;
    this.corrupted =
      unpacked === null || (bodyDigest !== null && !bodyMatchesDigest(message.body, bodyDigest));
    this.body = unpacked ?? message.body;
  }

  /** User properties by name. */
  get properties(): ReadonlyMap<string, string> {
    const map = new Map<string, string>();
    for (let i = 0; i + 1 < this.#userProperties.length; i += 2) {
      map.set(this.#userProperties[i]!, this.#userProperties[i + 1]!);
    }
    return map;
  }
}

function unpack(body: Buffer): Buffer | null {
  try {
    return gunzipSync(body, { maxOutputLength: UNPACKED_BYTES_MAX });
  } catch {
    return null;
  }
}
