import { errorText, type Logger, MqError } from '@raftmq/base';
import {
  decodeStatusResponse,
  encodeHeartbeatRequest,
  encodeNotifyClientTerminationRequest,
  type Endpoints,
  type Resource,
} from '@raftmq/protocol';
import { addressesOf, parseEndpoints } from './endpoints.js';
import { createClientId } from './ids.js';
import { MessagingRpc, messagingPath } from './messaging-rpc.js';
import {
  clientLimits,
  type ClientOptions,
  compileClientOptions,
  type CompiledClientOptions,
} from './options.js';
import { type BrokerTarget, type Route, RouteCache } from './route-cache.js';
import {
  type ClientRole,
  type ServerSettings,
  readServerSettings,
  wireSettingsOf,
} from './settings.js';
import { isOk } from './status-error.js';
import { TelemetrySession } from './telemetry-session.js';

/** One broker that this client has routes to. */
interface KnownBroker {
  target: BrokerTarget;
  readonly session: TelemetrySession;
}

/**
 * What producers and consumers have in common: routes, a Telemetry stream and heartbeats to every broker of these
 * routes, and the settings that servers send. `start` once, `stop` once.
 */
export class ClientCore {
  readonly clientId = createClientId();
  readonly options: CompiledClientOptions;
  readonly endpoints: Endpoints;
  readonly rpc: MessagingRpc;
  readonly routes: RouteCache;
  readonly #role: ClientRole;
  readonly #logger: Logger;
  readonly #brokers = new Map<string, KnownBroker>();
  #timers: NodeJS.Timeout[] = [];
  #settings: ServerSettings;
  #state: 'new' | 'running' | 'stopped' = 'new';

  /** @throws MqError CONFIG_INVALID for endpoints that cannot be read */
  constructor(options: ClientOptions, role: ClientRole, defaults: ServerSettings) {
    this.options = compileClientOptions(options);
    this.endpoints = parseEndpoints(options.endpoints);
    this.#role = role;
    this.#settings = defaults;
    this.#logger = this.options.logger.child({ clientId: this.clientId });
    this.rpc = new MessagingRpc(this.options, this.clientId);
    this.routes = new RouteCache(this.rpc, this.endpoints, this.options.namespace, this.#logger);
    this.routes.onChange = (route) => this.#onRoute(route);
  }

  /** What the servers decided; it may change at any time. */
  get settings(): ServerSettings {
    return this.#settings;
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  /** A topic or group as requests name it. */
  resource(name: string): Resource {
    return { namespace: this.options.namespace, name };
  }

  /**
   * Fetches the routes of `topics` and waits a moment for the server's settings.
   * @throws MqError TOPIC_NOT_FOUND and what else a route query may end with; the client is stopped then
   */
  async start(topics: readonly string[]): Promise<void> {
    if (this.#state !== 'new') {
      throw new MqError('PRECONDITION_FAILED', 'a client starts once; make a new one');
    }
    this.#state = 'running';
    try {
      await Promise.all(topics.map((topic) => this.routes.get(topic)));
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.routes.start();
    this.#timers = [
      setInterval(() => this.#heartbeat(), clientLimits.heartbeatMs).unref(),
      setInterval(() => this.syncSettings(), clientLimits.settingsSyncMs).unref(),
    ];
    await this.#firstSettings();
    this.#heartbeat();
  }

  /** @throws MqError PRECONDITION_FAILED before `start` and after `stop` */
  checkRunning(): void {
    if (this.#state === 'running') return;
    throw new MqError(
      'PRECONDITION_FAILED',
      this.#state === 'new' ? 'the client has not been started' : 'the client is closed',
    );
  }

  /** Tells all brokers our settings, after a subscription changed. */
  syncSettings(): void {
    for (const { session } of this.#brokers.values()) session.sync();
  }

  /** Says goodbye to the brokers and closes all connections. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.routes.stop();
    for (const timer of this.#timers) clearInterval(timer);
    const group = this.#role.group === '' ? null : this.resource(this.#role.group);
    const request = encodeNotifyClientTerminationRequest(group);
    await Promise.all(
      [...this.#brokers.values()].map(({ target }) =>
        this.rpc
          .unary(target.addresses, messagingPath.notifyClientTermination, request)
          .catch(() => undefined),
      ),
    );
    for (const { session } of this.#brokers.values()) session.stop();
    this.rpc.close();
  }

  async #firstSettings(): Promise<void> {
    const answers = [...this.#brokers.values()].map(({ session }) => session.firstAnswer);
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, clientLimits.settingsWaitMs);
    });
    await Promise.race([Promise.all(answers), patience]);
    clearTimeout(timer);
  }

  #onRoute(route: Route): void {
    if (this.#state !== 'running') return;
    for (const target of [...route.writable, ...route.readable]) {
      const known = this.#brokers.get(target.name);
      if (known !== undefined) {
        known.target = target;
        known.session.moveTo(target.addresses);
        continue;
      }
      const session = new TelemetrySession(
        this.rpc,
        target.addresses,
        {
          settings: () =>
            wireSettingsOf(
              this.#role,
              this.endpoints,
              this.options.namespace,
              this.options.requestTimeoutMs,
            ),
          received: (settings) => {
            this.#settings = readServerSettings(this.#settings, settings);
          },
          orphaned: (orphan) => {
            this.#role.orphaned?.(orphan, this.#brokers.get(target.name)?.target ?? target);
          },
        },
        this.#logger,
      );
      this.#brokers.set(target.name, { target, session });
      session.open();
    }
  }

  #heartbeat(): void {
    const request = encodeHeartbeatRequest({
      group: this.#role.group === '' ? null : this.resource(this.#role.group),
      clientType: this.#role.clientType,
    });
    for (const { target } of this.#brokers.values()) {
      this.rpc.unary(target.addresses, messagingPath.heartbeat, request).then(
        (bytes) => {
          const status = decodeStatusResponse(bytes);
          if (!isOk(status)) {
            this.#logger.warn({ code: status.code, text: status.message }, 'heartbeat refused');
          }
        },
        (error: unknown) => {
          this.#logger.warn({ broker: target.name, error: errorText(error) }, 'heartbeat failed');
        },
      );
    }
    this.#probeIsolated(request);
  }

  /** Addresses that failed get their chance back by answering a heartbeat, not by losing a message. */
  #probeIsolated(request: Buffer): void {
    const all = new Set([...this.#brokers.values()].flatMap(({ target }) => target.addresses));
    for (const address of all) {
      if (!this.rpc.pool.isIsolated(address)) continue;
      this.rpc.unaryAt(address, messagingPath.heartbeat, request).catch((error: unknown) => {
        this.#logger.debug({ address, error: errorText(error) }, 'address still fails');
      });
    }
  }

  /** Addresses that were configured, for calls that any server answers. */
  get accessAddresses(): readonly string[] {
    return addressesOf(this.endpoints);
  }
}
