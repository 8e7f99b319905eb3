import { describe, expect, test } from '@jest/globals';
import { loadMessage } from '@raftmq/rpc';
import { consumeLimits } from '../limits.js';
import { OK_STATUS } from '../status.js';
import {
  decodeAckMessageRequest,
  decodeAckMessageResponse,
  encodeAckMessageRequest,
  encodeAckMessageResponse,
} from './ack.js';
import {
  decodeHeartbeatRequest,
  decodeNotifyClientTerminationRequest,
  decodeStatusResponse,
  encodeHeartbeatRequest,
  encodeNotifyClientTerminationRequest,
} from './client-calls.js';
import {
  decodeChangeInvisibleDurationRequest,
  decodeChangeInvisibleDurationResponse,
  decodeForwardToDeadLetterRequest,
  encodeChangeInvisibleDurationRequest,
  encodeChangeInvisibleDurationResponse,
  encodeForwardToDeadLetterRequest,
} from './consumer-calls.js';
import {
  decodeRecallMessageRequest,
  decodeRecallMessageResponse,
  encodeRecallMessageRequest,
  encodeRecallMessageResponse,
} from './recall.js';
import {
  decodeQueryAssignmentRequest,
  decodeQueryAssignmentResponse,
  decodeQueryRouteRequest,
  decodeQueryRouteResponse,
  encodeQueryAssignmentRequest,
  encodeQueryAssignmentResponse,
  encodeQueryRouteRequest,
  encodeQueryRouteResponse,
} from './route.js';

const generic = (name: string) => loadMessage<object>(`apache.rocketmq.v2.${name}`);
const group = { namespace: 'ns', name: 'g' };
const topic = { namespace: '', name: 'orders' };
const wireGroup = { resourceNamespace: 'ns', name: 'g' };
const wireTopic = { resourceNamespace: '', name: 'orders' };
const expired = { code: 40013, message: 'expired' };

describe('AckMessage', () => {
  const entries = [
    { messageId: 'a', receiptHandle: 'h1', liteTopic: null },
    { messageId: 'b', receiptHandle: 'h2', liteTopic: 'lite' },
  ];

  test('request', () => {
    const bytes = encodeAckMessageRequest({ group, topic, entries });
    expect(generic('AckMessageRequest').decode(bytes)).toMatchObject({
      group: wireGroup,
      topic: wireTopic,
      entries: [
        { messageId: 'a', receiptHandle: 'h1' },
        { messageId: 'b', receiptHandle: 'h2', liteTopic: 'lite' },
      ],
    });
    expect(decodeAckMessageRequest(bytes)).toEqual({ group, topic, entries });
  });

  test('request beyond the limit of entries', () => {
    const bytes = Buffer.alloc(2 * (consumeLimits.ackEntriesMax + 1));
    for (let i = 0; i < bytes.length; i += 2) bytes[i] = 26;
    expect(() => decodeAckMessageRequest(bytes)).toThrow(
      expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE' }),
    );
    expect(decodeAckMessageRequest(bytes.subarray(2)).entries).toHaveLength(
      consumeLimits.ackEntriesMax,
    );
  });

  test('request with a handle that is no UTF-8', () => {
    expect(() => decodeAckMessageRequest(Buffer.from('1a031201ff', 'hex'))).toThrow(
      expect.objectContaining({ code: 'INVALID_RECEIPT_HANDLE' }),
    );
  });

  test.each([
    ['all acknowledged', [null, null], { code: 20000, message: 'OK' }],
    ['all refused', [expired, expired], expired],
    ['mixed', [null, expired], { code: 30000, message: 'MULTIPLE_RESULTS' }],
  ])('response: %s', (_what, outcomes, status) => {
    const bytes = encodeAckMessageResponse(entries, outcomes);
    const results = entries.map(({ messageId, receiptHandle }, i) => ({
      messageId,
      receiptHandle,
      status: outcomes[i] ?? OK_STATUS,
    }));
    expect(generic('AckMessageResponse').decode(bytes)).toEqual({ status, entries: results });
    expect(decodeAckMessageResponse(bytes)).toEqual({ status, entries: results });
  });

  test('response without entries is an error', () => {
    expect(decodeAckMessageResponse(encodeAckMessageResponse([], [])).status.code).toBe(50001);
  });
});

describe('ChangeInvisibleDuration', () => {
  const request = {
    group,
    topic,
    receiptHandle: 'h',
    invisibleMs: 1500,
    messageId: 'm',
    liteTopic: 'l',
    suspend: true,
  };
  test('request', () => {
    const bytes = encodeChangeInvisibleDurationRequest(request);
    expect(generic('ChangeInvisibleDurationRequest').decode(bytes)).toMatchObject({
      group: wireGroup,
      topic: wireTopic,
      receiptHandle: 'h',
      invisibleDuration: { seconds: 1, nanos: 500_000_000 },
      messageId: 'm',
      liteTopic: 'l',
      suspend: true,
    });
    expect(decodeChangeInvisibleDurationRequest(bytes)).toEqual(request);
    expect(decodeChangeInvisibleDurationRequest(Buffer.alloc(0))).toMatchObject({
      invisibleMs: 0,
      liteTopic: null,
      suspend: false,
    });
  });
  test('response', () => {
    const bytes = encodeChangeInvisibleDurationResponse({
      status: OK_STATUS,
      receiptHandle: 'new',
    });
    expect(generic('ChangeInvisibleDurationResponse').decode(bytes)).toEqual({
      status: { code: 20000, message: 'OK' },
      receiptHandle: 'new',
    });
    expect(decodeChangeInvisibleDurationResponse(bytes)).toEqual({
      status: OK_STATUS,
      receiptHandle: 'new',
    });
  });
});

test('RecallMessage', () => {
  const request = { topic: group, recallHandle: 'AbC-_' };
  const bytes = encodeRecallMessageRequest(request);
  expect(generic('RecallMessageRequest').decode(bytes)).toEqual({
    topic: wireGroup,
    recallHandle: 'AbC-_',
  });
  expect(decodeRecallMessageRequest(bytes)).toEqual(request);
  for (const response of [
    { status: OK_STATUS, messageId: '01AB' },
    { status: expired, messageId: '' },
  ]) {
    const answer = encodeRecallMessageResponse(response);
    expect(generic('RecallMessageResponse').decode(answer)).toEqual(response);
    expect(decodeRecallMessageResponse(answer)).toEqual(response);
  }
});

test('ForwardMessageToDeadLetterQueue', () => {
  const request = {
    group,
    topic,
    receiptHandle: 'h',
    messageId: 'm',
    deliveryAttempt: 3,
    maxDeliveryAttempts: 17,
    liteTopic: 'l',
  };
  const bytes = encodeForwardToDeadLetterRequest(request);
  expect(generic('ForwardMessageToDeadLetterQueueRequest').decode(bytes)).toMatchObject({
    ...request,
    group: wireGroup,
    topic: wireTopic,
  });
  expect(decodeForwardToDeadLetterRequest(bytes)).toEqual(request);
});

describe('Heartbeat and NotifyClientTermination', () => {
  test('with and without a group', () => {
    const consumer = encodeHeartbeatRequest({ group, clientType: 2 });
    expect(generic('HeartbeatRequest').decode(consumer)).toEqual(
      expect.objectContaining({ group: wireGroup, clientType: 2 }),
    );
    expect(decodeHeartbeatRequest(consumer)).toEqual({ group, clientType: 2 });
    expect(decodeHeartbeatRequest(encodeHeartbeatRequest({ group: null, clientType: 1 }))).toEqual({
      group: null,
      clientType: 1,
    });
    const goodbye = encodeNotifyClientTerminationRequest(group);
    expect(generic('NotifyClientTerminationRequest').decode(goodbye)).toMatchObject({
      group: wireGroup,
    });
    expect(decodeNotifyClientTerminationRequest(goodbye)).toEqual(group);
    expect(
      decodeNotifyClientTerminationRequest(encodeNotifyClientTerminationRequest(null)),
    ).toBeNull();
  });
  test('the status of any response can be read alone', () => {
    const bytes = generic('QueryRouteResponse').encode({
      status: expired,
      messageQueues: [{ id: 1 }],
    });
    expect(decodeStatusResponse(bytes)).toEqual(expired);
  });
});

describe('QueryRoute and QueryAssignment', () => {
  const endpoints = {
    scheme: 1,
    addresses: [
      { host: '10.0.0.1', port: 8081 },
      { host: '10.0.0.2', port: 8082 },
    ],
  };
  const queues = [
    {
      topic: group,
      queueId: 0,
      permission: 4,
      brokerName: 'broker-a',
      brokerId: 0,
      endpoints,
      acceptMessageTypes: [1, 2, 3, 4],
    },
    {
      topic,
      queueId: -1,
      permission: 2,
      brokerName: 'broker-b',
      brokerId: 1,
      endpoints: { scheme: 3, addresses: [] },
      acceptMessageTypes: [],
    },
  ];
  const wireQueues = [
    {
      topic: wireGroup,
      id: 0,
      permission: 4,
      broker: { name: 'broker-a', id: 0, endpoints },
      acceptMessageTypes: [1, 2, 3, 4],
    },
    {
      topic: wireTopic,
      id: -1,
      permission: 2,
      broker: { name: 'broker-b', id: 1, endpoints: { scheme: 3, addresses: [] } },
      acceptMessageTypes: [],
    },
  ];

  test('requests', () => {
    const route = encodeQueryRouteRequest(topic, endpoints);
    expect(generic('QueryRouteRequest').decode(route)).toEqual({ topic: wireTopic, endpoints });
    expect(decodeQueryRouteRequest(route)).toMatchObject({ topic, endpoints });
    const assignment = encodeQueryAssignmentRequest({ topic, group, endpoints });
    expect(generic('QueryAssignmentRequest').decode(assignment)).toEqual({
      topic: wireTopic,
      group: wireGroup,
      endpoints,
    });
    expect(decodeQueryAssignmentRequest(assignment)).toEqual({ topic, group, endpoints });
  });

  test('responses', () => {
    const status = { code: 20000, message: 'OK' };
    const route = encodeQueryRouteResponse({ status: OK_STATUS, queues });
    expect(generic('QueryRouteResponse').decode(route)).toEqual({
      status,
      messageQueues: wireQueues,
    });
    expect(decodeQueryRouteResponse(route)).toEqual({ status, queues });
    const assignment = encodeQueryAssignmentResponse({ status: OK_STATUS, queues });
    expect(generic('QueryAssignmentResponse').decode(assignment)).toEqual({
      status,
      assignments: wireQueues.map((messageQueue) => ({ messageQueue })),
    });
    expect(decodeQueryAssignmentResponse(assignment)).toEqual({ status, queues });
  });

  test('accept types are read packed and unpacked', () => {
    const unpacked = Buffer.from('1204' + '28012803', 'hex');
    expect(decodeQueryRouteResponse(unpacked).queues[0]!.acceptMessageTypes).toEqual([1, 3]);
  });
});
