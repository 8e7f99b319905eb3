import { peekReceiptHandle, topicNotFound } from '@raftmq/protocol';
import { groupWithTopic } from './find-topic.js';
import { type EdgeServices } from './services.js';

/**
 * The broker group that granted a receipt handle. A handle that names no group that is known, or is no handle at all, is
 * left to the group that has the topic: it answers what is wrong with it.
 */
export async function groupOfHandle(
  services: EdgeServices,
  handle: string,
  topic: string,
): Promise<string> {
  const named = peekReceiptHandle(handle)?.brokerGroup ?? null;
  if (named === services.ownGroup) return named;
  const fallback = await groupWithTopic(services, topic, () => true);
  return named !== null && services.directory.knows(named) ? named : fallback;
}

/** Whether a receipt handle says that this broker group made it; it may still be forged. */
export function namesOwnGroup(services: EdgeServices, handle: string): boolean {
  return peekReceiptHandle(handle)?.brokerGroup === services.ownGroup;
}

/** @throws MqError TOPIC_NOT_FOUND, at the leader */
export function requireTopic(services: EdgeServices, topic: string): void {
  if (services.messaging.topic(topic) === null) throw topicNotFound(topic);
}
