import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { isMqError } from '@raftmq/base';
import {
  encodeRecoverOrphanedTransaction,
  encodeSendMessageResponse,
  encodeStatusResponse,
  encodeStoredMessage,
  messageType,
  prepareStoredMessage,
  statusCode,
  statusWithName,
  sysFlag,
} from '@raftmq/protocol';
import { FakeBroker, until } from '../testing/fake-broker.js';
import { Producer, type ProducerOptions } from './producer.js';
import { type TransactionChecker, type TransactionResolution } from './transaction.js';

let broker: FakeBroker;
let producer: Producer;
let asked: string[];
let answer: TransactionResolution | Error;
let checker: TransactionChecker;

beforeEach(async () => {
  broker = new FakeBroker();
  await broker.start();
  asked = [];
  answer = 'commit';
  checker = {
    check: (message) => {
      asked.push(`${message.messageId} ${message.body.toString()}`);
      if (typeof answer !== 'string') throw answer;
      return answer;
    },
  };
});

afterEach(async () => {
  await producer.close(0);
  await broker.stop();
});

async function start(options: Partial<ProducerOptions> = {}): Promise<void> {
  producer = new Producer({ endpoints: broker.endpoints, topics: ['topic'], checker, ...options });
  await producer.start();
}

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    return isMqError(error) ? error.code : String(error);
  }
  return 'OK';
}

function orphan(id: string): Buffer {
  const message = {
    messageId: id,
    body: Buffer.from('body'),
    tag: null,
    keys: [],
    userProperties: [],
    messageGroup: null,
    traceContext: null,
    bornTimestampMs: 1,
    bornHost: '',
    gzip: false,
  };
  const options = { sysFlag: sysFlag.TRANSACTION_PREPARED };
  const record = encodeStoredMessage(prepareStoredMessage(message, 'ns%topic', options));
  return encodeRecoverOrphanedTransaction(record, id, null);
}

describe('transactions', () => {
  test('a message, then its decision', async () => {
    await start();
    const transaction = producer.beginTransaction({ recoveryMs: 60_000 });
    const receipt = await producer.send({ topic: 'topic', body: 'hello' }, transaction);
    expect(receipt.transactionId).toBe(receipt.messageId);
    expect(broker.stored).toMatchObject([
      { messageType: messageType.TRANSACTION, transactionRecoveryMs: 60_000 },
    ]);
    expect(broker.ended).toEqual([]);
    await transaction.commit();
    const other = producer.beginTransaction();
    await producer.send({ topic: 'topic', body: 'hello' }, other);
    expect(broker.stored[1]!.transactionRecoveryMs).toBeNull();
    await other.rollback();
    expect(broker.ended).toMatchObject([
      { transactionId: receipt.transactionId, resolution: 1, source: 1, topic: { name: 'topic' } },
      { resolution: 2, source: 1 },
    ]);
  });

  test('transactional messages share no request', async () => {
    await start();
    const sends = [1, 2, 3].map((n) =>
      producer.send({ topic: 'topic', body: `t${n}` }, producer.beginTransaction()),
    );
    await Promise.all([...sends, producer.send({ topic: 'topic', body: 'plain' })]);
    expect(broker.batches).toEqual([1, 1, 1, 1]);
  });

  test('is used in the one right way', async () => {
    await start();
    const transaction = producer.beginTransaction();
    expect(await codeOf(() => transaction.commit())).toBe('PRECONDITION_FAILED');
    await producer.send({ topic: 'topic', body: 'x' }, transaction);
    expect(await codeOf(() => producer.send({ topic: 'topic', body: 'y' }, transaction))).toBe(
      'PRECONDITION_FAILED',
    );
    broker.onSend = () =>
      encodeSendMessageResponse({ status: statusWithName(statusCode.FORBIDDEN), entries: [] });
    const refused = producer.beginTransaction();
    expect(await codeOf(() => producer.send({ topic: 'topic', body: 'x' }, refused))).toBe(
      'FORBIDDEN',
    );
    expect(await codeOf(() => refused.rollback())).toBe('PRECONDITION_FAILED');
    await producer.close(0);
    producer = new Producer({ endpoints: broker.endpoints, topics: ['topic'] });
    await producer.start();
    expect(await codeOf(() => producer.beginTransaction())).toBe('PRECONDITION_FAILED');
  });

  test('a decision is repeated until it is answered; a refusal is not', async () => {
    await start();
    const transaction = producer.beginTransaction();
    await producer.send({ topic: 'topic', body: 'x' }, transaction);
    broker.onEnd = (_, call) =>
      call < 3 ? encodeStatusResponse(statusWithName(statusCode.HA_NOT_AVAILABLE)) : null;
    await transaction.commit();
    expect(broker.calls('endTransaction')).toBe(3);
    broker.onEnd = () => encodeStatusResponse({ code: 40008, message: 'was rolled back' });
    await expect(transaction.commit()).rejects.toThrow('was rolled back');
    expect(broker.calls('endTransaction')).toBe(4);
    broker.onEnd = () => encodeStatusResponse(statusWithName(statusCode.TOO_MANY_REQUESTS));
    expect(await codeOf(() => transaction.commit())).toBe('TOO_MANY_REQUESTS');
    expect(broker.calls('endTransaction')).toBe(9);
  });
});

describe('questions of brokers', () => {
  test('are answered by the checker', async () => {
    await start();
    broker.push(orphan('a'));
    await until(() => broker.ended.length === 1);
    answer = 'rollback';
    broker.push(orphan('b'));
    await until(() => broker.ended.length === 2);
    expect(asked).toEqual(['a body', 'b body']);
    expect(broker.ended).toMatchObject([
      { transactionId: 'a', resolution: 1, source: 2, topic: { namespace: 'ns', name: 'topic' } },
      { transactionId: 'b', resolution: 2, source: 2 },
    ]);
  });

  test('stay open when the checker does not know, or fails', async () => {
    await start();
    answer = 'unknown';
    broker.push(orphan('a'));
    await until(() => asked.length === 1);
    answer = new Error('the database is away');
    broker.push(orphan('b'));
    await until(() => asked.length === 2);
    answer = 'commit';
    broker.push(orphan('c'));
    await until(() => broker.ended.length === 1);
    expect(broker.ended).toMatchObject([{ transactionId: 'c' }]);
  });

  test('beyond the limit are left for later', async () => {
    const open: (() => void)[] = [];
    checker = {
      check: async ({ messageId }) => {
        asked.push(messageId);
        await new Promise<void>((resolve) => open.push(resolve));
        return 'commit' as const;
      },
    };
    await start({ checksMax: 2 });
    for (const id of ['a', 'b', 'c']) broker.push(orphan(id));
    // Settings answered behind the questions: all of them have arrived then.
    const seen = broker.settingsSeen.length;
    await producer.send({ topic: 'topic', body: 'x' });
    broker.topics.add('other');
    await producer.send({ topic: 'other', body: 'x' });
    await until(() => broker.settingsSeen.length > seen && asked.length === 2);
    for (const done of open) done();
    await until(() => broker.ended.length === 2);
    expect(asked).toEqual(['a', 'b']);
    // Answered behind the decisions: these are over for the producer, too.
    await producer.send({ topic: 'topic', body: 'x' });
    broker.push(orphan('c'));
    await until(() => asked.length === 3);
    open.at(-1)!();
    await until(() => broker.ended.length === 3);
  });
});
