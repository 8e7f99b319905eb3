import { type RaftStatus } from '@raftmq/raft';
import { type DeadLetterDesk } from '../messaging-service/dead-letter-desk.js';
import { type Messaging } from '../messaging.js';
import { type MessageQueries } from '../query/message-queries.js';
import { type MessageTraces } from '../query/message-trace.js';

export interface QueueStats {
  readonly queueId: number;
  readonly minOffset: number;
  /** Next offset to be written. */
  readonly maxOffset: number;
}

export interface GroupProgress {
  readonly topic: string;
  readonly queueId: number;
  /** Everything below is acknowledged. */
  readonly committedOffset: number;
  readonly maxOffset: number;
  /** Handed out and not yet acknowledged. */
  readonly inFlight: number;
  /** Messages kept that are not acknowledged. */
  readonly lag: number;
}

export interface ReplicaAddresses {
  readonly nodeId: number;
  readonly grpcAddress: string;
  readonly raftAddress: string;
}

/** What the replica says about its part in Raft. */
export interface RaftStatusSource {
  status(): RaftStatus;
  /** Of the state as of `appliedIndex`, hexadecimal: equal index means equal digest on all replicas. */
  digest(): { readonly appliedIndex: number; readonly digest: string };
  /** @throws MqError PRECONDITION_FAILED, HA_NOT_AVAILABLE */
  transferLeadership(target: number | null): Promise<void>;
}

/** Finds messages, and what happened to them. */
export interface QuerySource {
  readonly messages: Pick<MessageQueries, 'byId' | 'byKey' | 'list'>;
  readonly traces: Pick<MessageTraces, 'trace'>;
}

/** Everything that administration needs from the broker. */
export interface AdminSource {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: number;
  readonly voters: readonly number[];
  readonly replicas: () => readonly ReplicaAddresses[];
  readonly messaging: Messaging;
  readonly raft: RaftStatusSource;
  readonly queueStats: (topic: string) => readonly QueueStats[];
  readonly deadLetterDesk: Pick<DeadLetterDesk, 'page' | 'resend'>;
  readonly groupProgress: (group: string) => readonly GroupProgress[];
  readonly queries: QuerySource;
}
