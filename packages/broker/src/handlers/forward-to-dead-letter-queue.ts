import {
  decodeForwardToDeadLetterRequest,
  encodeStatusResponse,
  OK_STATUS,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { groupOfHandle, requireTopic } from './consume-target.js';
import { unaryMethod } from './pipeline.js';
import { groupOf, topicOf, type EdgeServices } from './services.js';

/** ForwardMessageToDeadLetterQueue: the consumer gives the message up. A repeated call has no further effect. */
export function forwardMessageToDeadLetterQueue(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'ForwardMessageToDeadLetterQueue', async (call, bytes) => {
    const request = decodeForwardToDeadLetterRequest(bytes);
    const topic = topicOf(request.topic, call);
    const group = groupOf(request.group, call);
    const brokerGroup = await groupOfHandle(services, request.receiptHandle, topic);
    return services.forwarder.unary(call, bytes, brokerGroup, async () => {
      requireTopic(services, topic);
      await services.messaging.forwardToDeadLetterQueue(group, topic, {
        messageId: request.messageId,
        receiptHandle: request.receiptHandle,
      });
      return encodeStatusResponse(OK_STATUS);
    });
  });
}
