import { hostname, networkInterfaces } from 'node:os';
import { isIP } from 'node:net';
import { choice, count, flag, list, MqError, ms, text, bytes, type SettingsOf } from '@raftmq/base';

/** Settings that only this package knows; `brokerSettings` in `settings.ts` adds those of the parts it opens. */
export const nodeSettings = {
  cluster: text({
    default: 'DefaultCluster',
    pattern: /^[A-Za-z0-9_-]{1,127}$/,
    scope: 'cluster',
    doc: 'Name of the cluster. A data directory and all peers must carry the same one.',
  }),
  group: text({
    default: 'broker-a',
    pattern: /^[A-Za-z0-9_-]{1,127}$/,
    scope: 'cluster',
    doc: 'Name of the broker group: what clients see as the broker name. Its replicas share one log.',
  }),
  nodeId: count({
    default: 0,
    min: 0,
    max: 31,
    doc: 'Number of this replica in its group, as listed in peers.',
  }),
  peers: list({
    default: [],
    scope: 'cluster',
    doc:
      'All replicas of the group, this one included: id@raftHost:raftPort@grpcHost:grpcPort. ' +
      '1, 3 or 5 of them, equal on every replica. Empty = a group of this one replica.',
  }),
  dataDir: text({
    default: 'raftmq-data',
    doc: 'Directory of everything this replica keeps. One process at a time.',
  }),
  bootIdFile: text({
    default: '/proc/sys/kernel/random/boot_id',
    doc:
      'Where the machine says which start of it this is. With ASYNC_FLUSH, a replica that was not stopped cleanly and ' +
      'finds another id than before may have lost what it acknowledged, and is brought up to date before it takes part.',
  }),
  trustLogAfterPowerCut: flag({
    default: false,
    doc:
      'For a group with ASYNC_FLUSH that lost power and misses a replica for ever: start the others once with this, and ' +
      'a majority of them elects a leader. What only the missing one had on its disk is lost then.',
  }),
  host: text({ default: '0.0.0.0', doc: 'Address to listen on, for all ports.' }),
  advertisedHost: text({
    default: '',
    doc:
      'Host that clients reach this replica at. Empty = the gRPC host of its own line in peers, ' +
      'else the listening address, else the first IPv4 address of this machine.',
  }),
  grpcPort: count({
    default: 8081,
    min: 0,
    max: 65_535,
    doc: 'Port for v5 clients, administration and forwarding. 0 = any.',
  }),
  remotingPort: count({
    default: 10_911,
    min: 0,
    max: 65_535,
    doc: 'Port that the classic protocol will use. Announced to NameServers, not listened on yet.',
  }),
  raftPort: count({
    default: 10_912,
    min: 0,
    max: 65_535,
    doc: 'Port for the other replicas of the group. Not opened in a group of one. 0 = any.',
  }),
  metricsPort: count({
    default: 5557,
    min: 0,
    max: 65_535,
    doc: 'HTTP port of /metrics, /livez and /readyz. 0 = any.',
  }),
  metricsHost: text({ default: '', doc: 'Address of the metrics port. Empty = as host.' }),
  namesrvAddr: list({
    default: [],
    env: 'NAMESRV_ADDR',
    scope: 'cluster',
    doc: 'NameServers to register with, host:port. Empty = none: clients must be given broker addresses.',
  }),
  tlsCertFile: text({
    default: '',
    doc: 'PEM certificate for the gRPC port. Empty = a self-signed one, made at first start.',
  }),
  tlsKeyFile: text({ default: '', doc: 'PEM private key that belongs to tlsCertFile.' }),
  brokerRole: choice({
    default: 'SYNC_DOUBLE_WRITE',
    of: ['SYNC_DOUBLE_WRITE', 'ASYNC'],
    scope: 'cluster',
    doc: 'What an acknowledgement waits for: SYNC_DOUBLE_WRITE = a majority of the replicas. ASYNC is not offered yet.',
  }),
  autoCreateTopic: flag({
    default: false,
    scope: 'cluster',
    doc: 'Create an unknown legal topic when a client asks for its route or sends to it.',
  }),
  autoCreateTopicQueues: count({
    default: 8,
    min: 1,
    max: 1024,
    scope: 'cluster',
    doc: 'Queues of a topic that is created on demand.',
  }),
  diskWarnPercent: count({
    default: 75,
    min: 1,
    max: 100,
    doc: 'Above this share of the disk in use the log warns.',
  }),
  diskRefusePercent: count({
    default: 90,
    min: 1,
    max: 100,
    doc: 'Above this share of the disk in use sends are refused, and the replica is not ready, until space returns.',
  }),
  diskCheckIntervalMs: ms({
    default: 3_000,
    min: 100,
    max: 60_000,
    doc: 'Time between two looks at the disk.',
  }),
  readyLagEntriesMax: count({
    default: 10_000,
    min: 0,
    max: 1e9,
    doc: 'A replica further behind the committed log than this is not ready.',
  }),
  receiveFrameBytesMax: bytes({
    default: 130 * 1024 * 1024,
    min: 8 * 1024 * 1024,
    max: 1024 * 1024 * 1024,
    doc: 'Largest request taken in. Larger ones are refused before they are buffered.',
  }),
  connectionsMax: count({
    default: 10_000,
    min: 1,
    max: 1e6,
    doc: 'Open client connections; further ones are closed at once.',
  }),
  clientsMax: count({
    default: 100_000,
    min: 1,
    max: 1e7,
    doc: 'Clients remembered; further new ones get TOO_MANY_REQUESTS.',
  }),
  clientStreamsMax: count({
    default: 8,
    min: 1,
    max: 1024,
    doc: 'Telemetry streams of one client on this replica; the oldest is ended when one more opens.',
  }),
  clientExpiryMs: ms({
    default: 120_000,
    min: 30_000,
    max: 3_600_000,
    doc: 'A client not heard of for this long is gone: what was renewed for it becomes visible again.',
  }),
  clientScanIntervalMs: ms({
    default: 10_000,
    min: 100,
    max: 60_000,
    doc: 'Time between two searches for silent clients.',
  }),
  settingsBytesMax: bytes({
    default: 1024 * 1024,
    min: 1024,
    max: 16 * 1024 * 1024,
    doc: 'Largest command on a Telemetry stream; a larger one ends the stream.',
  }),
  settingsPerMinuteMax: count({
    default: 120,
    min: 2,
    max: 1e6,
    doc: 'Settings commands one Telemetry stream may send in a minute; beyond, the stream ends.',
  }),
  forwardHoldMs: ms({
    default: 5_000,
    min: 0,
    max: 30_000,
    doc: 'Longest time a request waits for a leader that can answer it, within its own deadline.',
  }),
  forwardInFlightMax: count({
    default: 20_000,
    min: 1,
    max: 1e6,
    doc: 'Requests under way to other replicas or waiting for a leader; further ones get TOO_MANY_REQUESTS.',
  }),
  requestTimeoutMaxMs: ms({
    default: 60_000,
    min: 1_000,
    max: 600_000,
    doc: 'Deadline of a call that names none, or a later one.',
  }),
  routeCacheMs: ms({
    default: 5_000,
    min: 100,
    max: 60_000,
    doc: 'Age at which a route from a NameServer is asked for again.',
  }),
  shutdownTimeoutMs: ms({
    default: 15_000,
    min: 1_000,
    max: 600_000,
    doc: 'Longest clean stop; what is open then is cut.',
  }),
  handoverTimeoutMs: ms({
    default: 3_000,
    min: 0,
    max: 60_000,
    doc: 'Part of a clean stop spent on handing leadership over.',
  }),
  logLevel: choice({
    default: 'info',
    of: ['fatal', 'error', 'warn', 'info', 'debug', 'silent'],
    doc: 'Least severity that is logged, as JSON lines on stderr.',
  }),
};

export type NodeSettings = SettingsOf<typeof nodeSettings>;

/** One replica of the group, as `peers` lists it. */
export interface Peer {
  readonly nodeId: number;
  readonly raftHost: string;
  readonly raftPort: number;
  readonly grpcHost: string;
  readonly grpcPort: number;
}

/**
 * Reads the `peers` list and checks it against the node's own number.
 * @returns ascending by id; empty for a group of one without addresses
 * @throws MqError CONFIG_INVALID naming the item and what is wrong with it
 */
export function parsePeers(items: readonly string[], nodeId: number): readonly Peer[] {
  const peers = items.map(parsePeer).sort((a, b) => a.nodeId - b.nodeId);
  for (let i = 1; i < peers.length; i++) {
    if (peers[i]!.nodeId === peers[i - 1]!.nodeId) {
      throw new MqError(
        'CONFIG_INVALID',
        `setting "peers" lists node id ${peers[i]!.nodeId} twice`,
      );
    }
  }
  for (const [what, of] of [
    ['raft', (peer: Peer) => joinHostPort(peer.raftHost, peer.raftPort)],
    ['gRPC', (peer: Peer) => joinHostPort(peer.grpcHost, peer.grpcPort)],
  ] as const) {
    const seen = new Set<string>();
    for (const peer of peers) {
      if (seen.has(of(peer)))
        throw new MqError(
          'CONFIG_INVALID',
          `setting "peers" lists the ${what} address ${of(peer)} twice`,
        );
      seen.add(of(peer));
    }
  }
  if (peers.length === 0) return peers;
  if (peers.length > 5 || peers.length % 2 === 0) {
    throw new MqError(
      'CONFIG_INVALID',
      `setting "peers" lists ${peers.length} replicas; a group has 1, 3 or 5`,
    );
  }
  if (!peers.some((peer) => peer.nodeId === nodeId)) {
    throw new MqError(
      'CONFIG_INVALID',
      `setting "peers" does not list this replica: add a line for node id ${nodeId}, or set nodeId`,
    );
  }
  return peers;
}

function parsePeer(item: string): Peer {
  const match = /^(\d{1,2})@([^@]+)@([^@]+)$/.exec(item);
  const raft = match === null ? null : splitHostPort(match[2]!);
  const grpc = match === null ? null : splitHostPort(match[3]!);
  if (match === null || raft === null || grpc === null) {
    throw new MqError(
      'CONFIG_INVALID',
      `setting "peers" has the item "${item}"; it must read id@raftHost:raftPort@grpcHost:grpcPort, as 0@10.0.0.1:10912@10.0.0.1:8081`,
    );
  }
  return {
    nodeId: Number(match[1]),
    raftHost: raft.host,
    raftPort: raft.port,
    grpcHost: grpc.host,
    grpcPort: grpc.port,
  };
}

/** Splits `host:port`, where an IPv6 host stands in brackets; null when it is neither. */
export function splitHostPort(
  address: string,
): { readonly host: string; readonly port: number } | null {
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(address);
  if (match === null) return null;
  const port = Number(match[3]);
  return port < 1 || port > 65_535 ? null : { host: match[1] ?? match[2]!, port };
}

/** The text form of an address, with brackets around an IPv6 host. */
export function joinHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Checks what a single setting cannot see.
 * @throws MqError CONFIG_INVALID naming the settings that do not go together
 */
export function checkNodeSettings(settings: NodeSettings): void {
  parsePeers(settings.peers, settings.nodeId);
  if (settings.brokerRole === 'ASYNC') {
    throw new MqError(
      'CONFIG_INVALID',
      'setting "brokerRole" is ASYNC, which this version does not offer; use SYNC_DOUBLE_WRITE: a majority of the replicas holds a message before it is acknowledged',
    );
  }
  if ((settings.tlsCertFile === '') !== (settings.tlsKeyFile === '')) {
    throw new MqError(
      'CONFIG_INVALID',
      'settings "tlsCertFile" and "tlsKeyFile" must be given together',
    );
  }
  if (settings.diskWarnPercent > settings.diskRefusePercent) {
    throw new MqError(
      'CONFIG_INVALID',
      `setting "diskWarnPercent" (${settings.diskWarnPercent}) must not be above "diskRefusePercent" (${settings.diskRefusePercent})`,
    );
  }
  if (settings.clientScanIntervalMs > settings.clientExpiryMs) {
    throw new MqError(
      'CONFIG_INVALID',
      'setting "clientScanIntervalMs" must not be above "clientExpiryMs"',
    );
  }
  for (const address of settings.namesrvAddr) {
    if (splitHostPort(address) === null) {
      throw new MqError(
        'CONFIG_INVALID',
        `setting "namesrvAddr" has the item "${address}"; it must read host:port`,
      );
    }
  }
  const ports = [settings.grpcPort, settings.raftPort, settings.metricsPort].filter(
    (port) => port !== 0,
  );
  if (new Set(ports).size !== ports.length) {
    throw new MqError(
      'CONFIG_INVALID',
      'settings "grpcPort", "raftPort" and "metricsPort" must differ',
    );
  }
}

/**
 * The host that clients are told: as set, else from peers, else the listening address when it is one,
 * else the first IPv4 address of this machine, else its name.
 */
export function advertisedHost(settings: NodeSettings, peers: readonly Peer[]): string {
  if (settings.advertisedHost !== '') return settings.advertisedHost;
  const own = peers.find((peer) => peer.nodeId === settings.nodeId);
  if (own !== undefined) return own.grpcHost;
  if (settings.host !== '0.0.0.0' && settings.host !== '::') return settings.host;
  for (const addresses of Object.values(networkInterfaces())) {
    for (const address of addresses ?? []) {
      if (!address.internal && isIP(address.address) === 4) return address.address;
    }
  }
  return hostname();
}
