import { MqError } from '@raftmq/base';
import {
  decodeQueryAssignmentRequest,
  encodeQueryAssignmentResponse,
  OK_STATUS,
  topicNotFound,
} from '@raftmq/protocol';
import { type RawMethod } from '@raftmq/rpc';
import { type TopicGroup } from '../forward/group-directory.js';
import { isNodeSdk } from './edge-call.js';
import { unaryMethod } from './pipeline.js';
import { assignedQueues } from './route-entries.js';
import { groupBehaviour, groupOf, topicOf, type EdgeServices } from './services.js';

/**
 * QueryAssignment: which queues a consumer polls. Never an empty list, which would make most SDKs drop everything they
 * have: a failure instead.
 */
export function queryAssignment(services: EdgeServices): RawMethod {
  return unaryMethod(services, 'QueryAssignment', async (call, request) => {
    const { topic, group } = decodeQueryAssignmentRequest(request);
    const name = topicOf(topic, call);
    const groupName = groupOf(group, call);
    const answer = (groups: readonly TopicGroup[]): Buffer => {
      const { fifo } = groupBehaviour(services, groupName);
      const queues = assignedQueues(topic, groups, fifo, isNodeSdk(call));
      if (queues.length === 0) throw new MqError('FORBIDDEN', 'no readable queue');
      return encodeQueryAssignmentResponse({ status: OK_STATUS, queues });
    };
    const groups = await services.directory.groupsOf(name);
    if (groups.length > 0) return answer(groups);
    return services.forwarder.unary(call, request, services.ownGroup, async () => {
      const own = services.directory.own(name);
      if (own === null) throw topicNotFound(name);
      return answer([own]);
    });
  });
}
