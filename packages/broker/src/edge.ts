import { type Clock, type Lifecycle, type Logger } from '@raftmq/base';
import { NameserverClient } from '@raftmq/protocol';
import { type RoleStatus } from '@raftmq/raft';
import { type GroupAddresses } from './addresses.js';
import { Forwarder } from './forward/forwarder.js';
import { GroupDirectory, type RouteLookup } from './forward/group-directory.js';
import { LeaderWatch } from './forward/leader-watch.js';
import { PeerChannels } from './forward/peer-channels.js';
import { ProducerFinder } from './forward/producer-finder.js';
import { type EdgeServices } from './handlers/services.js';
import { type Messaging } from './messaging.js';
import { type DiskWatermark } from './ops/disk-watermark.js';
import { EdgeProbe } from './ops/edge-probe.js';
import { type BrokerSettings } from './settings.js';
import { ClientRegistry } from './telemetry/client-registry.js';
import { SubscriptionWatch } from './telemetry/subscription-watch.js';

export interface EdgeOptions {
  readonly settings: BrokerSettings;
  readonly addresses: GroupAddresses;
  readonly messaging: Messaging;
  readonly disk: DiskWatermark;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lifecycle: Lifecycle;
  readonly draining: () => boolean;
}

const ROUTE_QUERY_TIMEOUT_MS = 1_000;

/** Puts together what the handlers work with: routes, forwarding, the clients that are known. */
export function openEdge(options: EdgeOptions): EdgeServices {
  const { settings, addresses, messaging, disk, clock, logger, lifecycle, draining } = options;
  const probe = new EdgeProbe();
  const role = (): RoleStatus => messaging.role;
  const channels = new PeerChannels();
  lifecycle.opened('connections to peers', () => channels.close());
  const directory = new GroupDirectory({
    ownGroup: settings.group,
    role,
    ownReplicas: () => addresses.replicas(),
    ownTopic: (topic) => messaging.topic(topic),
    lookup: openLookup(settings.namesrvAddr, lifecycle),
    clock,
    logger,
    cacheMs: settings.routeCacheMs,
  });
  const watch = new LeaderWatch({ clock, role });
  const forwarder = new Forwarder({
    ownGroup: settings.group,
    role,
    watch,
    leaderAddress: (group) => directory.leaderAddress(group),
    suspect: (group) => directory.suspect(group),
    channel: (address) => channels.to(address),
    clock,
    probe,
    holdMs: settings.forwardHoldMs,
    inFlightMax: settings.forwardInFlightMax,
  });
  lifecycle.opened('forwarding', () => {
    forwarder.close();
    watch.close();
  });
  const subscriptions = new SubscriptionWatch({
    clock,
    logger,
    clientsMax: settings.clientsMax,
    expiryMs: settings.clientExpiryMs,
  });
  const registry = new ClientRegistry({
    clock,
    clientsMax: settings.clientsMax,
    streamsMax: settings.clientStreamsMax,
    expiryMs: settings.clientExpiryMs,
    scanIntervalMs: settings.clientScanIntervalMs,
    expired: (clientId, group) => {
      if (group !== null) subscriptions.gone(clientId, group);
      messaging.clientGone(clientId, group);
    },
  });
  lifecycle.opened('client registry', () => registry.close());
  const producers = new ProducerFinder({
    nodeId: settings.nodeId,
    registry,
    replicas: () => addresses.replicas(),
    channel: (address) => channels.to(address),
    logger,
  });
  return {
    ownGroup: settings.group,
    settings,
    messaging,
    forwarder,
    directory,
    producers,
    registry,
    subscriptions,
    clock,
    logger,
    probe,
    draining,
    sendRefusal: () => disk.refusal(),
  };
}

/** null without NameServers. */
function openLookup(namesrvAddr: readonly string[], lifecycle: Lifecycle): RouteLookup | null {
  if (namesrvAddr.length === 0) return null;
  const client = new NameserverClient({
    addresses: namesrvAddr,
    timeoutMs: ROUTE_QUERY_TIMEOUT_MS,
  });
  lifecycle.opened('route queries', () => client.close());
  return (topic) => client.topicRoute(topic);
}
