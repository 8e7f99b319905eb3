import {
  createMetricsRegistry,
  errorText,
  exposeMetrics,
  Lifecycle,
  nodeDisk,
  ObservabilityServer,
  systemClock,
  type Clock,
  type DiskUsage,
  type Logger,
} from '@raftmq/base';
import { parseStoredHost } from '@raftmq/protocol';
import { type RoleStatus } from '@raftmq/raft';
import { RpcServer } from '@raftmq/rpc';
import { adminMethods } from './admin/admin-service.js';
import { type AdminSource } from './admin/admin-source.js';
import { GroupAddresses } from './addresses.js';
import { brokerRegistration } from './broker-registration.js';
import { joinHostPort, parsePeers, type Peer } from './config.js';
import { openEdge } from './edge.js';
import { PEER_SERVICE } from './forward/producer-finder.js';
import { messagingServiceMethods } from './handlers/messaging-service.js';
import { peerHandlers } from './handlers/peer-service.js';
import { type EdgeServices } from './handlers/services.js';
import { MessagingService } from './messaging-service/messaging-service.js';
import { DiskWatermark } from './ops/disk-watermark.js';
import { brokerMetrics } from './ops/metrics.js';
import { Readiness } from './ops/readiness.js';
import { consumerLag, groupProgress, queueStats } from './ops/replica-stats.js';
import { RetentionLoop } from './ops/retention-loop.js';
import { MessageQueries } from './query/message-queries.js';
import { MessageTraces } from './query/message-trace.js';
import { RegistrationClient } from './registration/registration-client.js';
import { openReplica, type Replica } from './replica.js';
import { checkBrokerSettings, type BrokerSettings } from './settings.js';
import { endTelemetry, pushGroupSettings } from './telemetry/telemetry.js';

export interface BrokerOptions {
  readonly settings: BrokerSettings;
  readonly logger: Logger;
  /** Called once when the process has to stop: a disk failed, or an assertion. Nothing is acknowledged afterwards. */
  readonly onFatal: (error: unknown) => void;
  readonly clock?: Clock;
  /** How full a disk is; the system's answer when left out. */
  readonly diskUsage?: (path: string) => Promise<DiskUsage>;
}

/** Part of the clean stop that open calls get to finish. */
const CLOSE_GRACE_MS = 1_000;

/** One replica of a broker group, serving. The only place where its parts are put together. */
export class Broker {
  readonly #settings: BrokerSettings;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #options: BrokerOptions;
  readonly #lifecycle: Lifecycle;
  readonly #peers: readonly Peer[];
  readonly #addresses: GroupAddresses;
  readonly #startedAtMs: number;
  #draining = false;
  #stopping: Promise<void> | null = null;

  #replica!: Replica;
  #messaging!: MessagingService;
  #server!: RpcServer;
  #observability!: ObservabilityServer;
  #services!: EdgeServices;
  #registration: RegistrationClient | null = null;

  private constructor(options: BrokerOptions) {
    const { settings, logger } = options;
    checkBrokerSettings(settings);
    this.#options = options;
    this.#settings = settings;
    this.#logger = logger;
    this.#clock = options.clock ?? systemClock;
    this.#lifecycle = new Lifecycle(logger);
    this.#peers = parsePeers(settings.peers, settings.nodeId);
    this.#addresses = new GroupAddresses(settings, this.#peers, () => this.#server.port);
    this.#startedAtMs = this.#clock.wallMs();
    this.#warnOfPorts();
  }

  /**
   * Opens everything in order and serves. It may be a follower, or have no leader yet, when this resolves.
   * @throws MqError CONFIG_INVALID, DATA_DIRECTORY_LOCKED, DATA_DIRECTORY_MISMATCH, LOG_CORRUPTED, …; what was opened is
   *   closed again then
   */
  static async start(options: BrokerOptions): Promise<Broker> {
    const broker = new Broker(options);
    try {
      await broker.#start();
    } catch (error) {
      await broker.#lifecycle.close(options.settings.shutdownTimeoutMs);
      throw error;
    }
    return broker;
  }

  get grpcPort(): number {
    return this.#server.port;
  }

  get metricsPort(): number {
    return this.#observability.port;
  }

  get role(): RoleStatus {
    return this.#messaging.role;
  }

  /** What clients are told to connect to. */
  get grpcAddress(): string {
    const { host, port } = this.#addresses.own;
    return joinHostPort(host, port);
  }

  /**
   * Leaves cleanly: out of the routes, leadership handed over, open calls finished, state saved, files closed. Calling it
   * again gives the same promise.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Another port than in `peers` is right behind a port mapping, and a mistake everywhere else. */
  #warnOfPorts(): void {
    const { nodeId, grpcPort, raftPort } = this.#settings;
    const own = this.#peers.find((peer) => peer.nodeId === nodeId);
    if (own === undefined || (own.grpcPort === grpcPort && own.raftPort === raftPort)) return;
    this.#logger.warn(
      { grpcPort, raftPort, peersGrpcPort: own.grpcPort, peersRaftPort: own.raftPort },
      'this replica listens on other ports than peers says',
    );
  }

  async #start(): Promise<void> {
    const settings = this.#settings;
    const disk = new DiskWatermark({
      path: settings.dataDir,
      usage: this.#options.diskUsage ?? ((path) => nodeDisk.usage(path)),
      warnPercent: settings.diskWarnPercent,
      refusePercent: settings.diskRefusePercent,
      intervalMs: settings.diskCheckIntervalMs,
      clock: this.#clock,
      logger: this.#logger,
    });
    this.#replica = await openReplica({
      settings,
      peers: this.#peers,
      clock: this.#clock,
      logger: this.#logger,
      lifecycle: this.#lifecycle,
      onFatal: this.#options.onFatal,
      changed: () => this.#registration?.changed(),
    });
    this.#messaging = this.#openMessaging();
    await disk.start();
    this.#lifecycle.opened('disk watermark', () => disk.close());
    const services = openEdge({
      settings,
      addresses: this.#addresses,
      messaging: this.#messaging,
      disk,
      clock: this.#clock,
      logger: this.#logger,
      lifecycle: this.#lifecycle,
      draining: () => this.#draining,
    });
    this.#services = services;
    this.#messaging.transactions.connect(services.producers);
    this.#messaging.watchGroups((groups) => pushGroupSettings(services.registry, groups));
    await this.#openServers(services, disk);
    await this.#replica.driver.start();
    this.#startLoops();
    this.#openRegistration();
  }

  #openMessaging(): MessagingService {
    const { state, driver, queueIndex, log } = this.#replica;
    const messaging = new MessagingService({
      state,
      proposer: driver,
      confirmLeading: () => driver.readIndex(),
      queueIndex,
      log,
      clock: this.#clock,
      logger: this.#logger,
      settings: this.#settings,
      timerSettings: this.#settings,
      brokerGroup: this.#settings.group,
      storeHost: parseStoredHost(joinHostPort(this.#addresses.host, this.#settings.remotingPort)),
    });
    this.#lifecycle.opened('messaging', () => messaging.stop());
    return messaging;
  }

  async #openServers(services: EdgeServices, disk: DiskWatermark): Promise<void> {
    const settings = this.#settings;
    const { tlsCertFile, tlsKeyFile, dataDir } = settings;
    const server = new RpcServer({
      host: settings.host,
      port: settings.grpcPort,
      tls:
        tlsCertFile === ''
          ? { selfSignedDirectory: `${dataDir}/tls` }
          : { certificateFile: tlsCertFile, keyFile: tlsKeyFile },
      logger: this.#logger,
      limits: {
        receiveBytesMax: settings.receiveFrameBytesMax,
        connectionsMax: settings.connectionsMax,
      },
    });
    this.#server = server;
    for (const method of messagingServiceMethods(services)) server.register(method);
    for (const method of adminMethods(services, this.#adminSource())) server.register(method);
    server.registerProto(PEER_SERVICE, peerHandlers(services.registry));
    await server.start();
    this.#lifecycle.opened('gRPC server', () => server.close(CLOSE_GRACE_MS));
    const readiness = this.#readiness(disk);
    const registry = createMetricsRegistry();
    exposeMetrics(
      registry,
      this.#metrics(services, disk, () => readiness.reasons().length === 0),
    );
    this.#observability = new ObservabilityServer({
      host: settings.metricsHost === '' ? settings.host : settings.metricsHost,
      port: settings.metricsPort,
      registry,
      notReady: () => readiness.reasons().map(({ reason, detail }) => `${reason}: ${detail}`),
      logger: this.#logger,
    });
    await this.#observability.start();
    this.#lifecycle.opened('metrics server', () => this.#observability.close());
  }

  #readiness(disk: DiskWatermark): Readiness {
    const { driver } = this.#replica;
    return new Readiness({
      role: () => this.#messaging.role,
      recovery: () => driver.status().recovery,
      missing: () => {
        const { peersConnected } = driver.status();
        const ids = this.#peers.map(({ nodeId }) => nodeId);
        return ids.filter((id) => id !== this.#settings.nodeId && !peersConnected.includes(id));
      },
      commitIndex: () => driver.status().commitIndex,
      appliedIndex: () => driver.status().appliedIndex,
      diskRefusing: () => disk.refusing,
      draining: () => this.#draining,
      lagEntriesMax: this.#settings.readyLagEntriesMax,
    });
  }

  #metrics(
    services: EdgeServices,
    disk: DiskWatermark,
    ready: () => boolean,
  ): ReturnType<typeof brokerMetrics> {
    const { driver, state, log, messageIndex, queueIndex } = this.#replica;
    return brokerMetrics({
      cluster: this.#settings.cluster,
      group: this.#settings.group,
      nodeId: this.#settings.nodeId,
      edge: services.probe,
      rpc: this.#server.probe,
      door: () => this.#server.doorProbe,
      clientConnections: this.#server.connectionProbe,
      connections: () => this.#server.connections,
      registry: services.registry,
      subscriptions: services.subscriptions,
      forwarding: () => services.forwarder.inFlight,
      disk,
      raft: driver.probe,
      raftStatus: () => driver.status(),
      state: state.probe,
      messaging: this.#messaging.probe,
      waitingPolls: () => this.#messaging.waitingPolls,
      consumerLag: () =>
        this.#messaging.role.writable ? consumerLag(state.tables, queueIndex) : [],
      transactions: this.#messaging.transactions,
      lite: () => state.tables.lite.stats(),
      timers: {
        probe: this.#messaging.timers.probe,
        pending: () => state.tables.timers.pending,
        loaded: () => this.#messaging.timers.loaded,
        loadedBytes: () => this.#messaging.timers.loadedBytes,
      },
      rememberedSends: () => this.#messaging.rememberedSends,
      log,
      messageIndex,
      ready,
    });
  }

  #adminSource(): AdminSource {
    const { driver, state, queueIndex } = this.#replica;
    const { cluster, group, nodeId } = this.#settings;
    return {
      cluster,
      group,
      nodeId,
      voters: this.#addresses.voters,
      replicas: () =>
        this.#addresses.replicas().map(({ nodeId: id, host, port }) => ({
          nodeId: id,
          grpcAddress: joinHostPort(host, port),
          raftAddress: this.#addresses.raft(id),
        })),
      messaging: this.#messaging,
      raft: {
        status: () => driver.status(),
        digest: () => ({ appliedIndex: state.appliedIndex, digest: state.digest() }),
        transferLeadership: (target) => driver.transferLeadership(target),
      },
      queueStats: (topic) => queueStats(state.tables, queueIndex, topic),
      deadLetterDesk: this.#messaging.deadLetterDesk,
      groupProgress: (name) => groupProgress(state.tables, queueIndex, name),
      queries: this.#querySource(),
    };
  }

  #querySource(): AdminSource['queries'] {
    const { state, queueIndex, log, messageIndex } = this.#replica;
    const { tables } = state;
    const source = { tables, queueIndex, log, messageIndex, settings: this.#settings };
    const messages = new MessageQueries(source);
    return { messages, traces: new MessageTraces(source, messages) };
  }

  #startLoops(): void {
    const { checkpoints, log, driver } = this.#replica;
    checkpoints.start();
    const retention = new RetentionLoop({
      log,
      status: () => driver.status(),
      savedIndex: () => checkpoints.savedIndex,
      retentionMs: this.#settings.retentionMs,
      retentionBytes: this.#settings.retentionBytes,
      clock: this.#clock,
      onFatal: this.#options.onFatal,
    });
    retention.start();
    this.#lifecycle.opened('retention', () => retention.close());
  }

  #openRegistration(): void {
    const registration = new RegistrationClient({
      addresses: this.#settings.namesrvAddr,
      registration: () =>
        brokerRegistration({
          settings: this.#settings,
          addresses: this.#addresses,
          messaging: this.#messaging,
          startedAtMs: this.#startedAtMs,
          metricsPort: this.metricsPort,
          topicsVersion: this.#replica.watched.topicsVersion,
        }),
      logger: this.#logger,
      clock: this.#clock,
    });
    registration.start();
    this.#registration = registration;
    this.#lifecycle.opened('registration', () => registration.close());
  }

  async #stop(): Promise<void> {
    this.#draining = true;
    this.#registration?.close();
    await this.#handOver();
    this.#services.forwarder.drain();
    this.#messaging.stop();
    endTelemetry(this.#services.registry);
    await this.#lifecycle.close(this.#settings.shutdownTimeoutMs);
  }

  /** Gives leadership to the best follower, for as long as the settings allow. */
  async #handOver(): Promise<void> {
    const { driver } = this.#replica;
    if (this.#peers.length <= 1 || driver.role.role !== 'leader') return;
    let cancel = (): void => undefined;
    const tooLate = new Promise<void>((resolve) => {
      cancel = this.#clock.setTimer(this.#settings.handoverTimeoutMs, resolve);
    });
    const done = driver.transferLeadership(null).then(
      () => this.#logger.info({}, 'leadership handed over'),
      (error: unknown) =>
        this.#logger.warn({ error: errorText(error) }, 'leadership could not be handed over'),
    );
    await Promise.race([done, tooLate]);
    cancel();
  }
}
