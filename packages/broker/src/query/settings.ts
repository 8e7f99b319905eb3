import { bytes, count } from '@raftmq/base';

/** Settings of queries for messages and of message traces. */
export const querySettings = {
  queryMessagesMax: count({
    default: 64,
    min: 1,
    max: 10_000,
    doc: 'Messages in the answer to a query by id or key. Further hits of a key are asked for with the next position.',
  }),
  queryAnswerBytesMax: bytes({
    default: 3 * 1024 * 1024,
    min: 64 * 1024,
    max: 64 * 1024 * 1024,
    doc: 'Bodies and properties in one answer. What goes beyond is left for the next query, at least one message is given.',
  }),
  traceScanBytesMax: bytes({
    default: 64 * 1024 * 1024,
    min: 1024 * 1024,
    max: 16 * 1024 * 1024 * 1024,
    doc: 'Log that one call of a message trace reads. A trace that needs more goes on with the next call.',
  }),
  queriesMax: count({
    default: 16,
    min: 1,
    max: 1_000,
    doc: 'Queries and traces that run at the same time. Beyond, they are refused with TOO_MANY_REQUESTS.',
  }),
} as const;
