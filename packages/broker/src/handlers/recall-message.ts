import { MqError } from '@raftmq/base';
import {
  decodeRecallMessageRequest,
  encodeRecallMessageResponse,
  messageType,
  OK_STATUS,
  peekRecallHandle,
  topicAccepts,
  topicNotFound,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { groupWithTopic } from './find-topic.js';
import { unaryMethod } from './pipeline.js';
import { topicOf, type EdgeServices } from './services.js';

/** RecallMessage: takes back a message that waits for its delivery time. A repeated call has no further effect. */
export function recallMessage(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'RecallMessage', async (call, bytes) => {
    const request = decodeRecallMessageRequest(bytes);
    const topic = topicOf(request.topic, call);
    const brokerGroup = await groupOfHandle(services, request.recallHandle, topic);
    return services.forwarder.unary(call, bytes, brokerGroup, async () => {
      const { messaging } = services;
      const config = messaging.topic(topic);
      if (config === null) throw topicNotFound(topic);
      if (!topicAccepts(config.type, messageType.DELAY)) {
        throw new MqError(
          'MESSAGE_PROPERTY_CONFLICT_WITH_TYPE',
          `topic "${topic}" takes ${config.type} messages, none of which can be recalled; only messages with a delivery time can`,
        );
      }
      const messageId = await messaging.recall(topic, request.recallHandle);
      return encodeRecallMessageResponse({ status: OK_STATUS, messageId });
    });
  });
}

/**
 * The broker group that gave the handle out. One that names no group that is known, or is no handle at all, is left to
 * the group that has the topic: it answers what is wrong with it.
 */
async function groupOfHandle(
  services: EdgeServices,
  handle: string,
  topic: string,
): Promise<string> {
  const named = peekRecallHandle(handle)?.brokerGroup ?? null;
  if (named === services.ownGroup) return named;
  const fallback = await groupWithTopic(services, topic, () => true);
  return named !== null && services.directory.knows(named) ? named : fallback;
}
