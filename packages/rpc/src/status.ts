import { MqError, type ErrorCode } from '@raftmq/base';

/** The outcomes that gRPC itself knows, with their numbers on the wire. */
export const rpcStatus = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type RpcStatus = keyof typeof rpcStatus;

const nameOf = new Map<number, RpcStatus>(
  Object.entries(rpcStatus).map(([name, code]) => [code, name as RpcStatus]),
);

/** The name of a status number; UNKNOWN for numbers that gRPC does not define. */
export function rpcStatusName(code: number): RpcStatus {
  return nameOf.get(code) ?? 'UNKNOWN';
}

/**
 * A call that ended with another status than OK, on either side: a handler may throw one to choose the status, and a
 * channel rejects with one. Branch on `status`, never on `instanceof`.
 */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly status: RpcStatus;
  /**
   * Whether the server certainly did not begin the call: it never left, or the server said so. Otherwise a failure of the
   * transport leaves its outcome open.
   */
  readonly neverBegun: boolean;

  constructor(
    status: RpcStatus,
    message: string,
    options: ErrorOptions & { readonly neverBegun?: boolean } = {},
  ) {
    super(message, options);
    this.status = status;
    this.neverBegun = options.neverBegun ?? false;
  }
}

/** Whether `error` is an RpcError (of any copy of this module). */
export function isRpcError(error: unknown): error is RpcError {
  return (
    typeof error === 'object' && error !== null && (error as { name?: unknown }).name === 'RpcError'
  );
}

/** Which expected failure a gRPC status stands for when nothing better is known about the call. */
const mqErrorCodes: Readonly<Record<RpcStatus, ErrorCode>> = {
  OK: 'INTERNAL_ERROR',
  CANCELLED: 'REQUEST_TIMEOUT',
  UNKNOWN: 'INTERNAL_ERROR',
  INVALID_ARGUMENT: 'BAD_REQUEST',
  DEADLINE_EXCEEDED: 'REQUEST_TIMEOUT',
  NOT_FOUND: 'BAD_REQUEST',
  ALREADY_EXISTS: 'PRECONDITION_FAILED',
  PERMISSION_DENIED: 'UNAUTHORIZED',
  RESOURCE_EXHAUSTED: 'TOO_MANY_REQUESTS',
  FAILED_PRECONDITION: 'PRECONDITION_FAILED',
  ABORTED: 'PRECONDITION_FAILED',
  OUT_OF_RANGE: 'BAD_REQUEST',
  UNIMPLEMENTED: 'NOT_IMPLEMENTED',
  INTERNAL: 'INTERNAL_ERROR',
  UNAVAILABLE: 'HA_NOT_AVAILABLE',
  DATA_LOSS: 'INTERNAL_ERROR',
  UNAUTHENTICATED: 'UNAUTHORIZED',
};

/** An RpcError as an MqError, with the original as its cause; UNAVAILABLE becomes HA_NOT_AVAILABLE, and so on. */
export function rpcErrorToMqError(error: RpcError): MqError {
  return new MqError(mqErrorCodes[error.status], error.message, { cause: error });
}

const mqErrorStatuses: Partial<Record<ErrorCode, RpcStatus>> = {
  BAD_REQUEST: 'INVALID_ARGUMENT',
  UNAUTHORIZED: 'UNAUTHENTICATED',
  FORBIDDEN: 'PERMISSION_DENIED',
  TOPIC_NOT_FOUND: 'NOT_FOUND',
  CONSUMER_GROUP_NOT_FOUND: 'NOT_FOUND',
  MESSAGE_NOT_FOUND: 'NOT_FOUND',
  TOO_MANY_REQUESTS: 'RESOURCE_EXHAUSTED',
  PAYLOAD_TOO_LARGE: 'RESOURCE_EXHAUSTED',
  PRECONDITION_FAILED: 'FAILED_PRECONDITION',
  HA_NOT_AVAILABLE: 'UNAVAILABLE',
  REQUEST_TIMEOUT: 'DEADLINE_EXCEEDED',
  NOT_IMPLEMENTED: 'UNIMPLEMENTED',
  UNSUPPORTED: 'UNIMPLEMENTED',
  VERSION_UNSUPPORTED: 'FAILED_PRECONDITION',
  DISK_FULL: 'RESOURCE_EXHAUSTED',
};

/** The gRPC status of an expected failure, for services whose answers have no status field of their own. */
export function defaultErrorStatus(error: MqError): RpcStatus {
  return mqErrorStatuses[error.code] ?? (error.status < 50000 ? 'INVALID_ARGUMENT' : 'INTERNAL');
}

/** Whether an error says that the program itself is broken: it must reach the top and stop the process. */
export function isImpossible(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    (error as { name?: unknown }).name === 'AssertionFailure'
  );
}

const DETAILS_BYTES_MAX = 1024;

/**
 * Status text as it may travel: well-formed (a lone surrogate would make the encoder throw) and at most 1 KiB, since it
 * goes into a header that the other side bounds.
 */
export function statusDetails(text: string): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= DETAILS_BYTES_MAX) return bytes.toString('utf8');
  return bytes.toString('utf8', 0, DETAILS_BYTES_MAX) + '…';
}
