import { errorText, LogGate, type Clock, type Logger, type MqError } from '@raftmq/base';
import { resolveGroup, resolveTopic, type Resource } from '@raftmq/protocol';
import { type BrokerSettings } from '../settings.js';
import { type Forwarder } from '../forward/forwarder.js';
import { type GroupDirectory } from '../forward/group-directory.js';
import { type GroupConfig, type Messaging } from '../messaging.js';
import { newGroup } from '../messaging-service/group-behaviour.js';
import { type ProducerLink } from '../messaging-service/transactions/producers.js';
import { type EdgeProbe } from '../ops/edge-probe.js';
import { type ClientRegistry } from '../telemetry/client-registry.js';
import { type SubscriptionWatch } from '../telemetry/subscription-watch.js';
import { type EdgeCall } from './edge-call.js';

/** Everything that handlers work with. Made once by the wiring. */
export interface EdgeServices {
  readonly ownGroup: string;
  readonly settings: Pick<
    BrokerSettings,
    | 'autoCreateTopic'
    | 'autoCreateTopicQueues'
    | 'groupConsumeFrom'
    | 'groupMaxAttempts'
    | 'liteSubscriptionsMax'
    | 'requestTimeoutMaxMs'
    | 'settingsBytesMax'
    | 'settingsPerMinuteMax'
    | 'timerDelayMaxMs'
  >;
  readonly messaging: Messaging;
  readonly forwarder: Forwarder;
  readonly directory: GroupDirectory;
  readonly registry: ClientRegistry;
  readonly subscriptions: SubscriptionWatch;
  /** The way to producers that are connected to any replica of this group. */
  readonly producers: ProducerLink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly probe: EdgeProbe;
  /** The process stops: polls end early, so that clients go elsewhere. */
  readonly draining: () => boolean;
  /** Why sends are refused now, null when they are not. */
  readonly sendRefusal: () => MqError | null;
}

/** How a group behaves: as stored, else as it will be created at its first receive. */
export function groupBehaviour(services: EdgeServices, group: string): GroupConfig {
  return services.messaging.group(group) ?? newGroup(group, services.settings);
}

/** Full name of the topic a call names, checked. @throws MqError ILLEGAL_TOPIC */
export function topicOf(resource: Resource, call: EdgeCall): string {
  return resolveTopic(resource, call.namespace);
}

/** Full name of the group a call names, checked. @throws MqError ILLEGAL_CONSUMER_GROUP */
export function groupOf(resource: Resource, call: EdgeCall): string {
  return resolveGroup(resource, call.namespace);
}

const gate = new LogGate(1_000);

/** Logs and counts a failure that no rule foresaw, at most one line a second. */
export function reportUnexpected(services: EdgeServices, method: string, error: unknown): void {
  services.probe.unexpectedErrors++;
  const suppressed = gate.pass(services.clock.monotonicMs());
  if (suppressed === null) return;
  const stack = error instanceof Error ? error.stack : undefined;
  services.logger.error(
    { method, error: errorText(error), stack, suppressed },
    'request failed in an unexpected way',
  );
}
