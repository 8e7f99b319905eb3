const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/**
 * Every number that RocketMQ's v5 protocol fixes or that its clients rely on, and the bounds of our own where it names
 * none. A broker may serve with other values of the first block: {@link validateSend} takes them as an argument.
 */
export const protocolLimits = {
  /** Largest body of one message. */
  bodySizeBytesMax: 4 * MIB,
  /** User properties of one message. */
  userPropertiesMax: 128,
  /** UTF-8 bytes of property names and values, tag and keys of one message. */
  propertiesSizeBytesMax: 16 * KIB,
  /** A message group must be shorter than this, in UTF-8 bytes. */
  messageGroupSizeBytesEnd: 64,
  /** Ours: RocketMQ names no bound for ids. */
  messageIdSizeBytesMax: 255,
  /** Ours. */
  bornHostSizeBytesMax: 255,
  /** Ours. */
  traceContextSizeBytesMax: 4 * KIB,
  liteTopicSizeBytesMax: 64,
  /** How far ahead a delivery time may lie; a broker may set less, or more. */
  delayMsMax: 40 * 24 * HOUR_MS,
  transactionRecoveryMsMax: HOUR_MS,
  /** Ours: messages in one SendMessage call. */
  messagesPerSendMax: 8192,
  /** Ours: bodies of one SendMessage call together; they become one entry of the log. */
  sendBodiesSizeBytesMax: 32 * MIB,
} as const;

/** The limits that a message is checked against. */
export type SendLimits = { readonly [K in keyof typeof protocolLimits]: number };

/** Lengths of names, in characters; names are ASCII. */
export const nameLimits = {
  topicLengthMax: 127,
  groupLengthMax: 120,
  filterLengthMax: 16 * KIB,
} as const;

/** Bounds of an SQL filter expression; RocketMQ names none. They bound what one message can cost. */
export const sqlFilterLimits = {
  /** Conditions, values and names in one expression. */
  nodesMax: 1_024,
  /** Parentheses inside parentheses. */
  depthMax: 64,
  /** Values of one IN list. */
  listLengthMax: 1_024,
  /** Different properties that one expression names. */
  propertiesMax: 64,
  /** Longer texts are no numbers. */
  numberLengthMax: 64,
  /** Compiled expressions that are kept for the next call. */
  compiledMax: 256,
} as const;

/** Limits of consuming calls. */
export const consumeLimits = {
  batchSizeMax: 32,
  /** Messages of one PullMessage answer; ours. */
  pullBatchSizeMax: 1024,
  /** Entries of one AckMessage call; ours. */
  ackEntriesMax: 8192,
  /** A ReceiveMessage frame, unless one message alone is larger: several clients refuse more. */
  receiveFrameSizeBytesMax: 4 * MIB,
  /** ReceiveMessage without auto-renew. */
  receiveInvisibleMsMin: 10 * SECOND_MS,
  /** ChangeInvisibleDuration. */
  changeInvisibleMsMin: 0,
  invisibleMsMax: 12 * HOUR_MS,
  autoRenewInvisibleMs: MINUTE_MS,
  longPollingMsMax: 20 * SECOND_MS,
  /** Time kept back before the caller's deadline, so that the answer arrives in time. */
  deadlineMarginMs: 300,
  /** What an abandoned delivery waits until it is visible again. */
  abandonedVisibleAfterMs: SECOND_MS,
  /** Auto-renew: looks this often, renews when less than `renewAheadMs` is left. */
  renewScanMs: 5 * SECOND_MS,
  renewAheadMs: 10 * SECOND_MS,
  renewStepsMs: [1, 3, 5, 10, 30, 60].map((minutes) => minutes * MINUTE_MS) as readonly number[],
  renewTotalMsMax: 3 * HOUR_MS,
  /** Waiting polls per (topic, group, queue), and of the whole broker. */
  pollersPerQueueMax: 1024,
  pollersMax: 100_000,
} as const;

/** What the Settings reply carries, and how long clients are remembered. */
export const settingsDefaults = {
  producerMaxAttempts: 3,
  producerBackoff: { initialMs: 10, maxMs: SECOND_MS, multiplier: 2 },
  /** Retries of a group; deliveries are one more. */
  groupRetriesMax: 16,
  consumerExponentialBackoff: { initialMs: 5 * SECOND_MS, maxMs: 2 * HOUR_MS, multiplier: 2 },
  /** Delay before delivery n + 1 is entry n - 1; the last entry holds for all later ones. */
  consumerBackoffMs: [
    ...[1, 5, 10, 30].map((seconds) => seconds * SECOND_MS),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30].map((minutes) => minutes * MINUTE_MS),
    HOUR_MS,
    2 * HOUR_MS,
  ] as readonly number[],
  receiveBatchSize: 32,
  longPollingMs: 20 * SECOND_MS,
  liteSubscriptionQuota: 2000,
  clientExpiryMs: 120 * SECOND_MS,
} as const;

/** Ports and queues that a broker uses unless told otherwise. */
export const brokerDefaults = {
  grpcPort: 8081,
  inboundFrameSizeBytesMax: 130 * MIB,
  queuesPerTopic: 8,
} as const;
