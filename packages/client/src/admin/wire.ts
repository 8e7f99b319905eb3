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

export interface WireListGroups {
  readonly result: WireAdminResult | null;
  readonly groups: readonly {
    readonly group: {
      readonly name: string;
      readonly fifo: boolean;
      readonly maxAttempts: number;
    };
    readonly progress: readonly {
      readonly topic: string;
      readonly queueId: number;
      readonly committedOffset: number;
      readonly maxOffset: number;
      readonly inFlight: number;
    }[];
    readonly conflicts: readonly SubscriptionConflict[];
  }[];
}

export interface WireRaftStatus {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: number;
  readonly role: string;
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
