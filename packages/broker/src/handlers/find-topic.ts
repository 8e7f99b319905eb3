import { MqError } from '@raftmq/base';
import { groupOfGroupTopic, topicNotFound, type TopicType } from '@raftmq/protocol';
import { type TopicGroup } from '../forward/group-directory.js';
import { READABLE, WRITABLE } from './route-entries.js';
import { type EdgeServices } from './services.js';

/** Queues of a topic that belongs to a consumer group. */
const GROUP_TOPIC_QUEUES = 1;

/**
 * Creates an unknown topic when the settings say so; the dead-letter and the retry topic of a group that exists always, so
 * that one can subscribe to them before there is anything in them. Only at a writable leader; two calls at once create it once, as the
 * second finds the same settings.
 * @throws MqError TOPIC_NOT_FOUND when topics are not created on demand, or the name is that of a group's own topic
 */
export async function createOnDemand(
  services: EdgeServices,
  name: string,
  type: TopicType,
): Promise<void> {
  if (services.messaging.topic(name) !== null) return;
  const group = groupOfGroupTopic(name);
  const { autoCreateTopic, autoCreateTopicQueues } = services.settings;
  const known = group === null ? autoCreateTopic : services.messaging.group(group) !== null;
  if (!known) throw topicNotFound(name);
  await services.messaging.putTopic({
    name,
    type: group === null ? type : 'NORMAL',
    queues: group === null ? autoCreateTopicQueues : GROUP_TOPIC_QUEUES,
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
