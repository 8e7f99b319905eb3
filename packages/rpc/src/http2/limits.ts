/** Limits of a connection; what is the same for both ends. */
export interface ConnectionLimits {
  /** A larger message ends its call with RESOURCE_EXHAUSTED; also counted after unpacking. */
  readonly messageBytesMax: number;
  /** Bytes that the peer may have under way on the connection before we read them; at least 65,535. */
  readonly connectionWindowBytes: number;
  /** The same for one call. */
  readonly streamWindowBytes: number;
  /** Calls that the peer may have open. */
  readonly streamsMax: number;
  /** Silence after which the peer is asked for a sign of life, and how long it may take to give one. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** A connection without a call for this long is closed politely; Infinity = never. */
  readonly idleMs: number;
  /** The peer has to send its first frame within this time. */
  readonly openingMs: number;
  /** Memory for messages that have not come in whole, per connection. */
  readonly partialBytesMax: number;
  /** Messages that the peer does not take; with more of them it gets no further calls answered. */
  readonly pendingBytesMax: number;
}

/* What no operator has to set. */

/** Payload of a frame from the peer. DATA is not held back until it is whole, so this costs nothing. */
export const FRAME_BYTES_MAX = 256 * 1024;
/** Size of the header fields of one call, as HPACK counts: what gRPC allows by default elsewhere. */
export const HEADER_LIST_BYTES_MAX = 16 * 1024;
/** Encoded header fields of one call, and the frames that they come in. */
export const HEADER_BLOCK_BYTES_MAX = 32 * 1024;
export const CONTINUATIONS_MAX = 16;
export const HEADER_TABLE_BYTES = 4096;
/**
 * Frames that ask for work and bring nothing (PING, SETTINGS, empty DATA): so many at once, and per second. Clients that
 * measure their bandwidth send a PING with each answer, so answers forgive them all.
 */
export const IDLE_FRAMES_MAX = 1_000;
export const IDLE_FRAMES_PER_SECOND = 20;
/** Calls that the peer took back, or that we had to reset: a client may give up all its calls at once, not all the time. */
export const RESETS_MAX = 10_000;
export const RESETS_PER_SECOND = 200;
/** Calls that ended with a reset lately: what still comes for them was under way, and is passed over. */
export const RECENT_RESETS_MAX = 256;
/** Bytes that may wait in a socket; answers then wait in their calls. */
export const SOCKET_BYTES_MAX = 1024 * 1024;
/** Bytes of one flush, and of one call in it. */
export const FLUSH_BYTES_MAX = 1024 * 1024;
export const CALL_QUANTUM_BYTES = 128 * 1024;
/** Control frames and short refusals that may wait for a peer which does not read. */
export const CONTROL_BYTES_MAX = 4 * 1024 * 1024;
/** Messages of a stream that may wait before its writer is asked to. */
export const STREAM_MESSAGES_HIGH = 16;
export const STREAM_BYTES_HIGH = 256 * 1024;
/** How long a peer may take to answer that it knows we are leaving, and to hang up after our last word. */
export const DRAIN_PING_MS = 1_000;
export const LINGER_MS = 1_000;

/** Counters of connections; read at scrape. */
export interface ConnectionProbe {
  /** Connections ended because the peer broke the protocol, and because it asked for too much. */
  protocolErrors: number;
  floods: number;
  /** Calls reset because the peer broke the protocol in them alone. */
  malformedCalls: number;
  /** Calls refused: too many at once, answers not taken, too much of requests half received. */
  refusedCalls: number;
  refusedSlowReader: number;
  refusedMemory: number;
  /** Calls that the peer took back. */
  resetsReceived: number;
  deadlinesPassed: number;
  keepaliveTimeouts: number;
  idleClosed: number;
}

/** All zero. */
export function newConnectionProbe(): ConnectionProbe {
  return {
    protocolErrors: 0,
    floods: 0,
    malformedCalls: 0,
    refusedCalls: 0,
    refusedSlowReader: 0,
    refusedMemory: 0,
    resetsReceived: 0,
    deadlinesPassed: 0,
    keepaliveTimeouts: 0,
    idleClosed: 0,
  };
}
