import { MqError } from '@raftmq/base';
import { isGroupTopic, topicNotFound, type TopicType } from '@raftmq/protocol';
import { type TopicGroup } from '../forward/group-directory.js';
import { READABLE, WRITABLE } from './route-entries.js';
import { type EdgeServices } from './services.js';

/**
 * Creates an unknown topic when the settings say so. Only at a writable leader; two calls at once create it once, as the
 * second finds the same settings.
 * @throws MqError TOPIC_NOT_FOUND when topics are not created on demand, or the name is that of a group's own topic
 */
export async function createOnDemand(
  services: EdgeServices,
  name: string,
  type: TopicType,
): Promise<void> {
  if (services.messaging.topic(name) !== null) return;
  if (!services.settings.autoCreateTopic || isGroupTopic(name)) throw topicNotFound(name);
  await services.messaging.putTopic({
    name,
    type,
    queues: services.settings.autoCreateTopicQueues,
    permission: READABLE | WRITABLE,
  });
  services.logger.info({ topic: name, type }, 'topic created on demand');
}

/**
 * The group that has to take a message for, or give one from, a topic that this group does not have: another group, or
 * this one, whose leader may know better or create the topic.
 */
export async function groupWithTopic(
  services: EdgeServices,
  name: string,
  usable: (group: TopicGroup) => boolean,
): Promise<string> {
  if (services.messaging.topic(name) !== null) return services.ownGroup;
  const groups = await services.directory.groupsOf(name);
  return (groups.find(usable) ?? groups[0])?.group ?? services.ownGroup;
}

/** The failure of a topic whose permission does not allow the operation. */
export function notAllowed(name: string, operation: 'readable' | 'writable'): MqError {
  return new MqError(
    'FORBIDDEN',
    `topic ${name} has no ${operation} queue; change its permission to use it`,
  );
}
