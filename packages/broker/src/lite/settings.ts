import { count, ms, type SettingsOf } from '@raftmq/base';
import { settingsDefaults } from '@raftmq/protocol';

const HOUR_MS = 3_600_000;

/** Settings of lite topics. */
export const liteSettings = {
  liteTopicsMax: count({
    default: 1_000_000,
    min: 1,
    max: 0xffff_ffff,
    scope: 'cluster',
    doc: 'Lite topics that one topic of type LITE may have. Beyond, sending to or subscribing to a new one answers LITE_TOPIC_QUOTA_EXCEEDED.',
  }),
  liteSubscriptionsMax: count({
    default: settingsDefaults.liteSubscriptionQuota,
    min: 1,
    max: 1_000_000,
    scope: 'cluster',
    doc: 'Lite topics that one client may subscribe to. Beyond, subscribing answers LITE_SUBSCRIPTION_QUOTA_EXCEEDED. Clients are told of it.',
  }),
  liteTopicIdleMs: ms({
    default: 72 * HOUR_MS,
    min: 60_000,
    max: 8_760 * HOUR_MS,
    scope: 'cluster',
    doc: 'A lite topic without a subscriber that got no message for so long is forgotten, with where groups stand in it.',
  }),
};

export type LiteSettings = SettingsOf<typeof liteSettings>;
