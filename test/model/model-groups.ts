import { type GroupConfig, type TopicConfig } from '@raftmq/broker/internal';
import { type SeenDelivery } from '@raftmq/testkit';

const READ_WRITE = 6;
/** What a model run sends to. */
export const TOPICS: readonly TopicConfig[] = [
  { name: 'normal', type: 'NORMAL', queues: 2, permission: READ_WRITE },
  { name: 'fifo', type: 'FIFO', queues: 2, permission: READ_WRITE },
  { name: 'delay', type: 'DELAY', queues: 1, permission: READ_WRITE },
  { name: 'tx', type: 'TRANSACTION', queues: 1, permission: READ_WRITE },
];

/** A consumer group of a model run, and what it reads. */
export interface ModelGroup {
  readonly config: GroupConfig;
  readonly topic: string;
  readonly tags: readonly string[] | null;
}

export const GROUPS: readonly ModelGroup[] = [
  { config: { name: 'all', fifo: false, maxAttempts: 4 }, topic: 'normal', tags: null },
  { config: { name: 'picky', fifo: false, maxAttempts: 3 }, topic: 'normal', tags: ['a', 'b'] },
  { config: { name: 'ordered', fifo: true, maxAttempts: 3 }, topic: 'fifo', tags: null },
  { config: { name: 'ordered-picky', fifo: true, maxAttempts: 4 }, topic: 'fifo', tags: ['a'] },
  { config: { name: 'late', fifo: false, maxAttempts: 17 }, topic: 'delay', tags: null },
  { config: { name: 'settled', fifo: false, maxAttempts: 17 }, topic: 'tx', tags: null },
];

/** A delivery that its consumer remembers, valid or not. */
export interface Handle extends SeenDelivery {
  readonly group: ModelGroup;
}

/** Names the message of a delivery, for its group. */
export function placeOf({ group, topic, queueId, queueOffset, epoch }: Handle): string {
  return `${group.config.name}/${topic}/${queueId}/${queueOffset}/${epoch}`;
}
