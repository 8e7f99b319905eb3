/**
 * Every expected failure of RaftMQ. `status` is the RocketMQ v5 code that a client sees, `retryable` whether the same
 * request may succeed later, `summary` one plain sentence. `docs/errors.md` is made from this table.
 */
export const errorTable = {
  BAD_REQUEST: { status: 40000, retryable: false, summary: 'the request is malformed' },
  ILLEGAL_TOPIC: { status: 40002, retryable: false, summary: 'the topic name is not allowed' },
  ILLEGAL_CONSUMER_GROUP: {
    status: 40003,
    retryable: false,
    summary: 'the consumer group name is not allowed',
  },
  ILLEGAL_MESSAGE_TAG: {
    status: 40004,
    retryable: false,
    summary: 'the message tag is not allowed',
  },
  ILLEGAL_MESSAGE_KEY: { status: 40005, retryable: false, summary: 'a message key is not allowed' },
  ILLEGAL_MESSAGE_GROUP: {
    status: 40006,
    retryable: false,
    summary: 'the message group is not allowed',
  },
  ILLEGAL_MESSAGE_PROPERTY_KEY: {
    status: 40007,
    retryable: false,
    summary: 'a user property is not allowed',
  },
  INVALID_TRANSACTION_ID: {
    status: 40008,
    retryable: false,
    summary: 'the transaction id is not valid',
  },
  ILLEGAL_MESSAGE_ID: { status: 40009, retryable: false, summary: 'the message id is not allowed' },
  ILLEGAL_FILTER_EXPRESSION: {
    status: 40010,
    retryable: false,
    summary: 'the filter expression cannot be parsed',
  },
  ILLEGAL_INVISIBLE_TIME: {
    status: 40011,
    retryable: false,
    summary: 'the invisible duration is out of range',
  },
  ILLEGAL_DELIVERY_TIME: {
    status: 40012,
    retryable: false,
    summary: 'the delivery time is too far ahead',
  },
  INVALID_RECEIPT_HANDLE: {
    status: 40013,
    retryable: false,
    summary: 'the receipt handle is unknown, forged or expired',
  },
  MESSAGE_PROPERTY_CONFLICT_WITH_TYPE: {
    status: 40014,
    retryable: false,
    summary: 'the message does not fit the type of its topic',
  },
  ILLEGAL_LITE_TOPIC: {
    status: 40020,
    retryable: false,
    summary: 'the lite topic name is not allowed',
  },
  LITE_TOPIC_QUOTA_EXCEEDED: {
    status: 42901,
    retryable: false,
    summary: 'the topic has as many lite topics as it may have',
  },
  LITE_SUBSCRIPTION_QUOTA_EXCEEDED: {
    status: 42902,
    retryable: false,
    summary: 'the client subscribes to as many lite topics as it may',
  },
  UNRECOGNIZED_CLIENT_TYPE: {
    status: 40015,
    retryable: false,
    summary: 'the client is not known here, and its type cannot be derived',
  },
  MESSAGE_CORRUPTED: {
    status: 40016,
    retryable: false,
    summary: 'the message does not match its own description',
  },
  CLIENT_ID_REQUIRED: {
    status: 40017,
    retryable: false,
    summary: 'the header x-mq-client-id is missing',
  },
  ILLEGAL_POLLING_TIME: {
    status: 40018,
    retryable: false,
    summary: 'the polling time is out of range',
  },
  ILLEGAL_OFFSET: {
    status: 40019,
    retryable: false,
    summary: 'the offset lies outside of the queue',
  },
  UNAUTHORIZED: {
    status: 40100,
    retryable: false,
    summary: 'the caller is not authenticated or not allowed',
  },
  FORBIDDEN: {
    status: 40300,
    retryable: false,
    summary: 'the topic has no queue for this operation',
  },
  MESSAGE_NOT_FOUND: { status: 40401, retryable: true, summary: 'there is no message now' },
  TOPIC_NOT_FOUND: { status: 40402, retryable: false, summary: 'no route for this topic' },
  CONSUMER_GROUP_NOT_FOUND: {
    status: 40403,
    retryable: false,
    summary: 'the consumer group does not exist',
  },
  OFFSET_NOT_FOUND: {
    status: 40404,
    retryable: false,
    summary: 'there is no such offset, or nothing is stored at it any more',
  },
  PAYLOAD_TOO_LARGE: { status: 41300, retryable: false, summary: 'the request is too large' },
  MESSAGE_BODY_TOO_LARGE: {
    status: 41301,
    retryable: false,
    summary: 'the message body is too large',
  },
  MESSAGE_BODY_EMPTY: { status: 41302, retryable: false, summary: 'the message body is empty' },
  PRECONDITION_FAILED: {
    status: 42800,
    retryable: false,
    summary: 'the request does not fit the current state',
  },
  TOO_MANY_REQUESTS: {
    status: 42900,
    retryable: true,
    summary: 'a limit is reached; slow down and try again',
  },
  MESSAGE_PROPERTIES_TOO_LARGE: {
    status: 43101,
    retryable: false,
    summary: 'too many or too large message properties',
  },
  INTERNAL_ERROR: {
    status: 50001,
    retryable: true,
    summary: 'the broker failed in an unexpected way',
  },
  RECALL_FAILED: {
    status: 50001,
    retryable: false,
    summary: 'the message cannot be recalled',
  },
  HA_NOT_AVAILABLE: {
    status: 50002,
    retryable: true,
    summary: 'the group has no leader, or too few replicas answer',
  },
  NOT_IMPLEMENTED: {
    status: 50100,
    retryable: false,
    summary: 'this broker does not offer the operation',
  },
  REQUEST_TIMEOUT: {
    status: 50400,
    retryable: true,
    summary: 'the broker did not finish in time; the outcome is unknown',
  },
  UNSUPPORTED: {
    status: 50500,
    retryable: false,
    summary: 'this kind of request is not supported',
  },
  VERSION_UNSUPPORTED: {
    status: 50501,
    retryable: false,
    summary: 'the protocol or format version is not supported',
  },
  // Not seen by messaging clients: start-up, configuration and tools.
  CONFIG_INVALID: { status: 50001, retryable: false, summary: 'a setting is wrong' },
  DATA_DIRECTORY_MISMATCH: {
    status: 50001,
    retryable: false,
    summary: 'the data directory belongs to another node or cluster',
  },
  DATA_DIRECTORY_LOCKED: {
    status: 50001,
    retryable: false,
    summary: 'another process uses the data directory',
  },
  LOG_CORRUPTED: {
    status: 50001,
    retryable: false,
    summary: 'the commit log is damaged where it must not be',
  },
  DISK_FULL: {
    status: 42900,
    retryable: true,
    summary: 'the disk is above the watermark; writes are refused',
  },
  DISK_FAILED: {
    status: 50001,
    retryable: false,
    summary: 'a write or sync failed; the process must stop',
  },
} as const satisfies Record<string, ErrorEntry>;

export interface ErrorEntry {
  readonly status: number;
  readonly retryable: boolean;
  readonly summary: string;
}

export type ErrorCode = keyof typeof errorTable;

/**
 * An expected failure, by code. `message` says what happened and what to do.
 * Branch on `code`, never on `instanceof`: errors may come from another copy of this module.
 */
export class MqError extends Error {
  override readonly name = 'MqError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message?: string, options?: ErrorOptions) {
    super(message ?? errorTable[code].summary, options);
    this.code = code;
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }
}

/** Whether `error` is an MqError (of any copy of this module). */
export function isMqError(error: unknown): error is MqError {
  return (
    typeof error === 'object' && error !== null && (error as { name?: unknown }).name === 'MqError'
  );
}

/** The text of anything that was thrown. */
export function errorText(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'message' in error)
    return String(error.message);
  return String(error);
}
