import {
  decodeQueryRouteRequest,
  encodeQueryRouteResponse,
  OK_STATUS,
  topicNotFound,
  type Resource,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { type TopicGroup } from '../forward/group-directory.js';
import { isNodeSdk, type EdgeCall } from './edge-call.js';
import { createOnDemand } from './find-topic.js';
import { unaryMethod } from './pipeline.js';
import { routeQueues } from './route-entries.js';
import { topicOf, type EdgeServices } from './services.js';

/**
 * QueryRoute: where a topic's queues are. Any replica answers for the topics it knows; about one it has never heard of
 * the leader decides, which may just have created it, or does so now.
 */
export function queryRoute(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'QueryRoute', async (call, request) => {
    const { topic } = decodeQueryRouteRequest(request);
    const name = topicOf(topic, call);
    const groups = await services.directory.groupsOf(name);
    if (groups.length > 0) return answer(call, topic, groups);
    return services.forwarder.unary(call, request, services.ownGroup, async () => {
      await createOnDemand(services, name, 'NORMAL');
      const created = services.directory.own(name);
      if (created === null) throw topicNotFound(name);
      return answer(call, topic, [created]);
    });
  });
}

function answer(call: EdgeCall, topic: Resource, groups: readonly TopicGroup[]): Buffer {
  return encodeQueryRouteResponse({
    status: OK_STATUS,
    queues: routeQueues(topic, groups, isNodeSdk(call)),
  });
}
