import { MqError } from '@raftmq/base';
import {
  consumeLimits,
  decodeChangeInvisibleDurationRequest,
  encodeChangeInvisibleDurationResponse,
  OK_STATUS,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { groupOfHandle, requireTopic } from './consume-target.js';
import { unaryMethod } from './pipeline.js';
import { groupOf, topicOf, type EdgeServices } from './services.js';

/** ChangeInvisibleDuration: the message comes back after another time than the one it was handed out with; 0 = now. */
export function changeInvisibleDuration(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'ChangeInvisibleDuration', async (call, bytes) => {
    const request = decodeChangeInvisibleDurationRequest(bytes);
    const topic = topicOf(request.topic, call);
    const group = groupOf(request.group, call);
    const { invisibleMs } = request;
    if (!(
      invisibleMs >= consumeLimits.changeInvisibleMsMin &&
      invisibleMs <= consumeLimits.invisibleMsMax
    )) {
      throw new MqError(
        'ILLEGAL_INVISIBLE_TIME',
        `the invisible duration is ${invisibleMs} ms; it must be from ${consumeLimits.changeInvisibleMsMin} to ${consumeLimits.invisibleMsMax} ms`,
      );
    }
    const brokerGroup = await groupOfHandle(services, request.receiptHandle, topic);
    return services.forwarder.unary(call, bytes, brokerGroup, async () => {
      requireTopic(services, topic);
      const receiptHandle = await services.messaging.changeInvisible(
        group,
        topic,
        { messageId: request.messageId, receiptHandle: request.receiptHandle },
        invisibleMs,
        request.suspend,
      );
      return encodeChangeInvisibleDurationResponse({ status: OK_STATUS, receiptHandle });
    });
  });
}
