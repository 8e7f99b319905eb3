import { describe, expect, test } from '@jest/globals';
import { loadMessage } from '@raftmq/rpc';
import { OK_STATUS } from '../status.js';
import { encodePullMessagePart } from './delivered-message.js';
import {
  decodeGroupOffsetRequest,
  decodeOffsetResponse,
  decodePullMessageRequest,
  decodeQueryOffsetRequest,
  encodeGroupOffsetRequest,
  encodeOffsetResponse,
  encodePullMessageRequest,
  encodePullNextOffset,
  encodeQueryOffsetRequest,
  queryOffsetPolicy,
} from './offset-calls.js';
import { decodePullMessageResponse } from './receive-response.js';
import { prepareStoredMessage, writeStoredMessage } from './stored-message.js';

const generic = (name: string) =>
  loadMessage<Record<string, unknown>>(`apache.rocketmq.v2.${name}`);
const queue = {
  topic: { namespace: 'ns', name: 'orders' },
  brokerName: 'broker-a',
  queueId: 7,
};
const genericQueue = {
  topic: { resourceNamespace: 'ns', name: 'orders' },
  id: 7,
  broker: { name: 'broker-a' },
};
const group = { namespace: '', name: 'g' };

describe('calls of the offset family, against the generic codec', () => {
  test('PullMessageRequest', () => {
    const ours = {
      group,
      ...queue,
      offset: 2 ** 40 + 3,
      batchSize: 32,
      filterType: 1,
      filterExpression: 'a || b',
      longPollingMs: 1_500,
    };
    const theirs = {
      group: { name: 'g' },
      messageQueue: genericQueue,
      offset: 2 ** 40 + 3,
      batchSize: 32,
      filterExpression: { type: 1, expression: 'a || b' },
      longPollingTimeout: { seconds: 1, nanos: 500_000_000 },
    };
    const codec = generic('PullMessageRequest');
    expect(codec.decode(encodePullMessageRequest(ours))).toMatchObject(theirs);
    expect(decodePullMessageRequest(codec.encode(theirs))).toEqual(ours);
    expect(decodePullMessageRequest(codec.encode({ offset: -1 }))).toMatchObject({
      offset: -1,
      longPollingMs: null,
      brokerName: '',
    });
  });

  test('UpdateOffsetRequest and GetOffsetRequest', () => {
    const ours = { group, ...queue, offset: 300 };
    const update = generic('UpdateOffsetRequest');
    const theirs = { group: { name: 'g' }, messageQueue: genericQueue };
    expect(update.decode(encodeGroupOffsetRequest(ours))).toMatchObject({ ...theirs, offset: 300 });
    expect(decodeGroupOffsetRequest(update.encode({ ...theirs, offset: 300 }))).toEqual(ours);
    const get = generic('GetOffsetRequest');
    expect(get.decode(encodeGroupOffsetRequest({ ...ours, offset: 0 }))).toMatchObject(theirs);
    expect(decodeGroupOffsetRequest(get.encode(theirs))).toEqual({ ...ours, offset: 0 });
  });

  test('QueryOffsetRequest', () => {
    const codec = generic('QueryOffsetRequest');
    const ours = { ...queue, policy: queryOffsetPolicy.TIMESTAMP, timestampMs: 1_700_000_000_001 };
    const theirs = {
      messageQueue: genericQueue,
      queryOffsetPolicy: 2,
      timestamp: { seconds: 1_700_000_000, nanos: 1_000_000 },
    };
    expect(codec.decode(encodeQueryOffsetRequest(ours))).toMatchObject(theirs);
    expect(decodeQueryOffsetRequest(codec.encode(theirs))).toEqual(ours);
    expect(decodeQueryOffsetRequest(codec.encode({ messageQueue: genericQueue }))).toEqual({
      ...queue,
      policy: queryOffsetPolicy.BEGINNING,
      timestampMs: null,
    });
  });

  test.each(['GetOffsetResponse', 'QueryOffsetResponse'])('%s', (name) => {
    const codec = generic(name);
    const ours = { status: OK_STATUS, offset: 2 ** 33 };
    expect(codec.decode(encodeOffsetResponse(ours))).toMatchObject({
      status: { code: 20000 },
      offset: 2 ** 33,
    });
    expect(
      decodeOffsetResponse(
        codec.encode({ status: { code: 20000, message: 'OK' }, offset: 2 ** 33 }),
      ),
    ).toEqual(ours);
  });

  test('PullMessageResponse: a message without receipt, and where to go on, also at 0', () => {
    const codec = generic('PullMessageResponse');
    const prepared = prepareStoredMessage(
      {
        messageId: 'id',
        body: Buffer.from('b'),
        tag: 'T',
        keys: [],
        userProperties: ['k', 'v'],
        messageGroup: null,
        traceContext: null,
        bornTimestampMs: 5,
        bornHost: 'h',
        gzip: false,
      },
      'orders',
    );
    const record = Buffer.alloc(prepared.sizeBytes);
    const placement = { queueId: 3, queueOffset: 12, physicalOffset: 0, storeTimestampMs: 6 };
    writeStoredMessage(record, 0, prepared, placement);
    const part = encodePullMessagePart(record, null);
    const { message } = codec.decode(part) as {
      message: { body: Buffer; systemProperties: Record<string, unknown> };
    };
    expect(message.body).toEqual(Buffer.from('b'));
    expect(message.systemProperties).toMatchObject({
      messageId: 'id',
      queueId: 3,
      queueOffset: 12,
    });
    for (const absent of ['receiptHandle', 'deliveryAttempt', 'invisibleDuration']) {
      expect(message.systemProperties[absent] ?? null).toBeNull();
    }
    expect(decodePullMessageResponse(part).message).toMatchObject({
      messageId: 'id',
      receiptHandle: '',
      queueOffset: 12,
    });
    expect(codec.decode(encodePullNextOffset(0))).toMatchObject({ nextOffset: 0 });
    expect(decodePullMessageResponse(codec.encode({ nextOffset: 9 }))).toEqual({
      status: null,
      message: null,
      nextOffset: 9,
    });
  });
});
