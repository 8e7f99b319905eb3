import { MqError } from '@raftmq/base';
import {
  decodeRecallMessageResponse,
  encodeRecallMessageRequest,
  statusCode,
} from '@raftmq/protocol';
import { type ClientCore } from '../client-core.js';
import { messagingPath } from '../messaging-rpc.js';
import { isOk, statusToError } from '../status-error.js';

/**
 * Takes back a message that waits for its delivery time; any broker of the topic takes the call.
 * @returns the message's id
 * @throws MqError RECALL_FAILED when the handle is none, or the message was delivered; else why the call failed
 */
export async function recallMessage(
  core: ClientCore,
  topic: string,
  recallHandle: string,
): Promise<string> {
  if (recallHandle === '') {
    throw new MqError(
      'RECALL_FAILED',
      'the recall handle is empty: only a message that waits for its delivery time has one',
    );
  }
  const route = await core.routes.get(topic);
  const addresses = [...new Set(route.writable.flatMap((broker) => broker.addresses))];
  const request = encodeRecallMessageRequest({ topic: core.resource(topic), recallHandle });
  const answer = await core.rpc.unary(addresses, messagingPath.recallMessage, request);
  const { status, messageId } = decodeRecallMessageResponse(answer);
  if (isOk(status)) return messageId;
  if (status.code === statusCode.INTERNAL_SERVER_ERROR) {
    throw new MqError('RECALL_FAILED', status.message);
  }
  throw statusToError(status);
}
