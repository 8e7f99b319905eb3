import { describe, expect, test } from '@jest/globals';
import { createPrng, isMqError, varintSizeBytes, writeVarint } from '@raftmq/base';
import {
  decodeAckMessageRequest,
  decodeAckMessageResponse,
  encodeAckMessageRequest,
} from './ack.js';
import { decodeHeartbeatRequest, decodeStatusResponse } from './client-calls.js';
import {
  decodeChangeInvisibleDurationRequest,
  decodeChangeInvisibleDurationResponse,
  decodeForwardToDeadLetterRequest,
  encodeForwardToDeadLetterRequest,
} from './consumer-calls.js';
import {
  decodeGroupOffsetRequest,
  decodeOffsetResponse,
  decodePullMessageRequest,
  decodeQueryOffsetRequest,
} from './offset-calls.js';
import { decodeReceiveMessageRequest, encodeReceiveMessageRequest } from './receive-request.js';
import { decodeEndTransactionRequest, encodeEndTransactionRequest } from './end-transaction.js';
import {
  decodePullMessageResponse,
  decodeReceiveMessageResponse,
  decodeRecoverOrphanedTransaction,
} from './receive-response.js';
import {
  decodeQueryAssignmentRequest,
  decodeQueryAssignmentResponse,
  decodeQueryRouteRequest,
  decodeQueryRouteResponse,
  encodeQueryRouteRequest,
} from './route.js';
import { encodeSendMessageRequest } from './send-encode.js';
import { decodeRecallMessageRequest, decodeRecallMessageResponse } from './recall.js';
import { decodeSendMessageRequest } from './send-request.js';
import { decodeSendMessageResponse, encodeSendOkResponse } from './send-response.js';

const decoders: [string, (frame: Buffer) => unknown][] = [
  ['SendMessageRequest', (frame) => decodeSendMessageRequest(frame, { peer: 'p', nowMs: 0 })],
  ['SendMessageResponse', decodeSendMessageResponse],
  ['ReceiveMessageRequest', decodeReceiveMessageRequest],
  ['ReceiveMessageResponse', decodeReceiveMessageResponse],
  ['PullMessageRequest', decodePullMessageRequest],
  ['PullMessageResponse', decodePullMessageResponse],
  ['UpdateOffsetRequest', decodeGroupOffsetRequest],
  ['QueryOffsetRequest', decodeQueryOffsetRequest],
  ['GetOffsetResponse', decodeOffsetResponse],
  ['AckMessageRequest', decodeAckMessageRequest],
  ['AckMessageResponse', decodeAckMessageResponse],
  ['ChangeInvisibleDurationRequest', decodeChangeInvisibleDurationRequest],
  ['ChangeInvisibleDurationResponse', decodeChangeInvisibleDurationResponse],
  ['ForwardMessageToDeadLetterQueueRequest', decodeForwardToDeadLetterRequest],
  ['RecallMessageRequest', decodeRecallMessageRequest],
  ['RecallMessageResponse', decodeRecallMessageResponse],
  ['HeartbeatRequest', decodeHeartbeatRequest],
  ['QueryRouteRequest', decodeQueryRouteRequest],
  ['QueryRouteResponse', decodeQueryRouteResponse],
  ['QueryAssignmentRequest', decodeQueryAssignmentRequest],
  ['QueryAssignmentResponse', decodeQueryAssignmentResponse],
  ['EndTransactionRequest', decodeEndTransactionRequest],
  ['RecoverOrphanedTransactionCommand', decodeRecoverOrphanedTransaction],
  ['any response', decodeStatusResponse],
];

const name = { namespace: 'ns', name: 'orders' };
const endpoints = { scheme: 1, addresses: [{ host: '10.0.0.1', port: 8081 }] };
/** Good frames of several kinds: every decoder is also fed those of all others. */
const frames = [
  encodeSendMessageRequest(name, [
    {
      messageId: '01AB',
      body: Buffer.from('Hello'),
      tag: 'TagA',
      keys: ['k 1', 'k2'],
      userProperties: ['a', 'b', 'ü', '😀'],
      messageGroup: 'g',
      traceContext: 'tc',
      bornTimestampMs: 1_700_000_000_123,
      bornHost: 'h',
      gzip: false,
      messageType: 2,
      deliveryTimestampMs: -1,
      liteTopic: 'l',
      priority: -1,
    },
  ]),
  encodeSendOkResponse([{ messageId: '01AB' }, { messageId: '01AC' }], 2 ** 40),
  encodeReceiveMessageRequest({
    group: name,
    topic: name,
    brokerName: 'broker-a',
    queueId: -1,
    filterType: 1,
    filterExpression: 'a || b',
    batchSize: 32,
    invisibleMs: 30_000,
    autoRenew: true,
    longPollingMs: 20_000,
    attemptId: 'id',
  }),
  encodeAckMessageRequest({
    group: name,
    topic: name,
    entries: [{ messageId: 'm', receiptHandle: 'h', liteTopic: 'l' }],
  }),
  encodeForwardToDeadLetterRequest({
    group: name,
    topic: name,
    receiptHandle: 'h',
    messageId: 'm',
    deliveryAttempt: 1,
    maxDeliveryAttempts: 17,
    liteTopic: null,
  }),
  encodeQueryRouteRequest(name, endpoints),
  encodeEndTransactionRequest({
    topic: name,
    messageId: 'm',
    transactionId: 't',
    resolution: 1,
    source: 1,
    traceContext: 'tc',
  }),
];

/** Field 15, holding a field 15, and so on. */
const tenThousandDeep = nest(10_000);

function nest(levels: number): Buffer {
  const bytes = Buffer.alloc(4 * levels);
  let at = bytes.length;
  for (let level = 0; level < levels; level++) {
    const sizeBytes = bytes.length - at;
    at -= varintSizeBytes(sizeBytes);
    writeVarint(bytes, sizeBytes, at);
    bytes[--at] = 0x7a;
  }
  return bytes.subarray(at);
}

/** Reads, or refuses with a code; anything else, an assertion too, fails the test. */
function outcome(decode: (frame: Buffer) => unknown, frame: Buffer): 'read' | 'refused' {
  try {
    decode(frame);
    return 'read';
  } catch (error) {
    if (!isMqError(error)) throw error;
    return 'refused';
  }
}

describe.each(decoders)('%s', (_name, decode) => {
  test('reads or refuses random bytes and damaged frames of every kind', () => {
    const random = createPrng(20);
    const seen = new Set<string>();
    for (let round = 0; round < 3000; round++) {
      const damaged = Buffer.from(random.pick(frames));
      for (let i = random.integer(0, 4); i >= 0; i--)
        damaged[random.integer(0, damaged.length - 1)] = random.integer(0, 255);
      seen.add(outcome(decode, damaged.subarray(0, random.integer(1, damaged.length))));
      const noise = Buffer.from(
        Array.from({ length: random.integer(0, 40) }, () => random.integer(0, 255)),
      );
      seen.add(outcome(decode, noise));
    }
    expect([...seen].sort()).toEqual(['read', 'refused']);
  });

  test('reads ten thousand nested fields without going down', () => {
    expect(outcome(decode, tenThousandDeep)).toBe('read');
  });

  test('an empty frame is a message of defaults', () =>
    expect(outcome(decode, Buffer.alloc(0))).toBe('read'));
});
