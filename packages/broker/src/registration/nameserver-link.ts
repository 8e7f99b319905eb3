import { LogGate, type CancelTimer, type Clock, errorText, type Logger } from '@raftmq/base';
import { type BrokerRegistration, NAMESRV_SERVICE, type RegistrationAck } from '@raftmq/protocol';
import { RpcChannel, type RpcService, type RpcStream } from '@raftmq/rpc';

export interface NameserverLinkOptions {
  readonly address: string;
  readonly registration: () => BrokerRegistration;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly intervalMs: number;
}

type RegisterStream = RpcStream<RegistrationAck, BrokerRegistration>;

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
const KEEPALIVE_MS = 10_000;
const LOG_INTERVAL_MS = 30_000;

/** The Register stream to one NameServer, opened again whenever it breaks. */
export class NameserverLink {
  readonly #options: NameserverLinkOptions;
  readonly #channel: RpcChannel;
  readonly #service: RpcService;
  readonly #gate = new LogGate(LOG_INTERVAL_MS);
  #stream: RegisterStream | null = null;
  /** Topics version that the NameServer has from this stream. */
  #ackedVersion: number | null = null;
  #sentUnchanged = false;
  #registered = false;
  #retryMs = RETRY_MIN_MS;
  #cancelTimer: CancelTimer = () => undefined;
  #closed = false;

  constructor(options: NameserverLinkOptions) {
    this.#options = options;
    this.#channel = new RpcChannel({
      address: options.address,
      tls: null,
      keepaliveMs: KEEPALIVE_MS,
      keepaliveTimeoutMs: KEEPALIVE_MS,
      reconnectMinMs: RETRY_MIN_MS,
      reconnectMaxMs: RETRY_MAX_MS,
    });
    this.#service = this.#channel.service(NAMESRV_SERVICE);
  }

  /** Whether the NameServer took over the latest registration that it answered. */
  get isRegistered(): boolean {
    return this.#registered;
  }

  start(): void {
    if (this.#closed) return;
    const stream: RegisterStream = this.#service.bidi('Register', { deadlineMs: null });
    this.#stream = stream;
    this.#ackedVersion = null;
    stream.listen({
      message: (ack) => this.#acked(ack),
      ended: () => stream.end(),
      closed: (failure) => this.#lost(stream, failure),
    });
    this.send();
  }

  /** Registers now; without a stream, as soon as there is one. The next registration follows after the interval. */
  send(): void {
    const stream = this.#stream;
    if (stream === null || stream.closed) return;
    const registration = this.#options.registration();
    this.#sentUnchanged = registration.topicsVersion === this.#ackedVersion;
    stream.write(
      this.#sentUnchanged ? { ...registration, topics: [], topicsUnchanged: true } : registration,
    );
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.setTimer(this.#options.intervalMs, () => this.send());
  }

  close(): void {
    this.#closed = true;
    this.#registered = false;
    this.#cancelTimer();
    this.#stream?.end();
    this.#channel.close();
  }

  #acked({ topicsVersion, refused }: RegistrationAck): void {
    const { address, logger } = this.#options;
    if (refused === '') {
      if (!this.#registered) logger.info({ namesrv: address }, 'registered');
      this.#registered = true;
      this.#retryMs = RETRY_MIN_MS;
      this.#ackedVersion = topicsVersion;
      return;
    }
    this.#registered = false;
    this.#ackedVersion = null;
    this.#warn('registration refused', refused);
    // It may only miss the list that we left out; the second time it has everything, and its refusal stands.
    if (this.#sentUnchanged) this.send();
  }

  #lost(stream: RegisterStream, failure: Error | null): void {
    if (stream !== this.#stream || this.#closed) return;
    this.#stream = null;
    this.#registered = false;
    this.#cancelTimer();
    this.#warn(
      'not connected to a NameServer',
      failure === null ? 'it ended the stream' : errorText(failure),
    );
    this.#cancelTimer = this.#options.clock.setTimer(this.#retryMs, () => this.start());
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #warn(message: string, reason: string): void {
    const suppressed = this.#gate.pass(this.#options.clock.monotonicMs());
    if (suppressed === null) return;
    this.#options.logger.warn({ namesrv: this.#options.address, reason, suppressed }, message);
  }
}
