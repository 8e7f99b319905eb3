import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { loadMessage } from '@raftmq/rpc';
import { type PublishMessage } from '../model/message.js';
import { encodeRecoverOrphanedTransaction } from './delivered-message.js';
import { decodeEndTransactionRequest, encodeEndTransactionRequest } from './end-transaction.js';
import { decodeRecoverOrphanedTransaction } from './receive-response.js';
import { encodeSendMessageRequest } from './send-encode.js';
import {
  encodeStoredMessage,
  placeTransactionalMessage,
  stampStoredMessage,
} from './stored-copy.js';
import { decodeStoredMessage, storedStoreTimestampMs } from './stored-fields.js';
import { parseStoredHost } from './stored-host.js';
import { prepareStoredMessage, sysFlag, type PrepareOptions } from './stored-message.js';

const message: PublishMessage = {
  messageId: '01AB',
  body: Buffer.from('größe'),
  tag: 'TagA',
  keys: ['k1', 'k2'],
  userProperties: ['name', 'värde'],
  messageGroup: null,
  traceContext: 'trace',
  bornTimestampMs: 1_700_000_000_005,
  bornHost: 'laptop',
  gzip: true,
};

describe('EndTransactionRequest', () => {
  const request = {
    topic: { namespace: 'ns', name: 'orders' },
    messageId: 'm',
    transactionId: 't',
    resolution: 2,
    source: 1,
    traceContext: 'trace',
  };

  test('both ways, as the generic codec has it', () => {
    const bytes = encodeEndTransactionRequest(request);
    expect(loadMessage('apache.rocketmq.v2.EndTransactionRequest').decode(bytes)).toEqual({
      ...request,
      topic: { resourceNamespace: 'ns', name: 'orders' },
    });
    expect(decodeEndTransactionRequest(bytes)).toEqual(request);
  });

  test('texts that are none are refused by the code of their field', () => {
    const refused = (bytes: number[], code: string): void => {
      let thrown: unknown = null;
      try {
        decodeEndTransactionRequest(Buffer.from(bytes));
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toMatchObject({ code });
    };
    refused([26, 1, 0xff], 'INVALID_TRANSACTION_ID');
    refused([18, 1, 0xff], 'ILLEGAL_MESSAGE_ID');
    refused([26, 5], 'BAD_REQUEST');
  });
});

describe('a record without a place', () => {
  const options: readonly [string, PrepareOptions][] = [
    ['IPv4', { sysFlag: sysFlag.TRANSACTION_PREPARED }],
    [
      'IPv6',
      { sysFlag: sysFlag.TRANSACTION_PREPARED, storeHost: parseStoredHost('[2001:db8::1]:10911') },
    ],
  ];

  test.each(options)('gets one later, and nothing else changes (store host %s)', (_, given) => {
    const record = encodeStoredMessage(prepareStoredMessage(message, 'orders', given));
    stampStoredMessage(record, 123_456);
    expect(storedStoreTimestampMs(record)).toBe(123_456);
    const before = Buffer.from(record);
    const frame = Buffer.alloc(record.length + 7, 0xee);
    const end = placeTransactionalMessage(record, frame, 5, {
      queueId: 3,
      queueOffset: 2 ** 40,
      physicalOffset: 2 ** 41,
      storeTimestampMs: 1_700_000_009_000,
      transactionFlag: sysFlag.TRANSACTION_COMMIT,
      preparedTransactionOffset: 77,
    });
    expect(end).toBe(5 + record.length);
    expect(record.equals(before)).toBe(true);
    expect([frame[4], frame[end]]).toEqual([0xee, 0xee]);
    const placed = decodeStoredMessage(frame.subarray(5, end));
    expect(placed).toEqual({
      ...decodeStoredMessage(record),
      queueId: 3,
      queueOffset: 2 ** 40,
      physicalOffset: 2 ** 41,
      storeTimestampMs: 1_700_000_009_000,
      sysFlag:
        sysFlag.TRANSACTION_COMMIT |
        sysFlag.COMPRESSED |
        (given.storeHost === undefined ? 0 : sysFlag.STORE_HOST_IPV6),
    });
    // The field in front of the body's length.
    expect(frame.readUInt32BE(5 + 80 + (given.storeHost === undefined ? 0 : 12))).toBe(77);
  });
});

describe('RecoverOrphanedTransactionCommand', () => {
  const record = encodeStoredMessage(
    prepareStoredMessage(message, 'ns%orders', { sysFlag: sysFlag.TRANSACTION_PREPARED }),
  );

  test('is a TelemetryCommand with the whole message, without a delivery', () => {
    const bytes = encodeRecoverOrphanedTransaction(record, 'tx', 7_500);
    const command = loadMessage<Record<string, Record<string, Record<string, unknown>>>>(
      'apache.rocketmq.v2.TelemetryCommand',
    ).decode(bytes);
    expect(command['command']).toBe('recoverOrphanedTransactionCommand');
    const orphan = command['recoverOrphanedTransactionCommand']!;
    expect(orphan['transactionId']).toBe('tx');
    expect(orphan['message']).toMatchObject({
      topic: { resourceNamespace: 'ns', name: 'orders' },
      userProperties: { name: 'värde' },
      body: Buffer.from('größe'),
    });
    const system = orphan['message']!['systemProperties'] as Record<string, unknown>;
    expect(system).toMatchObject({
      messageId: '01AB',
      messageType: 4,
      bodyEncoding: 2,
      bodyDigest: {
        type: 2,
        checksum: createHash('md5').update('größe').digest('hex').toUpperCase(),
      },
      bornTimestamp: { seconds: 1_700_000_000, nanos: 5_000_000 },
      orphanedTransactionRecoveryDuration: { seconds: 7, nanos: 500_000_000 },
    });
    for (const name of ['receiptHandle', 'deliveryAttempt', 'invisibleDuration'])
      expect(system[name] ?? null).toBeNull();
  });

  test('our own client reads it, and passes over other commands', () => {
    const bytes = encodeRecoverOrphanedTransaction(record, 'tx', null);
    const orphan = decodeRecoverOrphanedTransaction(bytes)!;
    expect(orphan.transactionId).toBe('tx');
    expect(orphan.message).toMatchObject({ messageId: '01AB', messageType: 4, gzip: true });
    const other = loadMessage('apache.rocketmq.v2.TelemetryCommand').encode({
      status: { code: 20000, message: 'OK' },
      settings: { metric: { on: false } },
    });
    expect(decodeRecoverOrphanedTransaction(other)).toBeNull();
  });
});

test('a producer says when to ask first', () => {
  const outgoing = {
    ...message,
    messageType: 4,
    deliveryTimestampMs: null,
    liteTopic: null,
    priority: null,
  } as const;
  const decode = (bytes: Buffer): unknown =>
    (
      loadMessage('apache.rocketmq.v2.SendMessageRequest').decode(bytes) as {
        messages: { systemProperties: { orphanedTransactionRecoveryDuration?: unknown } }[];
      }
    ).messages[0]!.systemProperties.orphanedTransactionRecoveryDuration;
  const topic = { namespace: '', name: 'orders' };
  expect(
    decode(encodeSendMessageRequest(topic, [{ ...outgoing, transactionRecoveryMs: 9_000 }])),
  ).toEqual({ seconds: 9, nanos: 0 });
  expect(decode(encodeSendMessageRequest(topic, [outgoing])) ?? null).toBeNull();
});
