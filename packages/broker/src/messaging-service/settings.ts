import { choice, count, flag, ms, type SettingsOf } from '@raftmq/base';
import { liteSettings } from '../lite/settings.js';
import { transactionSettings } from './transactions/settings.js';
import { consumeLimits, settingsDefaults } from '@raftmq/protocol';

/** Settings of the service that answers clients on the leader. */
export const messagingSettings = {
  autoCreateGroup: flag({
    default: true,
    scope: 'cluster',
    doc: 'A consumer group that nobody configured is created at its first receive.',
  }),
  groupMaxAttempts: count({
    default: settingsDefaults.groupRetriesMax + 1,
    min: 1,
    max: 10_000,
    scope: 'cluster',
    doc: 'Deliveries of a message before it moves to the dead-letter queue, in groups created on first use.',
  }),
  groupConsumeFrom: choice({
    of: ['first', 'last'],
    default: 'first',
    scope: 'cluster',
    doc:
      'Where groups created on first use begin in a topic: at its first message, or behind its last one. ' +
      'RocketMQ’s gRPC clients expect the first.',
  }),
  openMessagesMax: count({
    default: 20_000,
    min: 32,
    max: 1_000_000,
    doc:
      'Messages of one queue that one group may hold without an ack. At the limit new ones wait, ' +
      'and receiving answers TOO_MANY_REQUESTS until some are acknowledged or become due.',
  }),
  pollersPerQueueMax: count({
    default: consumeLimits.pollersPerQueueMax,
    min: 1,
    max: 100_000,
    doc: 'Long polls that may wait per topic, group and queue. Beyond, receiving answers TOO_MANY_REQUESTS.',
  }),
  pollersMax: count({
    default: consumeLimits.pollersMax,
    min: 1,
    max: 1_000_000,
    doc: 'Long polls that may wait on this broker. Beyond, receiving answers TOO_MANY_REQUESTS.',
  }),
  turnWaitMs: ms({
    default: 1_000,
    min: 0,
    max: 10_000,
    doc: 'How long a receive without polling time waits for another delivery of the same queue to finish.',
  }),
  renewUnseenMs: ms({
    default: 300_000,
    min: 60_000,
    max: 10_800_000,
    doc:
      'How long a new leader prolongs an auto-renewed lease of which nobody knows whether its messages reached the client, ' +
      'counted from the delivery. A client that works on them for longer gets them twice; one that never got them waits so long at most.',
  }),
  renewClientsMax: count({
    default: 100_000,
    min: 1,
    max: 10_000_000,
    doc: 'Clients whose last sign of life is remembered for auto-renew; the oldest are forgotten first.',
  }),
};

export type MessagingSettings = SettingsOf<typeof messagingSettings>;

/** Settings of everything that the service puts together. */
export const messagingServiceSettings = {
  ...messagingSettings,
  ...liteSettings,
  ...transactionSettings,
};

export type MessagingServiceSettings = SettingsOf<typeof messagingServiceSettings>;
