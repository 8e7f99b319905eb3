import { MqError } from '@raftmq/base';
import {
  encodeSendMessageResponse,
  messageType,
  OK_STATUS,
  type DecodedMessage,
} from '@raftmq/protocol';
import { type TopicConfig } from '../messaging.js';
import { type EdgeCall } from './edge-call.js';
import { type EdgeServices } from './services.js';

/**
 * Whether the messages of a call are transactional.
 * @throws MqError MESSAGE_PROPERTY_CONFLICT_WITH_TYPE when only some are
 */
export function areHalves(messages: readonly DecodedMessage[]): boolean {
  const first = messages[0]!.messageType === messageType.TRANSACTION;
  for (let i = 1; i < messages.length; i++) {
    if ((messages[i]!.messageType === messageType.TRANSACTION) === first) continue;
    throw new MqError(
      'MESSAGE_PROPERTY_CONFLICT_WITH_TYPE',
      'some messages of the call are transactional and some are not; send them in calls of their own',
    );
  }
  return first;
}

/** Stores transactional messages: nobody sees them before they are committed. Their offsets count half messages. */
export async function storeHalves(
  services: EdgeServices,
  call: EdgeCall,
  topic: TopicConfig,
  messages: readonly DecodedMessage[],
): Promise<Buffer> {
  const numbers = await services.messaging.transactions.send(topic, messages, call.clientId);
  const entries = messages.map(({ messageId }, i) => ({
    status: OK_STATUS,
    messageId,
    transactionId: messageId,
    offset: numbers[i]!,
    recallHandle: '',
  }));
  return encodeSendMessageResponse({ status: OK_STATUS, entries });
}
