import { MqError } from '@raftmq/base';
import {
  decodeGroupOffsetRequest,
  decodeQueryOffsetRequest,
  encodeOffsetResponse,
  encodeStatusResponse,
  OK_STATUS,
  queryOffsetPolicy,
  statusCode,
  type QueryOffsetRequest,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { type OffsetQuery } from '../messaging.js';
import { requireTopic } from './consume-target.js';
import { groupOfQueue } from './offset-target.js';
import { unaryMethod } from './pipeline.js';
import { groupOf, topicOf, type EdgeServices } from './services.js';

/**
 * UpdateOffset: the group has consumed everything of the queue below the offset. Repeated or late calls with a lower one
 * are answered with OK and change nothing: only a reset moves a group back.
 */
export function updateOffset(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'UpdateOffset', async (call, bytes) => {
    const request = decodeGroupOffsetRequest(bytes);
    const topic = topicOf(request.topic, call);
    const group = groupOf(request.group, call);
    const { queueId, offset } = request;
    const brokerGroup = await groupOfQueue(services, request.brokerName, topic);
    return services.forwarder.unary(call, bytes, brokerGroup, async () => {
      requireTopic(services, topic);
      const committed = await services.messaging.updateOffset({ group, topic, queueId }, offset);
      if (committed === offset) return encodeStatusResponse(OK_STATUS);
      const message = `the group is at ${committed}; an update never moves it back, see "raftmq consumer reset"`;
      return encodeStatusResponse({ code: statusCode.OK, message });
    });
  });
}

/** GetOffset: where the group stands in the queue. */
export function getOffset(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'GetOffset', async (call, bytes) => {
    const request = decodeGroupOffsetRequest(bytes);
    const topic = topicOf(request.topic, call);
    const group = groupOf(request.group, call);
    const { queueId } = request;
    const brokerGroup = await groupOfQueue(services, request.brokerName, topic);
    return services.forwarder.unary(call, bytes, brokerGroup, async () => {
      requireTopic(services, topic);
      const offset = await services.messaging.committedOffset({ group, topic, queueId });
      if (offset !== null) return encodeOffsetResponse({ status: OK_STATUS, offset });
      throw new MqError(
        'OFFSET_NOT_FOUND',
        `group ${group} has no offset in queue ${queueId} of topic ${topic} yet; begin at one that QueryOffset gives`,
      );
    });
  });
}

/** QueryOffset: the first offset of a queue, its end, or that of the first message stored at or after a time. */
export function queryOffset(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'QueryOffset', async (call, bytes) => {
    const request = decodeQueryOffsetRequest(bytes);
    const topic = topicOf(request.topic, call);
    const query = offsetQueryOf(request);
    const brokerGroup = await groupOfQueue(services, request.brokerName, topic);
    return services.forwarder.unary(call, bytes, brokerGroup, async () => {
      requireTopic(services, topic);
      const offset = await services.messaging.queryOffset(topic, request.queueId, query);
      return encodeOffsetResponse({ status: OK_STATUS, offset });
    });
  });
}

function offsetQueryOf({ policy, timestampMs }: QueryOffsetRequest): OffsetQuery {
  if (policy === queryOffsetPolicy.BEGINNING) return { kind: 'beginning' };
  if (policy === queryOffsetPolicy.END) return { kind: 'end' };
  if (policy !== queryOffsetPolicy.TIMESTAMP) {
    throw new MqError(
      'BAD_REQUEST',
      `the policy ${policy} is not known; use 0 (BEGINNING), 1 (END) or 2 (TIMESTAMP)`,
    );
  }
  if (timestampMs !== null) return { kind: 'timestamp', timestampMs };
  throw new MqError('BAD_REQUEST', 'the policy TIMESTAMP needs a timestamp');
}
