import { MqError } from '@raftmq/base';
import { topicNotFound } from '@raftmq/protocol';
import { groupOfBrokerName } from './route-entries.js';
import { type EdgeServices } from './services.js';

/**
 * The broker group whose queue is meant: offsets belong to one queue, so unlike a receive nothing falls back to another
 * group. An empty broker name stands for the only group that has the topic.
 * @throws MqError TOPIC_NOT_FOUND, BAD_REQUEST when the name says nothing or names a group without the topic
 */
export async function groupOfQueue(
  services: EdgeServices,
  brokerName: string,
  topic: string,
): Promise<string> {
  const named = groupOfBrokerName(brokerName);
  // This group's own leader knows best, also about a topic that was just created.
  if (named === services.ownGroup) return named;
  const groups = (await services.directory.groupsOf(topic)).map(({ group }) => group);
  if (groups.length === 0) {
    if (brokerName === '') return services.ownGroup;
    throw topicNotFound(topic);
  }
  if (brokerName === '' && groups.length === 1) return groups[0]!;
  if (groups.includes(named)) return named;
  throw new MqError(
    'BAD_REQUEST',
    brokerName === ''
      ? `topic ${topic} has queues on several brokers; name one of ${groups.join(', ')} in message_queue.broker.name`
      : `broker ${brokerName} has no queue of topic ${topic}; known are ${groups.join(', ')}`,
  );
}
