import {
  createMetricsRegistry,
  exposeMetrics,
  Lifecycle,
  ObservabilityServer,
  systemClock,
  type CancelTimer,
  type Clock,
  type Logger,
} from '@raftmq/base';
import { RpcServer, type RpcStream } from '@raftmq/rpc';
import { NAMESRV_SERVICE, type BrokerRegistration, type RegistrationAck } from '@raftmq/protocol';
import { namesrvMetrics, newNamesrvProbe, type NamesrvProbe } from './probe.js';
import { RouteTable } from './route-table.js';
import { namesrvHandlers } from './service.js';
import { type NamesrvConfig } from './settings.js';

/** A registration with its topics: 50,000 topics take some 5 MiB. */
const RECEIVE_BYTES_MAX = 64 * 1024 * 1024;

/** One NameServer: the route table behind its gRPC port, and the metrics port. */
export class Namesrv {
  readonly probe: NamesrvProbe = newNamesrvProbe();
  readonly #config: NamesrvConfig;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #lifecycle: Lifecycle;
  readonly #table: RouteTable;
  readonly #streams = new Set<RpcStream<BrokerRegistration, RegistrationAck>>();
  readonly #server: RpcServer;
  readonly #observability: ObservabilityServer;
  #cancelScan: CancelTimer = () => undefined;
  #stopping = false;

  constructor(config: NamesrvConfig, logger: Logger, clock: Clock = systemClock) {
    this.#config = config;
    this.#clock = clock;
    this.#logger = logger;
    this.#lifecycle = new Lifecycle(logger);
    this.#table = new RouteTable({ groupsMax: config.groupsMax, topicsMax: config.topicsMax });
    this.#server = new RpcServer({
      host: config.host,
      port: config.port,
      tls: null,
      logger,
      limits: {
        receiveBytesMax: RECEIVE_BYTES_MAX,
        connectionsMax: config.connectionsMax,
        connectionsPerAddressMax: config.connectionsMax,
      },
    });
    const { probe } = this;
    const parts = { table: this.#table, clock, logger, probe, streams: this.#streams };
    this.#server.registerProto(NAMESRV_SERVICE, namesrvHandlers(parts));
    const registry = createMetricsRegistry();
    exposeMetrics(registry, namesrvMetrics(probe, this.#table, this.#server));
    this.#observability = new ObservabilityServer({
      host: config.host,
      port: config.metricsPort,
      registry,
      notReady: () => (this.#stopping ? ['the NameServer is stopping'] : []),
      logger,
    });
  }

  /** Port of the gRPC service; only after `start`. */
  get port(): number {
    return this.#server.port;
  }

  /** Port of `/metrics` and the health checks; only after `start`. */
  get metricsPort(): number {
    return this.#observability.port;
  }

  /** @throws MqError CONFIG_INVALID when a port is taken; nothing stays open then */
  async start(): Promise<void> {
    const { stopTimeoutMs } = this.#config;
    await this.#server.start();
    this.#lifecycle.opened('rpc server', () => this.#server.close(stopTimeoutMs));
    this.#lifecycle.opened('registration streams', () => {
      for (const stream of this.#streams) stream.end();
    });
    try {
      await this.#observability.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#lifecycle.opened('metrics port', () => this.#observability.close());
    this.#scheduleScan();
    this.#lifecycle.opened('expiry scan', () => this.#cancelScan());
  }

  /** Says good-bye to brokers, lets queries finish, closes the ports. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#lifecycle.close(this.#config.stopTimeoutMs + 1_000);
  }

  #scheduleScan(): void {
    this.#cancelScan = this.#clock.setTimer(this.#config.scanIntervalMs, () => {
      const expired = this.#table.expire(this.#clock.monotonicMs(), this.#config.brokerExpiryMs);
      this.probe.expiredReplicas += expired;
      if (expired > 0) this.#logger.warn({ expired }, 'dropped silent replicas');
      this.#scheduleScan();
    });
  }
}
