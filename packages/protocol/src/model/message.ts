import { type MessageType } from './topic.js';

/** A name on the wire: the namespace and the name exactly as the client spelled them. */
export interface Resource {
  /** Empty when the client gave none. */
  readonly namespace: string;
  readonly name: string;
}

/** A message as a producer handed it in, checked. `body` may be a view of the request. */
export interface PublishMessage {
  readonly messageId: string;
  readonly body: Buffer;
  readonly tag: string | null;
  readonly keys: readonly string[];
  /** Name, value, name, value … */
  readonly userProperties: readonly string[];
  readonly messageGroup: string | null;
  readonly traceContext: string | null;
  /** Name below a topic of type LITE; null or left out on every other message. */
  readonly liteTopic?: string | null;
  /** On topics of type PRIORITY; null or left out on every other message. */
  readonly priority?: number | null;
  readonly bornTimestampMs: number;
  readonly bornHost: string;
  /** The body is gzip-compressed by the sender. */
  readonly gzip: boolean;
}

/** Numbers of the wire enum DigestType. */
export const digestType = { UNSPECIFIED: 0, CRC32: 1, MD5: 2, SHA1: 3 } as const;

/** Numbers of the wire enum Encoding. */
export const bodyEncoding = { UNSPECIFIED: 0, IDENTITY: 1, GZIP: 2 } as const;

/** What a message says about its own body. `type` may be a number that we do not know. */
export interface BodyDigest {
  readonly type: number;
  readonly checksum: string;
}

/** One message of a SendMessageRequest, decoded. The body is a view of the request's frame. */
export interface DecodedMessage extends PublishMessage {
  /** The type that follows from the message's fields, as RocketMQ derives it. */
  readonly messageType: MessageType;
  /** Number of user properties in the request; `userProperties` holds at most one more than the limit. */
  readonly userPropertyCount: number;
  readonly bodyDigest: BodyDigest | null;
  /** Wire number as sent, 0 when absent. */
  readonly bodyEncoding: number;
  /** Unix milliseconds, null without a delivery time. */
  readonly deliveryTimestampMs: number | null;
  readonly liteTopic: string | null;
  readonly priority: number | null;
  /** Orphaned transaction recovery duration, null when not given. */
  readonly transactionRecoveryMs: number | null;
}
