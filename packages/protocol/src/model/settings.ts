import { MqError } from '@raftmq/base';
import { clientType } from '../codec/client-calls.js';
import { protocolLimits, settingsDefaults } from '../limits.js';
import { type ClientLanguage } from './language.js';
import { defaultRetryPolicy, retryWaitsMs, type RetryPolicy } from './retry-policy.js';

/*
 * The message Settings as the generic codec shows it. Absent messages are null or left out, enums are numbers. Telemetry
 * is rare, so plain objects do.
 */

export interface DurationMessage {
  readonly seconds: number;
  readonly nanos: number;
}

export interface ResourceMessage {
  readonly resourceNamespace: string;
  readonly name: string;
}

export interface SubscriptionEntryMessage {
  readonly topic: ResourceMessage | null;
  readonly expression: { readonly type: number; readonly expression: string } | null;
}

export interface PublishingMessage {
  readonly topics: readonly ResourceMessage[];
  readonly maxBodySize: number;
  readonly validateMessageType: boolean;
}

export interface SubscriptionMessage {
  readonly group?: ResourceMessage | null;
  readonly subscriptions: readonly SubscriptionEntryMessage[];
  readonly fifo?: boolean;
  readonly receiveBatchSize?: number;
  readonly longPollingTimeout?: DurationMessage | null;
  readonly liteSubscriptionQuota?: number;
  readonly maxLiteTopicSize?: number;
}

/** Exactly one of the two strategies. */
export interface RetryPolicyMessage {
  readonly maxAttempts: number;
  readonly exponentialBackoff?: {
    readonly initial: DurationMessage | null;
    readonly max: DurationMessage | null;
    readonly multiplier: number;
  };
  readonly customizedBackoff?: { readonly next: readonly DurationMessage[] };
}

export interface SettingsMessage {
  readonly clientType?: number;
  readonly accessPoint?: object | null;
  readonly backoffPolicy?: RetryPolicyMessage | null;
  readonly requestTimeout?: DurationMessage | null;
  readonly publishing?: PublishingMessage | null;
  readonly subscription?: SubscriptionMessage | null;
  readonly userAgent?: object | null;
  readonly metric?: { readonly on: boolean } | null;
}

/** What the server knows that goes into the reply. */
export interface ServerSettings {
  readonly language: ClientLanguage;
  readonly maxBodySizeBytes?: number;
  /** Of lite consumers; RocketMQ's default when left out. */
  readonly liteSubscriptionsMax?: number;
  /** Of consumers: their group's row; null when the group does not exist yet. */
  readonly group: {
    readonly fifo: boolean;
    readonly maxAttempts: number;
    readonly retryPolicy?: RetryPolicy;
  } | null;
}

/** Writes milliseconds as a google.protobuf.Duration. */
export function durationMessage(timeMs: number): DurationMessage {
  const seconds = Math.floor(timeMs / 1000);
  return { seconds, nanos: Math.round((timeMs - seconds * 1000) * 1e6) };
}

/** Reads a google.protobuf.Duration; parts of a millisecond are cut off. */
export function durationMs(duration: DurationMessage): number {
  return duration.seconds * 1000 + Math.floor(duration.nanos / 1e6);
}

/**
 * The Settings reply: what the client sent, with the server's values put in. Names are echoed exactly as spelled: the
 * C++ client takes over the namespace that it finds in the echo.
 *
 * @throws MqError BAD_REQUEST when the client's settings are neither a producer's nor a consumer's
 */
export function mergeSettings(client: SettingsMessage, server: ServerSettings): SettingsMessage {
  // Copied field by field: the generic codec adds keys of its own, and client_properties are not echoed.
  const echoed = {
    ...(client.clientType === undefined ? {} : { clientType: client.clientType }),
    accessPoint: client.accessPoint ?? null,
    requestTimeout: client.requestTimeout ?? null,
    userAgent: client.userAgent ?? null,
    metric: { on: false },
  };
  if (client.publishing) {
    return {
      ...echoed,
      backoffPolicy: producerRetryPolicy(server.language),
      publishing: {
        topics: client.publishing.topics,
        maxBodySize: server.maxBodySizeBytes ?? protocolLimits.bodySizeBytesMax,
        validateMessageType: true,
      },
    };
  }
  if (!client.subscription) {
    throw new MqError(
      'BAD_REQUEST',
      'the settings hold neither publishing nor subscription; send one of them',
    );
  }
  const lite =
    client.clientType === clientType.LITE_PUSH_CONSUMER ||
    client.clientType === clientType.LITE_SIMPLE_CONSUMER;
  return {
    ...echoed,
    backoffPolicy: consumerRetryPolicy(
      server.language,
      server.group?.maxAttempts ?? settingsDefaults.groupRetriesMax + 1,
      server.group?.retryPolicy,
    ),
    subscription: {
      group: client.subscription.group ?? null,
      subscriptions: client.subscription.subscriptions,
      fifo: server.group?.fifo ?? false,
      receiveBatchSize: settingsDefaults.receiveBatchSize,
      longPollingTimeout: durationMessage(settingsDefaults.longPollingMs),
      ...(lite
        ? {
            liteSubscriptionQuota:
              server.liteSubscriptionsMax ?? settingsDefaults.liteSubscriptionQuota,
            maxLiteTopicSize: protocolLimits.liteTopicSizeBytesMax,
          }
        : {}),
    },
  };
}

/** Producers understand nothing but exponential back-off. */
export function producerRetryPolicy(language: ClientLanguage): RetryPolicyMessage {
  const { initialMs, maxMs, multiplier } = settingsDefaults.producerBackoff;
  return exponential(settingsDefaults.producerMaxAttempts, initialMs, maxMs, multiplier, language);
}

/**
 * Consumers get the waits of their group as a list, also those of an exponential policy: half of the SDKs know nothing
 * else. The Node.js client knows only the exponential form; it gets one that starts and ends like the list.
 */
export function consumerRetryPolicy(
  language: ClientLanguage,
  maxAttempts: number,
  policy: RetryPolicy = defaultRetryPolicy,
): RetryPolicyMessage {
  if (language !== 'NODE_JS') {
    const next = retryWaitsMs(policy, maxAttempts).map(durationMessage);
    return { maxAttempts, customizedBackoff: { next } };
  }
  if (policy.kind === 'exponential')
    return exponential(maxAttempts, policy.initialMs, policy.maxMs, policy.multiplier, language);
  const { waitsMs } = policy;
  return exponential(maxAttempts, waitsMs[0]!, Math.max(...waitsMs), 2, language);
}

function exponential(
  maxAttempts: number,
  initialMs: number,
  maxMs: number,
  multiplier: number,
  language: ClientLanguage,
): RetryPolicyMessage {
  // The Node.js client reads the seconds of both bounds, takes them for milliseconds, and drops the rest.
  const write =
    language === 'NODE_JS' ? (timeMs: number) => ({ seconds: timeMs, nanos: 0 }) : durationMessage;
  return {
    maxAttempts,
    exponentialBackoff: { initial: write(initialMs), max: write(maxMs), multiplier },
  };
}
