import { type MqError } from '@raftmq/base';
import {
  type MessageFilter,
  type PublishMessage,
  type RetryPolicy,
  type TopicType,
} from '@raftmq/protocol';
import { type RoleStatus } from '@raftmq/raft';
import { type LiteSubscriptionChange } from './lite/lite-service.js';

export { type PublishMessage, type TopicType } from '@raftmq/protocol';

/** A topic of this broker group; rows of the replicated state. Names are full names (`namespace%name` with a namespace). */
export interface TopicConfig {
  readonly name: string;
  readonly type: TopicType;
  readonly queues: number;
  /** Bits: 4 readable, 2 writable. */
  readonly permission: number;
}

/** A consumer group; a row of the replicated state. */
export interface GroupConfig {
  readonly name: string;
  /** Ordered consumption. */
  readonly fifo: boolean;
  /** Deliveries before the dead-letter queue, the first one counted: 1 + retries. */
  readonly maxAttempts: number;
  /** Left out: RocketMQ's list of waits. */
  readonly retryPolicy?: RetryPolicy;
  /** Where the group begins in a topic that it reads for the first time. Left out: at its first message. */
  readonly consumeFrom?: ConsumeFrom;
  /** false = paused: nothing is handed out, polls are held. Left out: true. */
  readonly consumeEnabled?: boolean;
}

/** `last`: behind what is there when the group comes; `timestamp`: at the first message stored then or later. */
export type ConsumeFrom =
  | { readonly kind: 'first' }
  | { readonly kind: 'last' }
  | { readonly kind: 'timestamp'; readonly timestampMs: number };

/** One queue of a topic, as one consumer group sees it. */
export interface GroupQueue {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
}

export interface PullRequest extends GroupQueue {
  /** Of the first message wanted. */
  readonly offset: number;
  readonly batchSize: number;
  /** Longest time to hold the call when there is nothing; 0 answers at once. */
  readonly pollingMs: number;
  readonly filter: MessageFilter;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
}

export interface PullResult {
  /** Stored messages, classic layout, ascending; views, valid until the answer is encoded. Empty: nothing in time. */
  readonly records: readonly Buffer[];
  /** Where the next pull goes on: behind the last message looked at. */
  readonly nextOffset: number;
  /** The offset asked for is not in the queue; `nextOffset` is the nearest one that is. */
  readonly misplaced: 'before' | 'behind' | null;
}

/** A place in a queue by name. */
export type OffsetQuery =
  | { readonly kind: 'beginning' }
  | { readonly kind: 'end' }
  | { readonly kind: 'timestamp'; readonly timestampMs: number };

/** Where a reset puts a group: as {@link OffsetQuery}, or at an offset. */
export type ResetTarget = OffsetQuery | { readonly kind: 'offset'; readonly offset: number };

/** What a reset did to one queue. */
export interface ResetQueue {
  readonly queueId: number;
  /** Committed offset before; 0 where the group had never been. */
  readonly before: number;
  readonly after: number;
}

export interface SendResult {
  /** Of the messages that this call stored. */
  readonly queueId: number;
  /** Offset of the first message; the others follow without a gap, unless there are repeats. */
  readonly firstQueueOffset: number;
  /** Only when some of the messages had been stored before, by a call whose answer was lost. */
  readonly repeats?: RepeatedSends;
}

/** What became of each message of a call that repeats another one, in its order. */
export interface RepeatedSends {
  readonly offsets: readonly number[];
  /** False = stored by an earlier call. */
  readonly isNew: readonly boolean[];
}

/** A message, and when it shall be delivered; null = at once. */
export interface TimedPublishMessage extends PublishMessage {
  /** Unix milliseconds; may lie in the past. */
  readonly deliveryTimestampMs: number | null;
}

export interface TimedSendResult {
  /** 0 for a message that waits: it has no place yet. */
  readonly queueOffset: number;
  /** '' unless the message waits. */
  readonly recallHandle: string;
  /** False = stored by an earlier call whose answer was lost. */
  readonly isNew: boolean;
}

export interface ReceiveRequest {
  readonly group: string;
  readonly topic: string;
  /** One queue, or null for all queues of the topic. */
  readonly queueId: number | null;
  readonly batchSize: number;
  readonly invisibleMs: number;
  /** The lease is prolonged while the client lives. */
  readonly autoRenew: boolean;
  readonly clientId: string;
  /** Longest time to hold the call when there is nothing; 0 answers at once. */
  readonly pollingMs: number;
  readonly filter: MessageFilter;
  readonly attemptId: string | null;
  /** Aborted when the caller is gone: what it would have got stays visible. */
  readonly signal: AbortSignal;
}

export interface DeliveredMessage {
  /** The stored message, classic layout; a view, valid until the answer is encoded. */
  readonly record: Buffer;
  readonly receiptHandle: string;
  /** From 1. */
  readonly deliveryAttempt: number;
  readonly invisibleMs: number;
}

export interface AckTarget {
  readonly messageId: string;
  readonly receiptHandle: string;
}

/**
 * What the group's leader does for clients. Every method that changes something goes through the log and settles when
 * the change is committed and applied; it rejects with MqError: TOO_MANY_REQUESTS at a limit, HA_NOT_AVAILABLE when
 * leadership is lost before the outcome is known to have failed, REQUEST_TIMEOUT when it stays unknown.
 * On a replica that is not a writable leader every method rejects with HA_NOT_AVAILABLE: callers forward instead.
 */
export interface Messaging {
  readonly role: RoleStatus;

  topic(name: string): TopicConfig | null;
  topics(): Iterable<TopicConfig>;
  /** Grows with every change of a topic. */
  readonly topicsVersion: number;
  group(name: string): GroupConfig | null;
  groups(): Iterable<GroupConfig>;

  /**
   * Stores all messages in one queue, in order, in one entry: round robin, or by message group. A message that was stored
   * lately, with the same id and body, is not stored again: its place is part of the answer.
   */
  send(topic: TopicConfig, messages: readonly PublishMessage[]): Promise<SendResult>;
  /**
   * Stores messages each of which is delivered at its time, in one entry. One result per message, in order; rejects with
   * TOO_MANY_REQUESTS when too many messages wait. A message that was stored lately is not stored again, as with `send`.
   */
  sendTimed(
    topic: TopicConfig,
    messages: readonly TimedPublishMessage[],
  ): Promise<readonly TimedSendResult[]>;
  /**
   * Takes back a message that waits for its time.
   * @returns its message id; rejects with RECALL_FAILED for what is no handle, or was delivered
   */
  recall(topic: string, handle: string): Promise<string>;
  /** [] when nothing came in time. Creates the group with defaults on first use. */
  receive(request: ReceiveRequest): Promise<readonly DeliveredMessage[]>;
  /** One entry per target, in order: null = acknowledged. */
  ack(
    group: string,
    topic: string,
    targets: readonly AckTarget[],
  ): Promise<readonly (MqError | null)[]>;
  /** @returns the new receipt handle */
  changeInvisible(
    group: string,
    topic: string,
    target: AckTarget,
    invisibleMs: number,
    suspend: boolean,
  ): Promise<string>;
  /** @param cause left out: the attempts are used up */
  forwardToDeadLetterQueue(
    group: string,
    topic: string,
    target: AckTarget,
    cause?: { readonly reason: string; readonly attempts: number },
  ): Promise<void>;
  /** Sets which lite topics of a topic of type LITE a client takes from. Creates the group with defaults on first use. */
  syncLiteSubscription(change: LiteSubscriptionChange): Promise<void>;

  /** Reads from an offset on, without a lease. Creates the group with defaults on first use. */
  pull(request: PullRequest): Promise<PullResult>;
  /**
   * Everything below `offset` is consumed: it counts as acknowledged, whoever holds it. Never moves a group back.
   * @returns the group's committed offset now: `offset`, or a later one that it had already
   * @throws MqError ILLEGAL_OFFSET beyond the queue
   */
  updateOffset(queue: GroupQueue, offset: number): Promise<number>;
  /**
   * The committed offset; null when the group has none in this queue. Never one from before the call: a leader that was
   * replaced, and does not know yet, has no answer.
   * @throws MqError as {@link queryOffset}
   */
  committedOffset(queue: GroupQueue): Promise<number | null>;
  /** As new as {@link committedOffset}. @throws MqError TOPIC_NOT_FOUND, FORBIDDEN for a queue that does not exist */
  queryOffset(topic: string, queueId: number, query: OffsetQuery): Promise<number>;
  /**
   * Puts a group somewhere else, also back: what it holds is dropped, and its receipt handles are void.
   * @param queueId one queue, or null for all of the topic
   * @param dryRun only says what would be done
   */
  resetOffset(
    group: string,
    topic: string,
    queueId: number | null,
    target: ResetTarget,
    dryRun: boolean,
  ): Promise<readonly ResetQueue[]>;

  /** The client said goodbye or expired: what auto-renew held for it becomes visible after 1 s. */
  clientGone(clientId: string, group: string | null): void;
  /** The client was heard of: its auto-renewed leases live on. */
  clientSeen(clientId: string): void;

  readonly transactions: TransactionMessaging;

  putTopic(topic: TopicConfig): Promise<void>;
  deleteTopic(name: string): Promise<void>;
  putGroup(group: GroupConfig): Promise<void>;
  deleteGroup(name: string): Promise<void>;
}

/** A message whose delivery waits for a decision. */
export interface HalfPublish extends PublishMessage {
  /** Time until producers are asked for the first time; null = as the settings say. */
  readonly transactionRecoveryMs: number | null;
}

export type TransactionState = 'pending' | 'parked' | 'committed' | 'rolled-back' | 'discarded';

/** A transaction as operators see it. */
export interface TransactionStatus {
  readonly transactionId: string;
  readonly topic: string;
  readonly state: TransactionState;
  /** Who sent the half message. */
  readonly clientId: string;
  readonly bodySizeBytes: number;
  readonly storedAtMs: number;
  /** Times that producers were asked. */
  readonly checks: number;
  /** null when it is over, or parked. */
  readonly nextCheckAtMs: number | null;
  readonly parkedAtMs: number | null;
  readonly decidedAtMs: number | null;
  /** Decided in answer to a check. */
  readonly decidedByCheck: boolean;
}

/** Which open transactions are meant. */
export interface TransactionFilter {
  /** null = of all topics. */
  readonly topic: string | null;
  /** null = both. */
  readonly state: 'pending' | 'parked' | null;
  readonly countMax: number;
}

/** Transactions, at the leader: the part of {@link Messaging} for them, with the same promises. */
export interface TransactionMessaging {
  /**
   * Stores half messages, in one entry; one that is there already, or is decided, is not stored again.
   * @returns a number for each, in order
   * @throws MqError TOO_MANY_REQUESTS when too many wait for a decision
   */
  send(
    topic: TopicConfig,
    messages: readonly HalfPublish[],
    clientId: string,
  ): Promise<readonly number[]>;
  /**
   * Decides. The first decision stands: the same one again succeeds without effect.
   * @param source wire number of TransactionSource
   * @returns bytes of the body that became visible just now; 0 when none did
   * @throws MqError INVALID_TRANSACTION_ID for an id that is not known, or after the contrary decision
   */
  end(topic: string, transactionId: string, commit: boolean, source: number): Promise<number>;
  /** Everything that is known of an id, in any topic. */
  find(transactionId: string): Promise<readonly TransactionStatus[]>;
  /** The message of an open transaction, stored layout; null when it is over. */
  message(topic: string, transactionId: string): Promise<Buffer | null>;
  /** Open transactions, oldest first. */
  list(filter: TransactionFilter): readonly TransactionStatus[];
  /**
   * Asks producers again about parked transactions: one, or those of a topic, or all.
   * @returns how many
   */
  resume(topic: string | null, transactionId: string | null): Promise<number>;
}
