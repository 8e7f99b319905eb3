import { MqError } from '@raftmq/base';
import {
  checkLiteTopic,
  decodeSyncLiteSubscriptionRequest,
  encodeStatusResponse,
  OK_STATUS,
  statusCode,
  topicNotFound,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { peekStatusCode } from '../forward/status-peek.js';
import { unaryMethod } from './pipeline.js';
import { groupOf, topicOf, type EdgeServices } from './services.js';

/**
 * SyncLiteSubscription: tells which lite topics a client takes messages from. Most SDKs send it to one endpoint only, so
 * it goes to every broker group that has the topic from here; it may be repeated at will.
 */
export function syncLiteSubscription(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'SyncLiteSubscription', async (call, bytes) => {
    const request = decodeSyncLiteSubscriptionRequest(bytes);
    const topic = topicOf(request.topic, call);
    const group = groupOf(request.group, call);
    const limit = services.settings.liteSubscriptionsMax;
    if (request.liteTopics.length > limit) {
      throw new MqError(
        'LITE_SUBSCRIPTION_QUOTA_EXCEEDED',
        `the request names ${request.liteTopics.length} lite topics; the limit of one client is ${limit} (setting liteSubscriptionsMax)`,
      );
    }
    for (const name of request.liteTopics) checkLiteTopic(name);
    const atLeader = async (): Promise<Buffer> => {
      const { action, liteTopics: names, start } = request;
      const { clientId } = call;
      await services.messaging.syncLiteSubscription({
        topic,
        group,
        clientId,
        action,
        names,
        start,
      });
      return encodeStatusResponse(OK_STATUS);
    };
    const groups = await targets(services, topic, call.hops > 0);
    const answers = await Promise.all(
      groups.map((target) => services.forwarder.unary(call, bytes, target, atLeader)),
    );
    return answers.find((answer) => peekStatusCode(answer) !== statusCode.OK) ?? answers[0]!;
  });
}

async function targets(
  services: EdgeServices,
  topic: string,
  passedOn: boolean,
): Promise<readonly string[]> {
  if (passedOn) return [services.ownGroup];
  const groups = await services.directory.groupsOf(topic);
  if (groups.length === 0) throw topicNotFound(topic);
  const lite = groups.filter((group) => group.topic.type === 'LITE');
  if (lite.length > 0) return lite.map(({ group }) => group);
  throw new MqError(
    'BAD_REQUEST',
    `topic ${topic} is not of type LITE: it has no lite topics; create one with raftmq topic create NAME --type LITE`,
  );
}
