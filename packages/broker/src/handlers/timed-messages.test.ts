import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MqError } from '@raftmq/base';
import {
  decodeRecallMessageResponse,
  decodeSendMessageResponse,
  encodeRecallMessageRequest,
  encodeSendMessageRequest,
  messageType,
  RecallHandles,
  statusCode,
  type OutgoingMessage,
  type RecallResponse,
  type SendResponse,
} from '@raftmq/protocol';
import { callUnary, EdgeFixture } from '../testing/edge-fixture.js';
import { recallMessage } from './recall-message.js';
import { sendMessage } from './send-message.js';

const DAY_MS = 86_400_000;
const topic = { namespace: '', name: 'later' };

let edge: EdgeFixture;
beforeEach(() => {
  edge = new EdgeFixture();
  edge.addTopic({ name: 'later', type: 'DELAY' });
});
afterEach(() => {
  edge.registry.close();
  edge.forwarder.close();
});

function message(messageId: string, overrides: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    messageId,
    body: Buffer.from('body'),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1_000,
    bornHost: 'host',
    gzip: false,
    messageType: messageType.DELAY,
    deliveryTimestampMs: edge.clock.wallMs() + 1_000,
    liteTopic: null,
    priority: null,
    ...overrides,
  };
}

async function send(messages: readonly OutgoingMessage[]): Promise<SendResponse> {
  const request = encodeSendMessageRequest(topic, messages);
  return decodeSendMessageResponse(await callUnary(sendMessage(edge.services), request));
}

async function recall(recallHandle: string, name = 'later'): Promise<RecallResponse> {
  const request = encodeRecallMessageRequest({ topic: { namespace: '', name }, recallHandle });
  return decodeRecallMessageResponse(await callUnary(recallMessage(edge.services), request));
}

describe('SendMessage with a delivery time', () => {
  it('gives a recall handle for each message', async () => {
    const { status, entries } = await send([message('a'), message('b')]);
    expect(status.code).toBe(statusCode.OK);
    expect(entries).toEqual(
      ['a', 'b'].map((messageId) => ({
        status: { code: statusCode.OK, message: expect.any(String) },
        messageId,
        transactionId: messageId,
        offset: 0,
        recallHandle: `h-${messageId}`,
      })),
    );
    expect(edge.messaging.sent).toHaveLength(1);
  });

  it('keeps the order of the answers when only some messages wait', async () => {
    edge.addTopic({ name: 'later', type: 'MIXED' });
    const plain = { deliveryTimestampMs: null, messageType: messageType.NORMAL };
    const { entries } = await send([message('a', plain), message('b'), message('c', plain)]);
    expect(entries.map((entry) => [entry.messageId, entry.offset, entry.recallHandle])).toEqual([
      ['a', 7, ''],
      ['b', 0, 'h-b'],
      ['c', 8, ''],
    ]);
  });

  it('refuses a time that is too far ahead, with the limit in the text', async () => {
    const deliveryTimestampMs = edge.clock.wallMs() + 40 * DAY_MS + 1;
    const { status } = await send([message('a', { deliveryTimestampMs })]);
    expect(status.code).toBe(statusCode.ILLEGAL_DELIVERY_TIME);
    expect(status.message).toContain('40 days');
  });

  it('passes on that too many wait', async () => {
    edge.messaging.failures.push(new MqError('TOO_MANY_REQUESTS', 'too many wait'));
    expect((await send([message('a')])).status.code).toBe(statusCode.TOO_MANY_REQUESTS);
  });

  it('refuses it for a topic of another type', async () => {
    edge.addTopic({ name: 'later', type: 'NORMAL' });
    const { status } = await send([message('a')]);
    expect(status.code).toBe(statusCode.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  });

  it('creates a topic that takes it when told to', async () => {
    edge = new EdgeFixture({ autoCreateTopic: true });
    await send([message('a')]);
    expect(edge.messaging.topic('later')?.type).toBe('DELAY');
  });
});

describe('RecallMessage', () => {
  it('answers with the id of the message', async () => {
    const answer = await recall('handle');
    expect(answer.status.code).toBe(statusCode.OK);
    expect(answer.messageId).toBe('recalled-id');
    expect(edge.messaging.recalled).toEqual([{ topic: 'later', handle: 'handle' }]);
  });

  it('answers for handles that are none', async () => {
    edge.messaging.failures.push(new MqError('RECALL_FAILED', 'recall handle is invalid'));
    const { status } = await recall('garbage');
    expect(status.code).toBe(statusCode.INTERNAL_SERVER_ERROR);
    expect(status.message).toContain('recall handle is invalid');
    expect(edge.probe.unexpectedErrors).toBe(0);
  });

  it('asks for a topic that takes timed messages', async () => {
    edge.addTopic({ name: 'plain', type: 'NORMAL' });
    edge.addTopic({ name: 'mixed', type: 'MIXED' });
    expect((await recall('h', 'plain')).status.code).toBe(
      statusCode.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
    );
    expect((await recall('h', 'mixed')).status.code).toBe(statusCode.OK);
    expect((await recall('h', 'nowhere')).status.code).toBe(statusCode.TOPIC_NOT_FOUND);
  });

  it('goes to the leader, and to the group that the handle names', async () => {
    const calls: string[] = [];
    edge = new EdgeFixture({
      replicas: [
        { nodeId: 0, host: '10.0.0.1', port: 8081 },
        { nodeId: 1, host: '10.0.0.2', port: 8081 },
      ],
      channel: (address) => {
        calls.push(address);
        throw new Error('no connection in this test');
      },
      holdMs: 0,
    });
    edge.addTopic({ name: 'later', type: 'DELAY' });
    edge.follow(1);
    const handles = new RecallHandles(Buffer.alloc(32), 'broker-a');
    await recall(handles.make('later', { dueMs: 5, timerId: 1, messageId: 'm' }));
    expect(calls).toEqual(['10.0.0.2:8081']);
    expect(edge.messaging.recalled).toEqual([]);
  });
});
