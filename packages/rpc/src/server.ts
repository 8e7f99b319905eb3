import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls';
import { assert, errorText, MqError, type Logger } from '@raftmq/base';
import { type ProtoHandlers, type RawMethod } from './call.js';
import { CallRunner, type RpcServerProbe } from './call-runner.js';
import { loadCertificate, type TlsSource } from './certificate.js';
import { Connections } from './connections.js';
import { FrontDoor, type FrontDoorProbe } from './front-door.js';
import { type ConnectionProbe } from './http2/limits.js';
import { loadService } from './load.js';
import { protoMethod } from './proto-method.js';
import { type RpcStatus } from './status.js';

export interface RpcServerOptions {
  /** Address to listen on; '0.0.0.0' or '::' for all. */
  readonly host: string;
  /** 0 = any free port; see `RpcServer.port`. */
  readonly port: number;
  /** null = plaintext only. */
  readonly tls: TlsSource | null;
  readonly logger: Logger;
  /** Status of a call whose handler threw an MqError. Default: {@link defaultErrorStatus}. */
  readonly errorStatus?: (error: MqError) => RpcStatus;
  readonly limits?: Partial<RpcServerLimits>;
}

export interface RpcServerLimits {
  /** A larger request ends its call with RESOURCE_EXHAUSTED; also counted after unpacking. */
  readonly receiveBytesMax: number;
  /** Open connections in all; more are closed at once. */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** Calls open on one connection; the client waits with more. */
  readonly callsPerConnectionMax: number;
  /** A connection without a call for this long is closed politely. */
  readonly idleMs: number;
  /** A new connection has to send its first bytes within this time. */
  readonly peekTimeoutMs: number;
  /** After this long the peer is asked for a sign of life, and given up when none comes within the second time. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Request bytes that one connection may have under way before it waits for us to read. */
  readonly connectionWindowBytes: number;
  /** The same for one call. */
  readonly streamWindowBytes: number;
  /** Memory for requests that have not come in whole, over all connections and for one; more calls are refused. */
  readonly partialBytesMax: number;
  readonly partialBytesPerConnectionMax: number;
  /** Answers that a connection does not take; with more of them waiting its new calls are refused. */
  readonly pendingBytesMax: number;
}

export const rpcServerLimits: RpcServerLimits = {
  receiveBytesMax: 130 * 1024 * 1024,
  connectionsMax: 10_000,
  connectionsPerAddressMax: 5_000,
  callsPerConnectionMax: 16_384,
  idleMs: 120_000,
  peekTimeoutMs: 10_000,
  keepaliveMs: 60_000,
  keepaliveTimeoutMs: 20_000,
  connectionWindowBytes: 8 * 1024 * 1024,
  streamWindowBytes: 1024 * 1024,
  partialBytesMax: 1024 * 1024 * 1024,
  partialBytesPerConnectionMax: 256 * 1024 * 1024,
  pendingBytesMax: 64 * 1024 * 1024,
};

/**
 * A gRPC server on one port, for TLS and plaintext clients alike, on our own HTTP/2 (`http2/`). Register all methods, then
 * start. Handlers see Buffers or decoded messages and a {@link CallContext}.
 */
export class RpcServer {
  readonly probe: RpcServerProbe;
  readonly connectionProbe: ConnectionProbe;
  readonly #options: RpcServerOptions;
  readonly #limits: RpcServerLimits;
  readonly #runner: CallRunner;
  readonly #connections: Connections;
  #door: FrontDoor | null = null;
  #closing: Promise<void> | null = null;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    const { logger, errorStatus } = options;
    const limits = { ...rpcServerLimits, ...options.limits };
    this.#limits = limits;
    this.#runner = new CallRunner({ logger, errorStatus });
    this.probe = this.#runner.probe;
    this.#connections = new Connections(
      this.#runner,
      {
        ...limits,
        messageBytesMax: limits.receiveBytesMax,
        streamsMax: limits.callsPerConnectionMax,
        openingMs: limits.peekTimeoutMs,
        partialBytesMax: limits.partialBytesPerConnectionMax,
      },
      limits.partialBytesMax,
      logger,
    );
    this.connectionProbe = this.#connections.probe;
  }

  /** The port that it listens on; only after `start`. */
  get port(): number {
    assert(this.#door !== null, 'the server has been started');
    return this.#door.port;
  }

  /** Connections open now; only after `start`. */
  get connections(): number {
    return this.#door?.connections ?? 0;
  }

  /** Counters of the listening port; null before `start`. */
  get doorProbe(): FrontDoorProbe | null {
    return this.#door?.probe ?? null;
  }

  /** Adds a method that works on bytes. A path is registered once (asserted). */
  register(method: RawMethod): void {
    this.#runner.register(method);
  }

  /**
   * Adds methods of a service that work on decoded messages; methods without a handler answer UNIMPLEMENTED.
   * @param serviceName in full, such as `raftmq.namesrv.v1.NameServer`
   */
  registerProto(serviceName: string, handlers: ProtoHandlers): void {
    const service = loadService(serviceName);
    for (const [name, handler] of Object.entries(handlers)) {
      const method = service.get(name);
      assert(method !== undefined, `${serviceName} has the method ${name}`);
      this.register(protoMethod(method, handler));
    }
  }

  /**
   * Listens. In self-signed mode makes the certificate at the first start.
   * @throws MqError CONFIG_INVALID when the port is taken or a TLS file is not usable
   */
  async start(): Promise<void> {
    const { host, port, tls, logger } = this.#options;
    const secure = tls === null ? null : await this.#tlsServer(tls);
    const door: FrontDoor = new FrontDoor({
      host,
      port,
      connectionsMax: this.#limits.connectionsMax,
      connectionsPerAddressMax: this.#limits.connectionsPerAddressMax,
      peekTimeoutMs: this.#limits.peekTimeoutMs,
      plain: (socket) => this.#connections.add(socket),
      tls: secure === null ? null : (socket) => secure.emit('connection', socket),
      logger,
    });
    await door.listen();
    this.#door = door;
  }

  /**
   * Accepts nothing new, tells clients to go, and waits for calls in progress; closes what is left after `graceMs`.
   * Streams that would stay open are to be ended by their owners before.
   */
  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    this.#door?.stopAccepting();
    this.#connections.drain();
    await this.#door?.closeConnections(graceMs);
  }

  async #tlsServer(source: TlsSource): Promise<TlsServer> {
    const { certificate, key } = await loadCertificate(source);
    let server: TlsServer;
    try {
      server = createTlsServer({
        cert: certificate,
        key,
        ALPNProtocols: ['h2'],
        handshakeTimeout: this.#limits.peekTimeoutMs,
      });
    } catch (error) {
      throw new MqError(
        'CONFIG_INVALID',
        `the certificate or its key is not usable: ${errorText(error)}`,
        { cause: error },
      );
    }
    const refuse = (socket: TLSSocket): void => {
      if (this.#door !== null) this.#door.probe.refusedProtocol++;
      socket.destroy();
    };
    server.on('tlsClientError', (_error, socket) => refuse(socket));
    server.on('secureConnection', (socket) => {
      if (socket.alpnProtocol === 'h2') socket.on('data', this.#connections.add(socket));
      else refuse(socket);
    });
    return server;
  }
}
