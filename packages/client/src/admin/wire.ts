import { type ConsumerGroupInfo, type DeadLetterInfo } from './model.js';

import { type SubscriptionConflict } from './model.js';

import { type TransactionMessage } from './model.js';

/* The messages of raftmq.admin.v1 that this package reads, as the generic codec shows them. */

export interface WireAdminResult {
  readonly code: number;
  readonly message: string;
}

export interface WireTopic {
  readonly name: string;
  readonly type: string;
  readonly queues: number;
  readonly permission: number;
}

export interface WireListTopics {
  readonly result: WireAdminResult | null;
  readonly topics: readonly {
    readonly topic: WireTopic;
    readonly queues: readonly {
      readonly queueId: number;
      readonly minOffset: number;
      readonly maxOffset: number;
    }[];
  }[];
}

export interface WireGroup {
  readonly name: string;
  readonly fifo: boolean;
  readonly maxAttempts: number;
  readonly retryPolicy?: {
    readonly waitsMs: readonly number[];
    readonly initialMs: number;
    readonly maxMs: number;
    readonly multiplier: number;
  } | null;
  readonly consumeFrom: string;
  readonly consumeFromTimestampMs: number;
  readonly paused: boolean;
}

/** A consumer group for a PutGroup request. */
export function groupToWire(group: ConsumerGroupInfo): object {
  const { name, fifo, maxAttempts, retryPolicy, consumeFrom, consumeEnabled } = group;
  return {
    name,
    fifo,
    maxAttempts,
    ...(retryPolicy === undefined ? {} : { retryPolicy }),
    consumeFrom: consumeFrom?.kind ?? '',
    consumeFromTimestampMs: consumeFrom?.kind === 'timestamp' ? consumeFrom.timestampMs : 0,
    paused: consumeEnabled === false,
  };
}

/** Older brokers leave out what they do not know: it has its default then. */
export function groupFromWire(group: WireGroup): ConsumerGroupInfo {
  const { name, fifo, maxAttempts, retryPolicy, consumeFrom, consumeFromTimestampMs } = group;
  const waitsMs = retryPolicy?.waitsMs ?? [];
  return {
    name,
    fifo,
    maxAttempts,
    ...(retryPolicy === null || retryPolicy === undefined
      ? {}
      : {
          retryPolicy:
            waitsMs.length > 0
              ? { kind: 'list', waitsMs }
              : {
                  kind: 'exponential',
                  initialMs: retryPolicy.initialMs,
                  maxMs: retryPolicy.maxMs,
                  multiplier: retryPolicy.multiplier,
                },
        }),
    ...(consumeFrom === 'last' ? { consumeFrom: { kind: 'last' } } : {}),
    ...(consumeFrom === 'timestamp'
      ? { consumeFrom: { kind: 'timestamp', timestampMs: consumeFromTimestampMs } }
      : {}),
    ...(group.paused ? { consumeEnabled: false } : {}),
  };
}

export interface WireResetOffset {
  readonly result: WireAdminResult | null;
  readonly queues: readonly {
    readonly queueId: number;
    readonly before: number;
    readonly after: number;
  }[];
}

export interface WireListDeadLetters {
  readonly result: WireAdminResult | null;
  readonly letters: readonly Omit<DeadLetterInfo, 'brokerGroup'>[];
  readonly nextOffset: number;
  readonly endOffset: number;
}

export interface WireResendDeadLetters {
  readonly result: WireAdminResult | null;
  readonly outcomes: readonly {
    readonly queueOffset: number;
    readonly code: number;
    readonly message: string;
    readonly sent: boolean;
  }[];
}

export interface WireListGroups {
  readonly result: WireAdminResult | null;
  readonly groups: readonly {
    readonly group: WireGroup;
    readonly progress: readonly {
      readonly topic: string;
      readonly queueId: number;
      readonly committedOffset: number;
      readonly maxOffset: number;
      readonly inFlight: number;
      readonly lag: number;
    }[];
    readonly conflicts: readonly SubscriptionConflict[];
  }[];
}

export interface WireRaftStatus {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: number;
  readonly role: string;
  /** `none`, `forgetful`, `lost-disk`; '' from an older replica. */
  readonly recovery: string;
  readonly term: number;
  readonly leaderId: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly digest: string;
  readonly voters: readonly number[];
  readonly replicas: readonly {
    readonly nodeId: number;
    readonly grpcAddress: string;
    readonly raftAddress: string;
  }[];
}

export interface WireTransactions {
  readonly result: WireAdminResult | null;
  readonly transactions: readonly {
    readonly transactionId: string;
    readonly topic: string;
    readonly state: string;
    readonly clientId: string;
    readonly bodySizeBytes: number;
    readonly storedAtMs: number;
    readonly checks: number;
    readonly nextCheckAtMs: number;
    readonly parkedAtMs: number;
    readonly decidedAtMs: number;
    readonly decidedByCheck: boolean;
    readonly message: TransactionMessage | null;
  }[];
}

export interface WireResumed {
  readonly result: WireAdminResult | null;
  readonly count: number;
}
