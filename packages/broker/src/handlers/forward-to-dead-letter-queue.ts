import {
  DEAD_LETTER_REASON_HEADER,
  deadLetterReason,
  decodeForwardToDeadLetterRequest,
  encodeStatusResponse,
  OK_STATUS,
  type ForwardToDeadLetterRequest,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { groupOfHandle, requireTopic } from './consume-target.js';
import { type EdgeCall } from './edge-call.js';
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
      const { messageId, receiptHandle } = request;
      const target = { messageId, receiptHandle };
      await services.messaging.forwardToDeadLetterQueue(
        group,
        topic,
        target,
        causeOf(call, request),
      );
      return encodeStatusResponse(OK_STATUS);
    });
  });
}

const REASON_LENGTH_MAX = 512;
const ATTEMPTS_MAX = 1_000_000;

/** The consumer's own words, or what its count of attempts says. That count is for people: it decides nothing. */
function causeOf(
  call: EdgeCall,
  request: ForwardToDeadLetterRequest,
): { readonly reason: string; readonly attempts: number } {
  const { deliveryAttempt, maxDeliveryAttempts } = request;
  const usedUp = maxDeliveryAttempts > 0 && deliveryAttempt >= maxDeliveryAttempts;
  const told = reasonOf(call.context.header(DEAD_LETTER_REASON_HEADER) ?? '');
  return {
    reason: told || (usedUp ? deadLetterReason.ATTEMPTS_USED_UP : deadLetterReason.REJECTED),
    attempts: Math.min(Math.max(0, deliveryAttempt), ATTEMPTS_MAX),
  };
}

/** Headers are ASCII: a reason comes percent-encoded. One that cannot be read is none; control characters become blanks. */
function reasonOf(header: string): string {
  try {
    const reason = decodeURIComponent(header)
      .replace(/\p{Cc}+/gu, ' ')
      .trim();
    return reason.slice(0, REASON_LENGTH_MAX);
  } catch {
    return '';
  }
}
