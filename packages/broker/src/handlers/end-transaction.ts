import { assert, isMqError, MqError } from '@raftmq/base';
import {
  decodeEndTransactionRequest,
  decodeStatusResponse,
  encodeStatusResponse,
  isBlank,
  OK_STATUS,
  statusCode,
  statusOf,
  topicNotFound,
  transactionResolution,
  transactionSource,
  type ClientLanguage,
  type EndTransactionRequest,
  type Status,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { UNKNOWN_TRANSACTION } from '../messaging-service/transactions/decisions.js';
import { peekStatusCode } from '../forward/status-peek.js';
import { type EdgeCall } from './edge-call.js';
import { unaryMethod } from './pipeline.js';
import { topicOf, type EdgeServices } from './services.js';

/**
 * EndTransaction, at any replica of any group: nothing in the request says which group took the message, so all groups
 * that have the topic are asked at once, and the one that knows the transaction decides.
 */
export function endTransaction(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'EndTransaction', async (call, bytes) => {
    const request = decodeEndTransactionRequest(bytes);
    checkRequest(request);
    const topic = topicOf(request.topic, call);
    if (request.resolution === transactionResolution.UNSPECIFIED) {
      return encodeStatusResponse(OK_STATUS);
    }
    const answer = decide(services, call, bytes, request, topic);
    return isFragile(call, request) ? withoutLateness(answer) : answer;
  });
}

async function decide(
  services: EdgeServices,
  call: EdgeCall,
  bytes: Buffer,
  request: EndTransactionRequest,
  topic: string,
): Promise<Buffer> {
  const groups = await groupsToAsk(services, call, topic);
  const [only] = groups;
  if (groups.length === 1) return askGroup(services, call, bytes, request, topic, only!);
  const asked = groups.map((group) => askGroup(services, call, bytes, request, topic, group));
  return firstToKnow(asked, call.language);
}

/**
 * Whether an error may end the client's process: the official C# producer answers checks in an `async void` method that
 * lets exceptions through. It never says that a decision is the answer to a check.
 */
function isFragile({ language, hops }: EdgeCall, { source }: EndTransactionRequest): boolean {
  return language === 'DOTNET' && hops === 0 && source === transactionSource.UNSPECIFIED;
}

/** A decision that comes too late, or to a transaction that is gone, is answered with OK, and the text says what is true. */
async function withoutLateness(pending: Promise<Buffer>): Promise<Buffer> {
  let status: Status;
  try {
    const answer = await pending;
    if (peekStatusCode(answer) !== statusCode.INVALID_TRANSACTION_ID) return answer;
    status = decodeStatusResponse(answer);
  } catch (error) {
    const isLate =
      isMqError(error) &&
      (error.code === 'INVALID_TRANSACTION_ID' || error.code === 'TOPIC_NOT_FOUND');
    if (!isLate) throw error;
    status = statusOf(error, 'DOTNET');
  }
  return encodeStatusResponse({ code: statusCode.OK, message: status.message });
}

function checkRequest(request: EndTransactionRequest): void {
  if (isBlank(request.transactionId)) {
    throw new MqError(
      'INVALID_TRANSACTION_ID',
      'the transaction id is blank; it is in the answer to the send',
    );
  }
  const { resolution } = request;
  if (
    resolution < transactionResolution.UNSPECIFIED ||
    resolution > transactionResolution.ROLLBACK
  ) {
    throw new MqError('BAD_REQUEST', `the resolution ${resolution} is not known`);
  }
}

/** Groups that have the topic. A request that was passed on is meant for this one. */
async function groupsToAsk(
  services: EdgeServices,
  call: EdgeCall,
  topic: string,
): Promise<readonly string[]> {
  if (call.hops > 0) return [services.ownGroup];
  const groups = (await services.directory.groupsOf(topic)).map(({ group }) => group);
  if (groups.length > 0) return groups;
  // This replica may be behind its leader, but a cluster without the topic has no transactions in it either.
  if (services.messaging.role.writable) throw topicNotFound(topic);
  return [services.ownGroup];
}

function askGroup(
  services: EdgeServices,
  call: EdgeCall,
  bytes: Buffer,
  request: EndTransactionRequest,
  topic: string,
  group: string,
): Promise<Buffer> {
  return services.forwarder.unary(call, bytes, group, async () => {
    const { transactionId, resolution, source } = request;
    const commit = resolution === transactionResolution.COMMIT;
    const bodySizeBytes = await services.messaging.transactions.end(
      topic,
      transactionId,
      commit,
      source,
    );
    if (bodySizeBytes > 0) services.probe.sent(topic, 1, bodySizeBytes);
    return encodeStatusResponse(OK_STATUS);
  });
}

/**
 * The answer of the group that knows the transaction. Without one, a group that failed may be the one that knows, so its
 * failure comes before the word of those that do not.
 */
async function firstToKnow(
  asked: readonly Promise<Buffer>[],
  language: ClientLanguage,
): Promise<Buffer> {
  assert(asked.length > 0, 'there is a group to ask');
  let stranger: Buffer | null = null;
  let failure: unknown = null;
  const knowing = asked.map(async (pending) => {
    let answer: Buffer;
    try {
      answer = await pending.catch((error: unknown) => {
        if (isMqError(error) && error.code === 'INVALID_TRANSACTION_ID')
          return encodeStatusResponse(statusOf(error, language));
        throw error;
      });
    } catch (error) {
      failure = error;
      throw error;
    }
    if (!isUnknown(answer)) return answer;
    stranger = answer;
    throw new MqError('INVALID_TRANSACTION_ID', 'not known there');
  });
  try {
    return await Promise.any(knowing);
  } catch {
    if (failure !== null) throw failure as Error;
    return stranger!;
  }
}

function isUnknown(answer: Buffer): boolean {
  if (peekStatusCode(answer) !== statusCode.INVALID_TRANSACTION_ID) return false;
  return decodeStatusResponse(answer).message.startsWith(UNKNOWN_TRANSACTION);
}
