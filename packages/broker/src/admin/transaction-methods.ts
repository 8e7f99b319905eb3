import { MqError } from '@raftmq/base';
import { decodeStoredMessage, isBlank } from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { type TransactionFilter, type TransactionStatus } from '../messaging.js';
import { atLeader, inResult, type AdminContext } from './admin-method.js';

const LIST_DEFAULT = 100;
const LIST_MAX = 10_000;

/** The methods of `raftmq.admin.v1.Admin` about transactions. */
export function transactionMethods(context: AdminContext): readonly RawMethod[] {
  const { transactions } = context.services.messaging;
  return [
    atLeader<{ transactionId: string }>(
      context,
      'GetTransaction',
      inResult,
      async ({ transactionId }) => {
        if (isBlank(transactionId)) throw unknownTransaction(transactionId);
        const statuses = await transactions.find(transactionId);
        if (statuses.length === 0) throw unknownTransaction(transactionId);
        return {
          transactions: await Promise.all(
            statuses.map(async (status) => {
              const record = await transactions.message(status.topic, transactionId);
              return {
                ...wireStatus(status),
                message: record === null ? null : wireMessage(record),
              };
            }),
          ),
        };
      },
    ),
    atLeader<{ topic: string; state: string; countMax: number }>(
      context,
      'ListTransactions',
      inResult,
      async (request) => ({
        transactions: transactions.list(checkFilter(request)).map(wireStatus),
      }),
    ),
    atLeader<{ topic: string; transactionId: string }>(
      context,
      'ResumeTransactions',
      inResult,
      async ({ topic, transactionId }) => ({
        count: await transactions.resume(orNull(topic), orNull(transactionId)),
      }),
    ),
  ];
}

function checkFilter({
  topic,
  state,
  countMax,
}: {
  readonly topic: string;
  readonly state: string;
  readonly countMax: number;
}): TransactionFilter {
  if (state !== '' && state !== 'pending' && state !== 'parked') {
    throw new MqError(
      'BAD_REQUEST',
      `transactions with the state "${state}" cannot be listed; use pending or parked, and get for one that is over`,
    );
  }
  if (countMax < 0 || countMax > LIST_MAX) {
    throw new MqError(
      'BAD_REQUEST',
      `1 to ${LIST_MAX} transactions can be listed, not ${countMax}`,
    );
  }
  return {
    topic: orNull(topic),
    state: state === '' ? null : state,
    countMax: countMax === 0 ? LIST_DEFAULT : countMax,
  };
}

function wireStatus(status: TransactionStatus): object {
  return {
    ...status,
    nextCheckAtMs: status.nextCheckAtMs ?? 0,
    parkedAtMs: status.parkedAtMs ?? 0,
    decidedAtMs: status.decidedAtMs ?? 0,
  };
}

function wireMessage(record: Buffer): object {
  const message = decodeStoredMessage(record);
  const { userProperties, bornHost, body, keys } = message;
  const properties: [string, string][] = [];
  for (let i = 0; i < userProperties.length; i += 2) {
    properties.push([userProperties[i]!, userProperties[i + 1]!]);
  }
  return {
    tag: message.tag ?? '',
    keys,
    userProperties: Object.fromEntries(properties),
    messageGroup: message.messageGroup ?? '',
    bornTimestampMs: message.bornTimestampMs,
    bornHost,
    body,
  };
}

function orNull(text: string): string | null {
  return text === '' ? null : text;
}

function unknownTransaction(id: string): MqError {
  return new MqError(
    'INVALID_TRANSACTION_ID',
    `no transaction ${JSON.stringify(id)} is known; outcomes are kept for a while only (setting transactionOutcomeMs)`,
  );
}
