import {
  Client,
  credentials,
  Metadata,
  status as grpcStatus,
  type CallOptions,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { MqError } from '@raftmq/base';
import { type RpcStream } from './call.js';
import { ClientStream } from './client-call.js';
import { loadService, type ProtoMethod } from './load.js';
import { CodecStream } from './proto-method.js';
import { RpcError, rpcStatusName } from './status.js';

export interface RpcChannelOptions {
  /** `host:port`; IPv6 in brackets. */
  readonly address: string;
  /** null = plaintext. `verify: false` accepts any certificate, as RocketMQ's clients do. */
  readonly tls: { readonly verify: boolean; readonly rootCertificates?: Buffer } | null;
  /** After this long the server is asked for a sign of life; default 60 s. Given up after the second time, 20 s. */
  readonly keepaliveMs?: number;
  readonly keepaliveTimeoutMs?: number;
  /** Pauses between attempts to connect. Default 100 ms, growing to 5 s. */
  readonly reconnectMinMs?: number;
  readonly reconnectMaxMs?: number;
}

export interface CallSettings {
  /** Wall-clock time at which the call fails with DEADLINE_EXCEEDED; null = never. */
  readonly deadlineMs: number | null;
  /** Text headers, lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
}

const same = (bytes: Buffer): Buffer => bytes;
const noHeaders = new Metadata();

/** Answer bytes that a connection, and each call on it, may have under way before we read. */
const WINDOW_BYTES = 4 * 1024 * 1024;

/**
 * A connection to one server, made at the first call and made again when it breaks. All failures of calls are
 * {@link RpcError}. Messages of any size are received. The owner closes it.
 */
export class RpcChannel {
  readonly address: string;
  readonly #client: Client;
  #closed = false;

  constructor(options: RpcChannelOptions) {
    this.address = options.address;
    const { tls } = options;
    const channelCredentials =
      tls === null
        ? credentials.createInsecure()
        : credentials.createSsl(tls.rootCertificates ?? null, null, null, {
            rejectUnauthorized: tls.verify,
          });
    this.#client = new Client(options.address, channelCredentials, {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': options.keepaliveMs ?? 60_000,
      'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs ?? 20_000,
      'grpc.initial_reconnect_backoff_ms': options.reconnectMinMs ?? 100,
      'grpc.max_reconnect_backoff_ms': options.reconnectMaxMs ?? 5_000,
      // Each channel owns its connection: closing one must not touch another of the same address.
      'grpc.use_local_subchannel_pool': 1,
      'grpc-node.flow_control_window': WINDOW_BYTES,
      'grpc.enable_retries': 0,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_channelz': 0,
      'grpc.service_config_disable_resolution': 1,
    });
  }

  /** One request, one answer; bytes on both sides. The answer is a view that stays valid. */
  unary(path: string, request: Buffer, settings: CallSettings): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new RpcError('CANCELLED', 'the channel is closed'));
        return;
      }
      const { signal } = settings;
      let abort: (() => void) | null = null;
      const call = this.#client.makeUnaryRequest(
        path,
        same,
        same,
        request,
        headersOf(settings),
        optionsOf(settings),
        (error, answer) => {
          if (abort !== null) signal?.removeEventListener('abort', abort);
          if (error !== null) reject(toRpcError(error));
          else resolve(answer!);
        },
      );
      if (signal !== undefined) {
        abort = () => call.cancel();
        if (signal.aborted) abort();
        else signal.addEventListener('abort', abort, { once: true });
      }
    });
  }

  /** One request, many answers; ends when the iterator ends, and is cancelled when the loop is left early. */
  serverStream(path: string, request: Buffer, settings: CallSettings): AsyncIterable<Buffer> {
    if (this.#closed) throw new RpcError('CANCELLED', 'the channel is closed');
    const call = this.#client.makeServerStreamRequest(
      path,
      same,
      same,
      request,
      headersOf(settings),
      optionsOf(settings),
    );
    followSignal(call, settings.signal);
    return iterate(call);
  }

  /** Messages in both directions. */
  bidi(path: string, settings: CallSettings): RpcStream<Buffer, Buffer> {
    if (this.#closed) throw new RpcError('CANCELLED', 'the channel is closed');
    const call = this.#client.makeBidiStreamRequest(
      path,
      same,
      same,
      headersOf(settings),
      optionsOf(settings),
    );
    followSignal(call, settings.signal);
    return new ClientStream(call);
  }

  /**
   * The methods of a service by name, on decoded messages.
   * @param serviceName in full, such as `raftmq.namesrv.v1.NameServer`
   */
  service(serviceName: string): RpcService {
    return new RpcService(this, serviceName, loadService(serviceName));
  }

  /** Gives the connection up; calls in progress fail. */
  close(): void {
    this.#closed = true;
    this.#client.close();
  }
}

/** A service seen from its caller. What the messages look like is the caller's knowledge; nothing checks it. */
export class RpcService {
  readonly #channel: RpcChannel;
  readonly #name: string;
  readonly #methods: ReadonlyMap<string, ProtoMethod>;

  constructor(channel: RpcChannel, name: string, methods: ReadonlyMap<string, ProtoMethod>) {
    this.#channel = channel;
    this.#name = name;
    this.#methods = methods;
  }

  /** @throws RpcError as the call ended; INTERNAL when the answer cannot be decoded */
  async unary<Response extends object>(
    method: string,
    request: object,
    settings: CallSettings,
  ): Promise<Response> {
    const { path, request: out, response } = this.#method(method);
    return response.decode(
      await this.#channel.unary(path, out.encode(request), settings),
    ) as Response;
  }

  async *serverStream<Response extends object>(
    method: string,
    request: object,
    settings: CallSettings,
  ): AsyncGenerator<Response, void, void> {
    const { path, request: out, response } = this.#method(method);
    for await (const bytes of this.#channel.serverStream(path, out.encode(request), settings)) {
      yield response.decode(bytes) as Response;
    }
  }

  bidi<In extends object, Out extends object>(
    method: string,
    settings: CallSettings,
  ): RpcStream<In, Out> {
    const { path, request, response } = this.#method(method);
    return new CodecStream<In, Out>(
      this.#channel.bidi(path, settings),
      response as never,
      request as never,
    );
  }

  #method(name: string): ProtoMethod {
    const method = this.#methods.get(name);
    if (method === undefined)
      throw new MqError('CONFIG_INVALID', `${this.#name} has no method ${name}`);
    return method;
  }
}

function headersOf(settings: CallSettings): Metadata {
  if (settings.headers === undefined) return noHeaders;
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(settings.headers)) metadata.set(name, value);
  return metadata;
}

function optionsOf(settings: CallSettings): CallOptions {
  return settings.deadlineMs === null ? {} : { deadline: settings.deadlineMs };
}

function followSignal(
  call: ClientReadableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>,
  signal: AbortSignal | undefined,
): void {
  if (signal === undefined) return;
  const abort = (): void => call.cancel();
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  // 'close' waits for a reader that takes everything; the status always comes.
  const forget = (): void => signal.removeEventListener('abort', abort);
  call.once('status', forget);
  call.once('close', forget);
}

async function* iterate(call: ClientReadableStream<Buffer>): AsyncGenerator<Buffer, void, void> {
  let finished = false;
  // An error that comes when nobody reads any more (the loop was left) must not become an uncaught one.
  call.on('error', () => undefined);
  try {
    for await (const message of call) yield message as Buffer;
    finished = true;
  } catch (error) {
    finished = true;
    throw toRpcError(error as ServiceError);
  } finally {
    if (!finished) call.cancel();
  }
}

function toRpcError(error: ServiceError | Error): RpcError {
  if ('code' in error && typeof error.code === 'number') {
    return new RpcError(
      rpcStatusName(error.code),
      error.details === '' ? error.message : error.details,
      { cause: error },
    );
  }
  return new RpcError(rpcStatusName(grpcStatus.INTERNAL), error.message, { cause: error });
}
