import { connect as connectPlain, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { errorText, MqError } from '@raftmq/base';
import { AnswerStream } from './answer-stream.js';
import { type RpcStream, type StreamListener } from './call.js';
import { channelHost } from './channel-host.js';
import { type ClientCall } from './http2/client-call.js';
import { ClientConnection } from './http2/client-connection.js';
import { type ConnectionLimits } from './http2/limits.js';
import { WINDOW_BYTES_MAX } from './http2/protocol.js';
import { checkHeaders, type RequestHeaders } from './http2/request-encoder.js';
import { loadService, type ProtoMethod } from './load.js';
import { CodecStream } from './proto-method.js';
import { RpcError } from './status.js';

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

const NEVER_BEGUN = { neverBegun: true };
const NO_HEADERS: RequestHeaders = Object.freeze({});
/** Answer bytes that a call may have under way before we read. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
/** How long a server may take to accept a connection and to speak. */
const OPENING_MS = 20_000;
const RECONNECT_GROWTH = 1.6;
/** A pause is up to this much longer or shorter, so that clients do not come back all at once. */
const RECONNECT_JITTER = 0.2;

/**
 * A connection to one server, made at the first call and made again when it breaks. Calls wait while it is made; after a
 * failed attempt they fail at once, until it is time for the next. All failures of calls are {@link RpcError}. Messages
 * of any size are received. The owner closes it.
 */
export class RpcChannel {
  readonly address: string;
  readonly #tls: RpcChannelOptions['tls'];
  readonly #limits: ConnectionLimits;
  readonly #reconnectMinMs: number;
  readonly #reconnectMaxMs: number;
  readonly #host: string;
  readonly #port: number;
  /** For new calls; one that the server told us to leave ends by itself. */
  #connection: ClientConnection | null = null;
  /** The pause after the next failed attempt. */
  #pauseMs: number;
  #nextAttemptMs = 0;
  #lastFailure = '';
  #closed = false;

  constructor(options: RpcChannelOptions) {
    this.address = options.address;
    this.#tls = options.tls;
    const colon = options.address.lastIndexOf(':');
    this.#host = options.address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
    this.#port = Number(options.address.slice(colon + 1));
    this.#reconnectMinMs = options.reconnectMinMs ?? 100;
    this.#reconnectMaxMs = options.reconnectMaxMs ?? 5_000;
    this.#pauseMs = this.#reconnectMinMs;
    this.#limits = {
      messageBytesMax: Infinity,
      // Calls are held back one by one: one that nobody reads must not stop the others.
      connectionWindowBytes: WINDOW_BYTES_MAX,
      streamWindowBytes: STREAM_WINDOW_BYTES,
      streamsMax: 0,
      keepaliveMs: options.keepaliveMs ?? 60_000,
      keepaliveTimeoutMs: options.keepaliveTimeoutMs ?? 20_000,
      idleMs: Infinity,
      openingMs: OPENING_MS,
      partialBytesMax: Infinity,
      pendingBytesMax: Infinity,
    };
  }

  /** One request, one answer; bytes on both sides. The answer is a view that stays valid. */
  unary(path: string, request: Buffer, settings: CallSettings): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const call = this.#begin(path, settings, new UnaryAnswer(path, resolve, reject));
      call.write(request);
      call.end();
    });
  }

  /** One request, many answers; ends when the iterator ends, and is cancelled when the loop is left early. */
  serverStream(path: string, request: Buffer, settings: CallSettings): AsyncIterable<Buffer> {
    const answers = new AnswerStream();
    const call = this.#begin(path, settings, answers);
    answers.attach(call);
    call.write(request);
    call.end();
    return answers;
  }

  /** Messages in both directions. */
  bidi(path: string, settings: CallSettings): RpcStream<Buffer, Buffer> {
    try {
      return this.#begin(path, settings, null);
    } catch (error) {
      return new FailedStream(error as Error);
    }
  }

  /**
   * The methods of a service by name, on decoded messages.
   * @param serviceName in full, such as `raftmq.namesrv.v1.NameServer`
   */
  service(serviceName: string): RpcService {
    return new RpcService(this, serviceName, loadService(serviceName));
  }

  /** No more calls begin; the connection closes when those in progress have ended. */
  close(): void {
    this.#closed = true;
    this.#connection?.leave();
    this.#connection = null;
  }

  #begin(
    path: string,
    { deadlineMs, headers = NO_HEADERS, signal }: CallSettings,
    listener: StreamListener<Buffer> | null,
  ): ClientCall {
    checkHeaders(path, headers);
    const deadlineAtMs =
      deadlineMs === null ? Infinity : performance.now() + (deadlineMs - Date.now());
    const call = this.#usable().begin(path, headers, deadlineAtMs, listener);
    if (signal !== undefined) call.follow(signal);
    return call;
  }

  /** @throws RpcError UNAVAILABLE while it is no time for another attempt; CANCELLED when closed */
  #usable(): ClientConnection {
    if (this.#connection?.usable === true) return this.#connection;
    if (this.#closed) throw new RpcError('CANCELLED', 'the channel is closed', NEVER_BEGUN);
    const nowMs = performance.now();
    if (nowMs < this.#nextAttemptMs) {
      throw new RpcError('UNAVAILABLE', this.#lastFailure, NEVER_BEGUN);
    }
    try {
      this.#connection = this.#connect(nowMs);
    } catch (error) {
      // An address or a certificate that nothing can be done with.
      const details = `cannot connect to ${this.address}: ${errorText(error)}`;
      throw new RpcError('UNAVAILABLE', details, { ...NEVER_BEGUN, cause: error });
    }
    return this.#connection;
  }

  #connect(nowMs: number): ClientConnection {
    const buffer = channelHost.readBuffer;
    const onread: OnReadOpts = {
      buffer,
      callback: (sizeBytes) => {
        connection.received(buffer.subarray(0, sizeBytes));
        return true;
      },
    };
    const socket = this.#dial(onread);
    const connection: ClientConnection = new ClientConnection(
      socket,
      { address: this.address, scheme: this.#tls === null ? 'http' : 'https' },
      channelHost,
      this.#limits,
      nowMs,
      (reason) => this.#failed(connection, reason),
    );
    channelHost.joined(connection, nowMs);
    return connection;
  }

  #dial(onread: OnReadOpts): Socket {
    const target = { host: this.#host, port: this.#port, noDelay: true, onread };
    if (this.#tls === null) return connectPlain(target);
    const { verify, rootCertificates } = this.#tls;
    return connectTls({
      ...target,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: verify,
      ...(rootCertificates === undefined ? {} : { ca: rootCertificates }),
      // A name for the certificate; addresses may not stand there.
      ...(isIP(this.#host) === 0 ? { servername: this.#host } : {}),
    });
  }

  /** The connection is gone. One that was open may be made again at once. */
  #failed(connection: ClientConnection, reason: string): void {
    if (connection.opened) {
      this.#pauseMs = this.#reconnectMinMs;
      return;
    }
    this.#lastFailure = reason;
    const jitter = 1 + RECONNECT_JITTER * (2 * Math.random() - 1);
    this.#nextAttemptMs = performance.now() + this.#pauseMs * jitter;
    this.#pauseMs = Math.min(this.#reconnectMaxMs, this.#pauseMs * RECONNECT_GROWTH);
  }
}

/** A call that could not begin. */
class FailedStream implements RpcStream<Buffer, Buffer> {
  readonly pending = 0;
  readonly pendingBytes = 0;
  readonly closed = true;
  readonly #failure: Error;

  constructor(failure: Error) {
    this.#failure = failure;
  }

  listen(listener: StreamListener<Buffer>): void {
    // As with all other failures, not within the call of the listener's owner.
    queueMicrotask(() => listener.closed(this.#failure));
  }

  write(): boolean {
    return false;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  pause(): void {
    // Nothing comes.
  }

  resume(): void {
    // Nothing waits.
  }

  end(): void {
    // It is over.
  }

  fail(): void {
    // It is over.
  }
}

/** The one answer of a call. */
class UnaryAnswer implements StreamListener<Buffer> {
  readonly #path: string;
  readonly #resolve: (answer: Buffer) => void;
  readonly #reject: (error: Error) => void;
  #answer: Buffer | null = null;

  constructor(path: string, resolve: (answer: Buffer) => void, reject: (error: Error) => void) {
    this.#path = path;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  message(message: Buffer): void {
    if (this.#answer !== null) {
      throw new RpcError('INTERNAL', `${this.#path} has one answer, and more came`);
    }
    this.#answer = message;
  }

  closed(failure: Error | null): void {
    if (failure !== null) this.#reject(failure);
    else if (this.#answer !== null) this.#resolve(this.#answer);
    else this.#reject(new RpcError('INTERNAL', `${this.#path} ended without its answer`));
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
