import { afterEach, describe, expect, test } from '@jest/globals';
import { MqError } from '@raftmq/base';
import {
  decodeStatusResponse,
  encodeEndTransactionRequest,
  encodeStatusResponse,
  OK_STATUS,
  statusCode,
  transactionResolution,
  transactionSource,
  type EndTransactionRequest,
  type Status,
} from '@raftmq/protocol';
import { RpcError, type RpcChannel } from '@raftmq/rpc';
import { UNKNOWN_TRANSACTION } from '../messaging-service/transactions/decisions.js';
import { FORWARDED_HEADER } from './edge-call.js';
import {
  callContext,
  callUnary,
  EdgeFixture,
  type EdgeFixtureOptions,
} from '../testing/edge-fixture.js';
import { endTransaction } from './end-transaction.js';

const unknown: Status = {
  code: statusCode.INVALID_TRANSACTION_ID,
  message: `${UNKNOWN_TRANSACTION}t is known`,
};

let edge: EdgeFixture;
/** Requests that other groups' leaders got, by address. */
let forwarded: string[];

function open(options: EdgeFixtureOptions = {}): void {
  edge = new EdgeFixture(options);
  edge.addTopic({ name: 'orders', type: 'TRANSACTION' });
}

/** A cluster of three groups with the topic; this one is `broker-a`. */
function openThree(answers: Readonly<Record<string, Status | Error>>): void {
  forwarded = [];
  const group = (name: string, host: string) => ({
    group: name,
    leaderId: 0,
    replicas: [{ nodeId: 0, grpcAddress: `${host}:8081` }],
    topic: { name: 'orders', type: 'TRANSACTION', readQueues: 1, writeQueues: 1, permission: 6 },
  });
  const channel = (address: string): RpcChannel =>
    ({
      unary: (path: string) => {
        forwarded.push(`${address}${path}`);
        const answer = answers[address]!;
        if (answer instanceof Error) return Promise.reject(answer);
        return Promise.resolve(encodeStatusResponse(answer));
      },
    }) as unknown as RpcChannel;
  open({
    lookup: () => Promise.resolve([group('broker-b', '10.0.1.1'), group('broker-c', '10.0.2.1')]),
    channel,
    holdMs: 0,
  });
}

afterEach(() => {
  edge.registry.close();
  edge.forwarder.close();
});

async function end(
  fields: Partial<EndTransactionRequest> = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Status> {
  const method = endTransaction(edge.services);
  const request = encodeEndTransactionRequest({
    topic: { namespace: '', name: 'orders' },
    messageId: 't',
    transactionId: 't',
    resolution: transactionResolution.COMMIT,
    source: transactionSource.CLIENT,
    traceContext: '',
    ...fields,
  });
  const context = callContext(method.path, { 'x-mq-client-id': 'c1', ...headers });
  return decodeStatusResponse(await callUnary(method, request, context));
}

describe('EndTransaction', () => {
  test('decides here, and counts what became visible', async () => {
    open();
    expect(await end()).toEqual(OK_STATUS);
    const namespace = { namespace: 'ns', name: 'orders' };
    edge.addTopic({ name: 'ns%orders', type: 'TRANSACTION' });
    expect(await end({ resolution: 2, source: 2, topic: namespace })).toEqual(OK_STATUS);
    expect(edge.messaging.transactions.ended).toEqual([
      { topic: 'orders', id: 't', commit: true, source: 1 },
      { topic: 'ns%orders', id: 't', commit: false, source: 2 },
    ]);
    expect([...edge.probe.inByTopic]).toEqual([['orders', 1]]);
  });

  test('a blank id is refused; no resolution is no decision; an unknown one is told', async () => {
    open();
    expect((await end({ transactionId: ' ' })).code).toBe(statusCode.INVALID_TRANSACTION_ID);
    expect(await end({ resolution: 0 })).toEqual(OK_STATUS);
    expect((await end({ resolution: 3 })).code).toBe(statusCode.BAD_REQUEST);
    expect((await end({ topic: { namespace: '', name: 'a b' } })).code).toBe(
      statusCode.ILLEGAL_TOPIC,
    );
    expect((await end({ topic: { namespace: '', name: 'nowhere' } })).code).toBe(
      statusCode.TOPIC_NOT_FOUND,
    );
    expect(edge.messaging.transactions.ended).toEqual([]);
  });

  test('the group that knows the transaction decides, whichever it is', async () => {
    openThree({ '10.0.1.1:8081': unknown, '10.0.2.1:8081': OK_STATUS });
    edge.messaging.transactions.refusal = new MqError('INVALID_TRANSACTION_ID', unknown.message);
    expect(await end()).toEqual(OK_STATUS);
    expect(forwarded).toHaveLength(2);
  });

  test('the word of the group that knows comes before a failure elsewhere', async () => {
    const stands: Status = { code: statusCode.INVALID_TRANSACTION_ID, message: 'was rolled back' };
    openThree({ '10.0.1.1:8081': new RpcError('UNAVAILABLE', 'down'), '10.0.2.1:8081': stands });
    edge.messaging.transactions.refusal = new MqError('INVALID_TRANSACTION_ID', unknown.message);
    expect(await end()).toEqual(stands);
  });

  test('nobody knows it: the failure of a group is told, as it may be the one', async () => {
    openThree({ '10.0.1.1:8081': new RpcError('UNAVAILABLE', 'down'), '10.0.2.1:8081': unknown });
    edge.messaging.transactions.refusal = new MqError('INVALID_TRANSACTION_ID', unknown.message);
    expect((await end()).code).toBe(statusCode.HA_NOT_AVAILABLE);
    openThree({ '10.0.1.1:8081': unknown, '10.0.2.1:8081': unknown });
    edge.messaging.transactions.refusal = new MqError('INVALID_TRANSACTION_ID', unknown.message);
    expect(await end()).toEqual(unknown);
  });

  test('a C# client is told OK when it comes too late: an error would end its process', async () => {
    open();
    const late = new MqError(
      'INVALID_TRANSACTION_ID',
      'was rolled back; the first decision stands',
    );
    edge.messaging.transactions.refusal = late;
    const unset = { source: transactionSource.UNSPECIFIED };
    const nowhere = { ...unset, topic: { namespace: '', name: 'nowhere' } };
    const csharp = { 'x-mq-language': 'DOTNET' };
    expect(await end(unset, csharp)).toEqual({ code: statusCode.OK, message: late.message });
    expect((await end(nowhere, csharp)).code).toBe(statusCode.OK);
    expect((await end({ ...unset, transactionId: '' }, csharp)).code).not.toBe(statusCode.OK);
    // One that says who decides, other clients, and other replicas, are told.
    expect((await end({}, csharp)).code).toBe(statusCode.INVALID_TRANSACTION_ID);
    expect((await end(unset, { 'x-mq-language': 'GO' })).code).toBe(
      statusCode.INVALID_TRANSACTION_ID,
    );
    const passedOn = { ...csharp, [FORWARDED_HEADER]: '1' };
    expect((await end(unset, passedOn)).code).toBe(statusCode.INVALID_TRANSACTION_ID);
    openThree({
      '10.0.1.1:8081': { code: 40008, message: 'was committed' },
      '10.0.2.1:8081': unknown,
    });
    edge.messaging.transactions.refusal = new MqError('INVALID_TRANSACTION_ID', unknown.message);
    expect(await end(unset, csharp)).toEqual({ code: statusCode.OK, message: 'was committed' });
    openThree({ '10.0.1.1:8081': unknown, '10.0.2.1:8081': new RpcError('UNAVAILABLE', 'down') });
    edge.messaging.transactions.refusal = new MqError('REQUEST_TIMEOUT', 'not known yet');
    expect((await end(unset, csharp)).code).not.toBe(statusCode.OK);
  });

  test('a request that was passed on is not passed on again', async () => {
    openThree({ '10.0.1.1:8081': OK_STATUS, '10.0.2.1:8081': OK_STATUS });
    edge.messaging.transactions.refusal = new MqError('INVALID_TRANSACTION_ID', unknown.message);
    expect(await end({}, { [FORWARDED_HEADER]: '1' })).toEqual(unknown);
    expect(forwarded).toEqual([]);
  });
});
