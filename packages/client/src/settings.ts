import { hostname } from 'node:os';
import {
  durationMessage,
  type DurationMessage,
  durationMs,
  type Endpoints,
  type OrphanedTransaction,
  settingsDefaults,
} from '@raftmq/protocol';
import { CLIENT_VERSION } from './headers.js';
import { type BrokerTarget } from './route-cache.js';

/** The part of the generic Settings message that clients read. */
export interface WireSettings {
  readonly backoffPolicy?: {
    readonly maxAttempts?: number;
    readonly exponentialBackoff?: {
      readonly initial?: DurationMessage | null;
      readonly max?: DurationMessage | null;
      readonly multiplier?: number;
    } | null;
    readonly customizedBackoff?: { readonly next?: readonly DurationMessage[] } | null;
  } | null;
  readonly publishing?: {
    readonly maxBodySize?: number;
    readonly validateMessageType?: boolean;
  } | null;
  readonly subscription?: {
    readonly fifo?: boolean;
    readonly receiveBatchSize?: number;
    readonly longPollingTimeout?: DurationMessage | null;
  } | null;
}

/** What a server decided for this client; RocketMQ's defaults until it has spoken. */
export interface ServerSettings {
  readonly maxAttempts: number;
  /** Pause before attempt n + 2, by n from 0; the last one holds for all later attempts. */
  readonly backoffMs: readonly number[];
  readonly bodySizeBytesMax: number;
  readonly validateMessageType: boolean;
  readonly fifo: boolean;
  readonly receiveBatchSize: number;
  readonly longPollingMs: number;
}

const BODY_SIZE_BYTES_MAX = 4 * 1024 * 1024;
const BACKOFF_STEPS_MAX = 64;

/** What producers assume before the first Settings. */
export const defaultProducerSettings: ServerSettings = {
  maxAttempts: settingsDefaults.producerMaxAttempts,
  backoffMs: exponential(
    settingsDefaults.producerBackoff.initialMs,
    settingsDefaults.producerBackoff.maxMs,
    settingsDefaults.producerBackoff.multiplier,
  ),
  bodySizeBytesMax: BODY_SIZE_BYTES_MAX,
  validateMessageType: false,
  fifo: false,
  receiveBatchSize: settingsDefaults.receiveBatchSize,
  longPollingMs: settingsDefaults.longPollingMs,
};

/** What consumers assume before the first Settings. */
export const defaultConsumerSettings: ServerSettings = {
  ...defaultProducerSettings,
  maxAttempts: settingsDefaults.groupRetriesMax + 1,
  backoffMs: settingsDefaults.consumerBackoffMs,
};

/** Merges what a server sent into what was known; absent and senseless values leave the old ones. */
export function readServerSettings(before: ServerSettings, wire: WireSettings): ServerSettings {
  const { backoffPolicy, publishing, subscription } = wire;
  return {
    maxAttempts: positive(backoffPolicy?.maxAttempts) ?? before.maxAttempts,
    backoffMs: readBackoff(wire) ?? before.backoffMs,
    bodySizeBytesMax: positive(publishing?.maxBodySize) ?? before.bodySizeBytesMax,
    validateMessageType: publishing?.validateMessageType ?? before.validateMessageType,
    fifo: subscription?.fifo ?? before.fifo,
    receiveBatchSize: positive(subscription?.receiveBatchSize) ?? before.receiveBatchSize,
    longPollingMs: positive(millis(subscription?.longPollingTimeout)) ?? before.longPollingMs,
  };
}

function readBackoff(wire: WireSettings): readonly number[] | null {
  const policy = wire.backoffPolicy;
  const next = policy?.customizedBackoff?.next ?? [];
  if (next.length > 0) return next.slice(0, BACKOFF_STEPS_MAX).map(durationMs);
  const growing = policy?.exponentialBackoff;
  const initialMs = millis(growing?.initial);
  if (initialMs <= 0) return null;
  return exponential(
    initialMs,
    Math.max(initialMs, millis(growing?.max)),
    Math.max(1, growing?.multiplier ?? 1),
  );
}

function exponential(initialMs: number, maxMs: number, multiplier: number): readonly number[] {
  const steps: number[] = [];
  let step = initialMs;
  while (steps.length < BACKOFF_STEPS_MAX && (steps.length === 0 || steps.at(-1)! < maxMs)) {
    steps.push(Math.min(step, maxMs));
    if (multiplier <= 1) break;
    step *= multiplier;
  }
  return steps;
}

/** The pause before the next attempt. @param attempt the one that failed, from 1 */
export function backoffMs(settings: ServerSettings, attempt: number): number {
  const steps = settings.backoffMs;
  return steps[Math.min(Math.max(attempt, 1), steps.length) - 1] ?? 0;
}

function positive(value: number | undefined): number | null {
  return value !== undefined && value > 0 ? value : null;
}

function millis(duration: DurationMessage | null | undefined): number {
  return duration === null || duration === undefined ? 0 : durationMs(duration);
}

/** A topic and which of its messages to receive. */
export interface Subscription {
  readonly topic: string;
  /** A {@link filterType} number. */
  readonly filterType: number;
  readonly expression: string;
}

/** What a client says about itself. */
export interface ClientRole {
  /** A number of the wire enum ClientType. */
  readonly clientType: number;
  /** '' for producers. */
  readonly group: string;
  /** Topics that a producer declares. */
  readonly topics: () => readonly string[];
  readonly subscriptions: () => readonly Subscription[];
  /** How long polls wait; for consumers. */
  readonly longPollingMs: number;
  /** A broker asks what became of a transaction; for producers. */
  readonly orphaned?: (orphan: OrphanedTransaction, broker: BrokerTarget) => void;
}

const NODE_JS = 8;

/** The Settings command of a client, as a plain object for the generic codec. */
export function wireSettingsOf(
  role: ClientRole,
  endpoints: Endpoints,
  namespace: string,
  requestTimeoutMs: number,
): object {
  const resource = (name: string): object => ({ resourceNamespace: namespace, name });
  const common = {
    clientType: role.clientType,
    accessPoint: endpoints,
    requestTimeout: durationMessage(requestTimeoutMs),
    userAgent: {
      language: NODE_JS,
      version: CLIENT_VERSION,
      platform: `${process.platform} node ${process.versions.node}`,
      hostname: hostname(),
    },
  };
  if (role.group === '') {
    return {
      ...common,
      publishing: {
        topics: role.topics().map(resource),
        maxBodySize: BODY_SIZE_BYTES_MAX,
        validateMessageType: true,
      },
    };
  }
  return {
    ...common,
    subscription: {
      group: resource(role.group),
      subscriptions: role.subscriptions().map((entry) => ({
        topic: resource(entry.topic),
        expression: { type: entry.filterType, expression: entry.expression },
      })),
      longPollingTimeout: durationMessage(role.longPollingMs),
    },
  };
}
