import {
  Server,
  ServerCredentials,
  type ConnectionInjector,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { assert, errorText, isMqError, LogGate, type Logger, type MqError } from '@raftmq/base';
import { type ProtoHandlers, type RawMethod } from './call.js';
import { loadCertificate, type TlsSource } from './certificate.js';
import { FrontDoor, type FrontDoorProbe } from './front-door.js';
import { tuneHttp2Servers } from './http2-servers.js';
import { loadService } from './load.js';
import { protoMethod } from './proto-method.js';
import { GrpcCallContext, ServerStream, ServerWriter } from './server-call.js';
import {
  defaultErrorStatus,
  isImpossible,
  isRpcError,
  rpcStatus,
  statusDetails,
  type RpcStatus,
} from './status.js';

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
};

/** Counters of a server; read at scrape. */
export interface RpcServerProbe {
  calls: number;
  /** Calls that ended with a status other than OK, set by a handler. */
  callsFailed: number;
  /** Calls that failed in a way that nobody planned for. */
  foreignErrors: number;
}

interface StatusAnswer {
  readonly code: number;
  readonly details: string;
}

const LOG_INTERVAL_MS = 1_000;
const same = (bytes: Buffer): Buffer => bytes;

/**
 * A gRPC server on one port, for TLS and plaintext clients alike. Register all methods, then start. Everything of
 * grpc-js stays inside: handlers see Buffers or decoded messages and a {@link CallContext}.
 */
export class RpcServer {
  readonly probe: RpcServerProbe = { calls: 0, callsFailed: 0, foreignErrors: 0 };
  readonly #options: RpcServerOptions;
  readonly #limits: RpcServerLimits;
  readonly #grpc: Server;
  readonly #gate = new LogGate(LOG_INTERVAL_MS);
  readonly #injectors: ConnectionInjector[] = [];
  #door: FrontDoor | null = null;
  #closing: Promise<void> | null = null;

  constructor(options: RpcServerOptions) {
    this.#options = options;
    this.#limits = { ...rpcServerLimits, ...options.limits };
    this.#grpc = new Server({
      'grpc.max_receive_message_length': this.#limits.receiveBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': this.#limits.callsPerConnectionMax,
      'grpc.max_connection_idle_ms': this.#limits.idleMs,
      'grpc.keepalive_time_ms': this.#limits.keepaliveMs,
      'grpc.keepalive_timeout_ms': this.#limits.keepaliveTimeoutMs,
      'grpc.enable_channelz': 0,
    });
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
    let added: boolean;
    switch (method.kind) {
      case 'unary':
        added = this.#grpc.register(method.path, this.#unary(method), same, same, 'unary');
        break;
      case 'server-stream':
        added = this.#grpc.register(
          method.path,
          this.#serverStream(method),
          same,
          same,
          'serverStream',
        );
        break;
      case 'bidi':
        added = this.#grpc.register(method.path, this.#bidi(method), same, same, 'bidi');
        break;
    }
    assert(added, `${method.path} is registered once`);
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
    const plain = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#injectors.push(plain);
    const secure = tls === null ? null : await this.#secureInjector(tls);
    tuneHttp2Servers(this.#grpc, this.#limits);
    const door = new FrontDoor({
      host,
      port,
      connectionsMax: this.#limits.connectionsMax,
      connectionsPerAddressMax: this.#limits.connectionsPerAddressMax,
      peekTimeoutMs: this.#limits.peekTimeoutMs,
      plain: (socket) => plain.injectConnection(socket),
      tls: secure === null ? null : (socket) => secure.injectConnection(socket),
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
    for (const injector of this.#injectors) injector.drain(graceMs);
    await this.#door?.closeConnections(graceMs);
    this.#grpc.forceShutdown();
  }

  async #secureInjector(source: TlsSource): Promise<ConnectionInjector> {
    const { certificate, key } = await loadCertificate(source);
    const credentials = ServerCredentials.createSsl(
      null,
      [{ cert_chain: certificate, private_key: key }],
      false,
    );
    const injector = this.#grpc.createConnectionInjector(credentials);
    this.#injectors.push(injector);
    return injector;
  }

  #unary(method: Extract<RawMethod, { kind: 'unary' }>) {
    const { path, handler } = method;
    return (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
      this.probe.calls++;
      try {
        const result = handler(call.request, new GrpcCallContext(path, call));
        if (Buffer.isBuffer(result)) {
          answer(null, result);
          return;
        }
        result.then(
          (bytes) => answer(null, bytes),
          (error: unknown) => answer(this.#statusOf(path, error)),
        );
      } catch (error) {
        answer(this.#statusOf(path, error));
      }
    };
  }

  #serverStream(method: Extract<RawMethod, { kind: 'server-stream' }>) {
    const { path, handler } = method;
    return (call: ServerWritableStream<Buffer, Buffer>): void => {
      this.probe.calls++;
      const refuse = (error: unknown): void => {
        if (!call.destroyed) call.emit('error', this.#statusOf(path, error));
      };
      try {
        handler(call.request, new ServerWriter(call), new GrpcCallContext(path, call)).then(() => {
          if (!call.destroyed) call.end();
        }, refuse);
      } catch (error) {
        refuse(error);
      }
    };
  }

  #bidi(method: Extract<RawMethod, { kind: 'bidi' }>) {
    const { path, handler } = method;
    return (call: ServerDuplexStream<Buffer, Buffer>): void => {
      this.probe.calls++;
      const stream = new ServerStream(call, (error) => {
        call.emit('error', this.#statusOf(path, error));
      });
      try {
        handler(stream, new GrpcCallContext(path, call));
      } catch (error) {
        stream.fail(error as Error);
      }
    };
  }

  /** The status that a failure becomes. What nobody planned for is logged here and nowhere else. */
  #statusOf(path: string, error: unknown): StatusAnswer {
    this.probe.callsFailed++;
    if (isRpcError(error))
      return { code: rpcStatus[error.status], details: statusDetails(error.message) };
    if (isMqError(error)) {
      const status = (this.#options.errorStatus ?? defaultErrorStatus)(error);
      return { code: rpcStatus[status], details: statusDetails(error.message) };
    }
    this.probe.foreignErrors++;
    if (isImpossible(error)) {
      process.nextTick(() => {
        throw error;
      });
    }
    const suppressed = this.#gate.pass(performance.now());
    if (suppressed !== null) {
      const stack = error instanceof Error ? error.stack : undefined;
      this.#options.logger.error(
        { path, error: errorText(error), stack, suppressed },
        'handler failed',
      );
    }
    return {
      code: rpcStatus.INTERNAL,
      details: 'the server failed in an unexpected way; its log says more',
    };
  }
}
