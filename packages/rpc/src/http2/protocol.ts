/* Numbers of RFC 9113. Frame header: length (3 bytes), type (1), flags (1), stream id (4, top bit reserved). */

export const FRAME_HEADER_BYTES = 9;

export const frameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const frameFlag = {
  /** On SETTINGS and PING. */
  ACK: 0x1,
  /** On DATA and HEADERS. */
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

export const setting = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

export const errorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;

export type ErrorCodeName = keyof typeof errorCode;

/** The name of a code; codes that nobody defined are numbers. */
export function errorCodeName(code: number): string {
  const found = Object.entries(errorCode).find(([, value]) => value === code);
  return found === undefined ? String(code) : found[0];
}

/** What a client says first; its first frame follows. */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Window of a connection, and of each stream before SETTINGS say otherwise. */
export const DEFAULT_WINDOW_BYTES = 65_535;
export const WINDOW_BYTES_MAX = 2 ** 31 - 1;
export const DEFAULT_FRAME_BYTES_MAX = 16_384;
export const FRAME_BYTES_LIMIT = 2 ** 24 - 1;
export const STREAM_ID_MAX = 2 ** 31 - 1;

/**
 * The other side broke a rule that both need in order to go on: the connection ends with GOAWAY and this code. Thrown
 * inside `http2/` only.
 */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly code: ErrorCodeName;

  constructor(code: ErrorCodeName, message: string) {
    super(message);
    this.code = code;
  }
}

export function isConnectionError(error: unknown): error is ConnectionError {
  return (
    typeof error === 'object' &&
    error !== null &&
    (error as { name?: unknown }).name === 'ConnectionError'
  );
}
