/** How a message lies in the log; see `docs/cli.md`. */
export type FoundState = 'VISIBLE' | 'HIDDEN' | 'TIMER' | 'TIMER_OVER' | 'HALF' | 'HALF_OVER';

/** A stored message as a query finds it. Times are Unix milliseconds. */
export interface FoundMessage {
  readonly brokerGroup: string;
  readonly state: FoundState;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  /** Byte in the commit log of its broker group. */
  readonly position: number;
  /** The client's. */
  readonly messageId: string;
  /** RocketMQ's; '' for messages that have no place in a queue. */
  readonly offsetMessageId: string;
  readonly tag: string;
  readonly keys: readonly string[];
  readonly messageGroup: string;
  readonly userProperties: Readonly<Record<string, string>>;
  readonly bornTimestamp: number;
  readonly bornHost: string;
  readonly storeTimestamp: number;
  readonly storeHost: string;
  /** Delivery time of a message that waits for it, else 0. */
  readonly dueTimestamp: number;
  /** Bytes of the body as stored. */
  readonly bodySize: number;
  /** As much of it as was asked for; decompressed when it is complete. */
  readonly body: Buffer;
  readonly bodyComplete: boolean;
  /** The log entry that brought it. */
  readonly entryIndex: number;
  readonly entryTerm: number;
}

export interface FoundMessages {
  readonly messages: readonly FoundMessage[];
  /** There are more than were asked for, or than fit into an answer. */
  readonly more: boolean;
  /** Bytes of log that could not be searched: their index is being made again. */
  readonly missingBytes: number;
}

export interface QueryMessagesInput {
  readonly topic: string;
  readonly key: string;
  /** Store time, inclusive. */
  readonly fromMs?: number;
  readonly throughMs?: number;
  /** The newest ones; 64 when left out. */
  readonly count?: number;
  /** Bytes of each body; 4 MiB when left out. */
  readonly bodySizeMax?: number;
}

export interface ListMessagesInput {
  readonly topic: string;
  /** All queues when left out. */
  readonly queueId?: number;
  /** Where to begin in every queue: at an offset, at a time (Unix milliseconds), or with the newest messages. */
  readonly start:
    { readonly kind: 'offset' | 'time'; readonly value: number } | { readonly kind: 'newest' };
  /** 64 when left out. */
  readonly count?: number;
  readonly bodySizeMax?: number;
}

/** Something that happened to a message after it was stored. */
export interface TraceEvent {
  readonly timestamp: number;
  /**
   * DELIVERED, ACKED, INVISIBLE_CHANGED, DEAD_LETTERED; COMMITTED, ROLLED_BACK, DISCARDED of a half message. Brokers of a
   * newer version may know more.
   */
  readonly what: string;
  readonly group: string;
  /** Who got it; '' for events that do not say. */
  readonly clientId: string;
  /** Deliveries to this group so far. */
  readonly attempt: number;
  /** The lease that the client showed; 0 for events that show none. */
  readonly leaseId: number;
  /** Hidden from its group for so long from then on; 0 = not. */
  readonly invisibleMs: number;
  readonly position: number;
}

export type ConsumeStatus = 'CONSUMED' | 'IN_FLIGHT' | 'NOT_CONSUMED';

/** What happened to one stored message. */
export interface MessageTrace {
  readonly message: FoundMessage;
  readonly events: readonly TraceEvent[];
  /** Groups that read the topic, and where they stand with the message now. */
  readonly groups: readonly { readonly group: string; readonly status: ConsumeStatus }[];
  /** false: the log behind the message is so long that the trace was given up; events at its end are missing. */
  readonly complete: boolean;
  readonly missingBytes: number;
}
