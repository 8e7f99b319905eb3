import { errorText, type Logger } from '@raftmq/base';
import {
  decodeRecoverOrphanedTransaction,
  type OrphanedTransaction,
  statusCode,
} from '@raftmq/protocol';
import { type RpcStream } from '@raftmq/rpc';
import { type MessagingRpc, type TelemetryCommand, telemetryCodec } from './messaging-rpc.js';
import { clientLimits } from './options.js';
import { type WireSettings } from './settings.js';

/** Where a session gets its settings from and brings the server's to. */
export interface TelemetryOwner {
  /** Our settings as they are now. */
  settings(): object;
  received(settings: WireSettings): void;
  /** The broker asks what became of a transaction. */
  orphaned(orphan: OrphanedTransaction): void;
}

/**
 * The Telemetry stream to one broker: says who we are, hears what the server decides. A stream that ends is opened
 * again after a second, at the next address if there are several. Commands other than settings and questions about
 * transactions ask for abilities that this client does not claim, and are passed over.
 */
export class TelemetrySession {
  readonly #rpc: MessagingRpc;
  readonly #owner: TelemetryOwner;
  readonly #logger: Logger;
  #addresses: readonly string[];
  #stream: RpcStream<Buffer, Buffer> | null = null;
  #reopen: NodeJS.Timeout | null = null;
  #stopped = false;
  #settled: () => void = () => undefined;
  /** Resolves at the first settings of the server, or at its first refusal. */
  readonly firstAnswer: Promise<void>;

  constructor(
    rpc: MessagingRpc,
    addresses: readonly string[],
    owner: TelemetryOwner,
    logger: Logger,
  ) {
    this.#rpc = rpc;
    this.#addresses = addresses;
    this.#owner = owner;
    this.#logger = logger;
    this.firstAnswer = new Promise((resolve) => (this.#settled = resolve));
  }

  /** The addresses changed; the stream stays where it is. */
  moveTo(addresses: readonly string[]): void {
    this.#addresses = addresses;
  }

  open(): void {
    const address = this.#rpc.pool.preferred(this.#addresses)[0];
    if (this.#stopped || address === undefined) return;
    try {
      const stream = this.#rpc.telemetry(address);
      this.#stream = stream;
      stream.listen({
        message: (bytes) => this.#onCommand(bytes),
        closed: (failure) => this.#onClosed(address, failure),
      });
      this.sync();
    } catch (error) {
      this.#onClosed(address, error as Error);
    }
  }

  /** Sends our settings (again). */
  sync(): void {
    this.#stream?.write(telemetryCodec().encode({ settings: this.#owner.settings() }));
  }

  stop(): void {
    this.#stopped = true;
    if (this.#reopen !== null) clearTimeout(this.#reopen);
    this.#stream?.end();
    this.#stream = null;
    this.#settled();
  }

  #onCommand(bytes: Buffer): void {
    let command: TelemetryCommand;
    try {
      const orphan = decodeRecoverOrphanedTransaction(bytes);
      if (orphan !== null) return this.#owner.orphaned(orphan);
      command = telemetryCodec().decode(bytes);
    } catch (error) {
      this.#logger.warn({ error: errorText(error) }, 'telemetry command not understood');
      return;
    }
    const { status, settings } = command;
    if (status !== null && status !== undefined && status.code !== statusCode.OK) {
      this.#logger.warn({ code: status.code, text: status.message }, 'settings refused');
    } else if (settings !== null && settings !== undefined) {
      this.#owner.received(settings);
    }
    this.#settled();
  }

  #onClosed(address: string, failure: Error | null): void {
    this.#stream = null;
    if (this.#stopped) return;
    if (failure !== null) {
      this.#rpc.pool.isolate(address);
      this.#logger.debug({ address, error: failure.message }, 'telemetry stream ended');
    }
    this.#reopen = setTimeout(() => this.open(), clientLimits.telemetryReopenMs).unref();
  }
}
