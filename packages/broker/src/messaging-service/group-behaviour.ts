import { MqError } from '@raftmq/base';
import { type GroupConfig } from '../messaging.js';
import { type MessagingSettings } from './settings.js';

/** A group as it is created when it is first used. */
export function newGroup(
  name: string,
  settings: Pick<MessagingSettings, 'groupMaxAttempts' | 'groupConsumeFrom'>,
): GroupConfig {
  const { groupMaxAttempts: maxAttempts, groupConsumeFrom: kind } = settings;
  const group = { name, fifo: false, maxAttempts };
  return kind === 'first' ? group : { ...group, consumeFrom: { kind } };
}

/** Whether the group gets nothing for now. */
export function isPaused(group: GroupConfig): boolean {
  return group.consumeEnabled === false;
}

/** What a call is told whose group was deleted under it. */
export function groupGone(group: string): MqError {
  return new MqError('CONSUMER_GROUP_NOT_FOUND', `consumer group ${group} does not exist`);
}
