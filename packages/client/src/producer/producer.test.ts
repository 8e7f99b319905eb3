import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isMqError, type MqError } from '@raftmq/base';
import {
  encodeSendMessageResponse,
  encodeStatusResponse,
  OK_STATUS,
  statusCode,
  statusWithName,
} from '@raftmq/protocol';
import { RpcError } from '@raftmq/rpc';
import { FakeBroker, until } from '../testing/fake-broker.js';
import { Producer, type ProducerOptions } from './producer.js';

let broker: FakeBroker;
let producer: Producer;

beforeEach(async () => {
  broker = new FakeBroker();
  await broker.start();
});

afterEach(async () => {
  await producer.close(0);
  await broker.stop();
});

async function start(options: Partial<ProducerOptions> = {}): Promise<Producer> {
  producer = new Producer({ endpoints: broker.endpoints, topics: ['topic'], ...options });
  await producer.start();
  return producer;
}

async function codeOf(sending: Promise<unknown>): Promise<string> {
  try {
    await sending;
  } catch (error) {
    return isMqError(error) ? error.code : String(error);
  }
  return 'OK';
}

const bodies = (): string[] => broker.stored.map((message) => message.body.toString());

/** A promise that a test resolves. */
function gate(): { readonly opened: Promise<null>; open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<null>((resolve) => (open = () => resolve(null)));
  return { opened, open: () => open() };
}

describe('Producer', () => {
  test('sends a message with everything on it', async () => {
    await start();
    const receipt = await producer.send({
      topic: 'topic',
      body: 'hello',
      tag: 'TagA',
      keys: ['a', 'b c'],
      properties: { color: 'blue', __proto__x: '1' },
      ttlMs: 90_000,
    });
    expect(receipt).toMatchObject({ topic: 'topic', queueOffset: 0, brokerName: 'broker-a' });
    expect(broker.stored[0]).toMatchObject({
      messageId: receipt.messageId,
      tag: 'TagA',
      keys: ['a', 'b c'],
      messageType: 1,
      userProperties: ['color', 'blue', '__proto__x', '1', 'RAFTMQ_TTL', '90000ms'],
    });
    expect(bodies()).toEqual(['hello']);
    expect(receipt.messageId).toMatch(/^01[0-9A-F]{32}$/);
    expect(broker.headersSeen.at(-1)).toMatchObject({
      'x-mq-language': 'RAFTMQ_NODE',
      'x-mq-protocol': 'v2',
    });
  });

  test('declares its topics in the settings', async () => {
    await start();
    expect(broker.settingsSeen[0]).toMatchObject({
      clientType: 1,
      publishing: { topics: [{ name: 'topic' }] },
      userAgent: { language: 8 },
    });
    broker.topics.add('other');
    await producer.send({ topic: 'other', body: 'x' });
    await until(() => broker.settingsSeen.length > 1);
    expect(broker.settingsSeen.at(-1)).toMatchObject({
      publishing: { topics: [{ name: 'topic' }, { name: 'other' }] },
    });
  });

  test('sends of one turn share a request, within the limits', async () => {
    await start({ batchMessagesMax: 4 });
    const receipts = await Promise.all(
      Array.from({ length: 10 }, (_, i) => producer.send({ topic: 'topic', body: `m${i}` })),
    );
    expect([...broker.batches].sort()).toEqual([2, 4, 4]);
    expect(new Set(receipts.map((receipt) => receipt.queueOffset)).size).toBe(10);
    for (const [i, receipt] of receipts.entries()) {
      const stored = broker.stored.find((message) => message.messageId === receipt.messageId);
      expect(stored?.body.toString()).toBe(`m${i}`);
    }
  });

  test('bytes limit a request, too; a larger message travels alone', async () => {
    await start({ batchBytesMax: 3_000 });
    await Promise.all(
      [1_000, 1_000, 1_000, 5_000].map((size) =>
        producer.send({ topic: 'topic', body: Buffer.alloc(size, 1) }),
      ),
    );
    expect(broker.batches).toEqual([2, 1, 1]);
  });

  test('lingers for company, but not when the batch is full', async () => {
    await start({ lingerMs: 60_000, batchMessagesMax: 2 });
    const first = producer.send({ topic: 'topic', body: '1' });
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(broker.calls('sendMessage')).toBe(0);
    await Promise.all([first, producer.send({ topic: 'topic', body: '2' })]);
    expect(broker.batches).toEqual([2]);
  });

  test('the linger time ends the wait', async () => {
    await start({ lingerMs: 5 });
    await producer.send({ topic: 'topic', body: '1' });
    expect(broker.batches).toEqual([1]);
  });

  test('sendBatch travels in one request and alone', async () => {
    await start();
    const [receipts] = await Promise.all([
      producer.sendBatch([
        { topic: 'topic', body: 'a' },
        { topic: 'topic', body: 'b' },
      ]),
      producer.send({ topic: 'topic', body: 'c' }),
    ]);
    expect(receipts.map((receipt) => receipt.queueOffset)).toHaveLength(2);
    expect([...broker.batches].sort()).toEqual([1, 2]);
    expect(await producer.sendBatch([])).toEqual([]);
    const mixed = producer.sendBatch([
      { topic: 'topic', body: 'a' },
      { topic: 'topic', body: 'b', messageGroup: 'g' },
    ]);
    expect(await codeOf(mixed)).toBe('BAD_REQUEST');
  });

  test('a message group keeps its order while its requests fail and are repeated', async () => {
    const refused = new Set<string>();
    broker.onSend = ([message], call) => {
      // Once each: which group a call is of is chance, and nobody sends for ever.
      if (call % 3 !== 1 || refused.has(message!.messageId)) return null;
      refused.add(message!.messageId);
      return encodeStatusResponse(statusWithName(statusCode.TOO_MANY_REQUESTS));
    };
    await start();
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        producer.send({ topic: 'topic', body: `${i % 3}:${i}`, messageGroup: `g${i % 3}` }),
      ),
    );
    expect(refused.size).toBeGreaterThan(5);
    for (const group of ['0', '1', '2']) {
      const own = bodies().filter((body) => body.startsWith(`${group}:`));
      const sorted = [...own].sort((a, b) => Number(a.slice(2)) - Number(b.slice(2)));
      expect(own).toHaveLength(10);
      expect(own).toEqual(sorted);
    }
    expect(broker.batches.every((size) => size === 1)).toBe(true);
  });

  test('batchFifo gathers a group while a request is under way', async () => {
    const { opened, open } = gate();
    broker.onSend = (_, call) => (call === 1 ? opened : null);
    await start({ batchFifo: true });
    const first = producer.send({ topic: 'topic', body: '0', messageGroup: 'g' });
    await until(() => broker.calls('sendMessage') === 1);
    const rest = [1, 2, 3].map((i) =>
      producer.send({ topic: 'topic', body: `${i}`, messageGroup: 'g' }),
    );
    await new Promise((resolve) => setImmediate(resolve));
    open();
    await Promise.all([first, ...rest]);
    expect(broker.batches).toEqual([1, 3]);
    expect(bodies()).toEqual(['0', '1', '2', '3']);
  });

  test('repeats with the same message id, and not for ever', async () => {
    const ids: string[] = [];
    broker.onSend = (messages) => {
      ids.push(messages[0]!.messageId);
      return encodeStatusResponse(statusWithName(statusCode.INTERNAL_SERVER_ERROR));
    };
    await start({ attemptsMax: 3 });
    const code = await codeOf(producer.send({ topic: 'topic', body: 'x' }));
    expect(code).toBe('INTERNAL_ERROR');
    expect(ids).toHaveLength(3);
    expect(new Set(ids).size).toBe(1);
  });

  test('does not repeat what the server refuses for good', async () => {
    broker.onSend = () => encodeStatusResponse(statusWithName(statusCode.ILLEGAL_MESSAGE_TAG));
    await start();
    expect(await codeOf(producer.send({ topic: 'topic', body: 'x' }))).toBe('ILLEGAL_MESSAGE_TAG');
    expect(broker.calls('sendMessage')).toBe(1);
  });

  test('only the messages that failed are sent again', async () => {
    broker.onSend = (messages, call) => {
      if (call > 1) return null;
      return encodeSendMessageResponse({
        status: statusWithName(statusCode.MULTIPLE_RESULTS),
        entries: messages.map((message, i) => ({
          status: i === 1 ? statusWithName(statusCode.HA_NOT_AVAILABLE) : OK_STATUS,
          messageId: message.messageId,
          transactionId: '',
          offset: i,
          recallHandle: '',
        })),
      });
    };
    await start();
    await producer.sendBatch(['a', 'b', 'c'].map((body) => ({ topic: 'topic', body })));
    expect(bodies()).toEqual(['b']);
  });

  test('one entry for a whole batch counts for all of it, as the original answers', async () => {
    broker.onSend = (messages) =>
      encodeSendMessageResponse({
        status: OK_STATUS,
        entries: [
          {
            status: OK_STATUS,
            messageId: messages[0]!.messageId,
            transactionId: '',
            offset: 7,
            recallHandle: '',
          },
        ],
      });
    await start();
    const receipts = await producer.sendBatch(['a', 'b'].map((body) => ({ topic: 'topic', body })));
    expect(receipts.map((receipt) => receipt.queueOffset)).toEqual([7, -1]);
    expect(new Set(receipts.map((receipt) => receipt.messageId)).size).toBe(2);
  });

  test('moves on to the next address, and stays away from the one that failed', async () => {
    const other = new FakeBroker();
    await other.start();
    broker.onSend = () => {
      throw new RpcError('UNAVAILABLE', 'going down');
    };
    broker.routeAddresses = [
      { host: '127.0.0.1', port: broker.port },
      { host: '127.0.0.1', port: other.port },
    ];
    await start();
    await until(() => broker.heartbeats > 0);
    await producer.send({ topic: 'topic', body: '1' });
    await producer.send({ topic: 'topic', body: '2' });
    expect(other.stored).toHaveLength(2);
    expect(broker.calls('sendMessage')).toBe(1);
    await other.stop();
  });

  test('an attempt without an answer leaves the outcome open', async () => {
    broker.onSend = (_, call) => {
      if (call === 1) throw new RpcError('UNAVAILABLE', 'connection dropped');
      return encodeStatusResponse(statusWithName(statusCode.FORBIDDEN));
    };
    await start();
    const failure: unknown = await producer
      .send({ topic: 'topic', body: 'x' })
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'REQUEST_TIMEOUT' });
    expect((failure as MqError).message).toContain('FORBIDDEN');
  });

  test('a server that was never reached leaves nothing open', async () => {
    await start({ attemptsMax: 2 });
    await broker.stop();
    await until(() => true);
    const code = await codeOf(producer.send({ topic: 'topic', body: 'x' }));
    expect(['HA_NOT_AVAILABLE', 'REQUEST_TIMEOUT']).toContain(code);
    const again = await codeOf(producer.send({ topic: 'topic', body: 'x' }));
    expect(again).toBe('HA_NOT_AVAILABLE');
    await broker.stop();
  });

  test('an unknown topic fails the start, and a send', async () => {
    await expect(start({ topics: ['nowhere'] })).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' });
    await start();
    const code = await codeOf(producer.send({ topic: 'nowhere', body: 'x' }));
    expect(code).toBe('TOPIC_NOT_FOUND');
  });

  test('refuses at its limits instead of growing', async () => {
    const { opened, open } = gate();
    broker.onSend = () => opened;
    await start({ pendingMessagesMax: 3, pendingBytesMax: 10_000 });
    const sends = [1, 2, 3].map((i) => producer.send({ topic: 'topic', body: `${i}` }));
    expect(await codeOf(producer.send({ topic: 'topic', body: '4' }))).toBe('TOO_MANY_REQUESTS');
    open();
    await Promise.all(sends);
    broker.onSend = () => null;
    await producer.send({ topic: 'topic', body: Buffer.alloc(20_000, 1) });
    const two = [0, 1].map(() => producer.send({ topic: 'topic', body: Buffer.alloc(9_000, 1) }));
    expect(await Promise.all(two.map(codeOf))).toEqual(['OK', 'TOO_MANY_REQUESTS']);
  });

  test('checks what the server would refuse anyway', async () => {
    broker.settings = { backoffPolicy: { maxAttempts: 1 } };
    broker.acceptMessageTypes = [1];
    await start();
    const send = (changes: object): Promise<string> =>
      codeOf(producer.send({ topic: 'topic', body: 'x', ...changes }));
    expect(await send({ body: '' })).toBe('MESSAGE_BODY_EMPTY');
    expect(await send({ body: Buffer.alloc(4 * 1024 * 1024 + 1) })).toBe('MESSAGE_BODY_TOO_LARGE');
    expect(await send({ tag: '\ud800' })).toBe('ILLEGAL_MESSAGE_TAG');
    expect(await send({ keys: ['\u0000'] })).toBe('ILLEGAL_MESSAGE_KEY');
    expect(await send({ properties: { a: '\udc00' } })).toBe('ILLEGAL_MESSAGE_PROPERTY_KEY');
    for (const ttlMs of [0, 1.5, -1, 1e9, NaN]) expect(await send({ ttlMs })).toBe('BAD_REQUEST');
    expect(await send({ messageGroup: 'g' })).toBe('MESSAGE_PROPERTY_CONFLICT_WITH_TYPE');
    expect(await send({ topic: '' })).toBe('ILLEGAL_TOPIC');
    expect(broker.calls('sendMessage')).toBe(0);
  });

  test('close sends what waits and then refuses', async () => {
    await start({ lingerMs: 20 });
    const sent = producer.send({ topic: 'topic', body: 'last' });
    await producer.close();
    await sent;
    expect(bodies()).toEqual(['last']);
    expect(broker.terminated).toHaveLength(1);
    expect(await codeOf(producer.send({ topic: 'topic', body: 'x' }))).toBe('PRECONDITION_FAILED');
  });

  test('close gives up on what does not get through in time', async () => {
    const { opened, open } = gate();
    broker.onSend = () => opened;
    await start({ inFlightMax: 1, batchMessagesMax: 1 });
    const first = codeOf(producer.send({ topic: 'topic', body: '1' }));
    const second = codeOf(producer.send({ topic: 'topic', body: '2' }));
    await until(() => broker.calls('sendMessage') === 1);
    await producer.close(20);
    expect(await second).toBe('PRECONDITION_FAILED');
    open();
    expect(await first).toBe('OK');
  });
});
