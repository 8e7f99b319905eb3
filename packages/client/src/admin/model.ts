import { type MqError } from '@raftmq/base';
import { type RetryPolicy, type TopicType } from '@raftmq/protocol';

/** One replica of a broker group. */
export interface ReplicaInfo {
  readonly nodeId: number;
  /** `host:port`; '' when unknown. */
  readonly grpcAddress: string;
  readonly remotingAddress: string;
  readonly metricsAddress: string;
}

/** A broker group as the NameServer, or a replica, describes it. */
export interface GroupInfo {
  readonly cluster: string;
  readonly group: string;
  readonly term: number;
  /** -1 while no leader is known. */
  readonly leaderId: number;
  readonly replicas: readonly ReplicaInfo[];
}

export interface TopicInfo {
  readonly name: string;
  readonly type: TopicType;
  /** Queues on each broker group. */
  readonly queues: number;
  /** Bits: 4 readable, 2 writable. */
  readonly permission: number;
}

/** A topic as one broker group has it. */
export interface TopicStatus {
  readonly brokerGroup: string;
  readonly topic: TopicInfo;
  readonly queues: readonly {
    readonly queueId: number;
    readonly minOffset: number;
    /** The offset that the next message gets. */
    readonly maxOffset: number;
  }[];
}

export interface ConsumerGroupInfo {
  readonly name: string;
  readonly fifo: boolean;
  /** Deliveries before a message goes to the dead-letter queue, the first one counted. */
  readonly maxAttempts: number;
  /** Left out: RocketMQ's list of waits. */
  readonly retryPolicy?: RetryPolicy;
  /** Where the group begins in a topic that it reads for the first time. Left out: at its first message. */
  readonly consumeFrom?:
    | { readonly kind: 'first' | 'last' }
    | { readonly kind: 'timestamp'; readonly timestampMs: number };
  /** false = paused: nothing is handed out. Left out: true. */
  readonly consumeEnabled?: boolean;
}

/** A consumer group as one broker group has it. */
export interface ConsumerGroupStatus {
  readonly brokerGroup: string;
  readonly group: ConsumerGroupInfo;
  readonly progress: readonly {
    readonly topic: string;
    readonly queueId: number;
    /** Everything below is acknowledged. */
    readonly committedOffset: number;
    readonly maxOffset: number;
    /** Handed out and not yet acknowledged. */
    readonly inFlight: number;
    /** Messages kept that are not acknowledged. */
    readonly lag: number;
  }[];
  /** Topics to which members subscribe in different ways, as far as the group's leader knows. Only when asked for by name. */
  readonly conflicts: readonly SubscriptionConflict[];
}

/** Members of a group that subscribe to a topic in different ways: each loses what another one's filter passes over. */
export interface SubscriptionConflict {
  readonly topic: string;
  /** At least two, the most common first. */
  readonly choices: readonly {
    /** false = these members do not subscribe to the topic. */
    readonly subscribed: boolean;
    /** `*`, `TAG a || b` or `SQL a > 5`. */
    readonly filter: string;
    readonly clientCount: number;
    /** Some of them. */
    readonly clientIds: readonly string[];
  }[];
}

/** What one replica says about its part in Raft; all numbers -1 when it did not answer. */
export interface RaftReplicaStatus {
  readonly id: number;
  /** `follower`, `pre-candidate`, `candidate`, `leader`, or `unknown` when it did not answer. */
  readonly role: string;
  readonly up: boolean;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** Of the state as of `appliedIndex`; equal index means equal digest. */
  readonly digest: string;
  /**
   * There while the replica has no full vote: `forgetful` when the end of its log may be missing after a power cut,
   * `lost-disk` when its disk is new to the group.
   */
  readonly recovery?: string;
}

export interface RaftGroupStatus {
  readonly group: string;
  readonly term: number;
  /** -1 = none known. */
  readonly leader: number;
  readonly replicas: readonly RaftReplicaStatus[];
}

/** A transaction as one broker group has it. */
export interface TransactionInfo {
  readonly brokerGroup: string;
  /** The id of its message. */
  readonly transactionId: string;
  readonly topic: string;
  /** `pending`, `parked`, `committed`, `rolled-back` or `discarded`: parked, and given up at the limit. */
  readonly state: string;
  /** Who sent the message. */
  readonly clientId: string;
  readonly bodySizeBytes: number;
  /** Unix milliseconds, as all times here. */
  readonly storedAtMs: number;
  /** Times that producers were asked. */
  readonly checks: number;
  readonly nextCheckAtMs: number | null;
  readonly parkedAtMs: number | null;
  readonly decidedAtMs: number | null;
  /** Decided in answer to a question of the broker. */
  readonly decidedByCheck: boolean;
  /** Of an open transaction, when it was asked for by its id. */
  readonly message: TransactionMessage | null;
}

export interface TransactionMessage {
  readonly tag: string;
  readonly keys: readonly string[];
  readonly userProperties: Readonly<Record<string, string>>;
  readonly messageGroup: string;
  readonly bornTimestampMs: number;
  readonly bornHost: string;
  readonly body: Buffer;
}

/** Where a reset puts a group. */
export type ResetTarget =
  | { readonly kind: 'beginning' | 'end' }
  | { readonly kind: 'timestamp'; readonly timestampMs: number }
  | { readonly kind: 'offset'; readonly offset: number };

/** What a reset did to one queue. */
export interface ResetQueue {
  readonly brokerGroup: string;
  readonly queueId: number;
  /** Committed offsets. */
  readonly before: number;
  readonly after: number;
}

/** A dead letter without its body. */
export interface DeadLetterInfo {
  readonly brokerGroup: string;
  /** In the group's dead-letter queue on that broker group. */
  readonly queueOffset: number;
  readonly messageId: string;
  readonly originTopic: string;
  /** -1 = not known. */
  readonly originQueueId: number;
  readonly originQueueOffset: number;
  readonly reason: string;
  readonly attempts: number;
  /** Unix milliseconds; 0 = not known. */
  readonly firstDeliveryMs: number;
  readonly lastDeliveryMs: number;
  readonly storedMs: number;
  /** '' = none. */
  readonly tag: string;
  readonly keys: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
  readonly bodySizeBytes: number;
  /** It was sent again. */
  readonly resent: boolean;
}

/** What became of one dead letter that was to be sent again. */
export interface ResendOutcome {
  readonly queueOffset: number;
  /** null = it was sent, now or before. */
  readonly error: MqError | null;
  /** Sent by this call. */
  readonly sent: boolean;
}
