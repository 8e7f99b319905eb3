import { type Logger, silentLogger } from '@raftmq/base';

/** What every client of this package takes. */
export interface ClientOptions {
  /** Addresses of brokers or proxies, `host:port;host:port`; one that answers is enough. */
  readonly endpoints: string;
  /** Time for one call, without the time a poll waits. Default 3000. */
  readonly requestTimeoutMs?: number;
  /** null = plaintext, the default. `verify: false` accepts any certificate, as RocketMQ's own clients do. */
  readonly tls?: { readonly verify: boolean; readonly rootCertificates?: Buffer } | null;
  /** Put in front of topics and groups by the server; default none. */
  readonly namespace?: string;
  /** Signs every call when given. */
  readonly credentials?: ClientCredentials | null;
  /** Default: nothing is logged. */
  readonly logger?: Logger;
}

export interface ClientCredentials {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** {@link ClientOptions} with all defaults filled in. */
export type CompiledClientOptions = Required<ClientOptions>;

export function compileClientOptions(options: ClientOptions): CompiledClientOptions {
  return {
    endpoints: options.endpoints,
    requestTimeoutMs: options.requestTimeoutMs ?? 3_000,
    tls: options.tls ?? null,
    namespace: options.namespace ?? '',
    credentials: options.credentials ?? null,
    logger: options.logger ?? silentLogger,
  };
}

/** Fixed numbers of all clients. */
export const clientLimits = {
  heartbeatMs: 10_000,
  routeRefreshMs: 30_000,
  settingsSyncMs: 300_000,
  telemetryReopenMs: 1_000,
  /** How long `start` waits for the server's settings before it goes on with defaults. */
  settingsWaitMs: 3_000,
  /** A failed address is tried last for this long, or until it answers a heartbeat. */
  isolationMs: 10_000,
  /** Connections of one client. */
  channelsMax: 512,
  /** Topics that one client keeps routes of. */
  topicsMax: 10_000,
} as const;
