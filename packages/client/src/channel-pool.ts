import { MqError } from '@raftmq/base';
import { RpcChannel } from '@raftmq/rpc';
import { clientLimits, type CompiledClientOptions } from './options.js';

/**
 * One connection per address, made on demand, and the memory of which addresses failed lately.
 * Not a load balancer: callers say in which order they like the addresses, failed ones just come last.
 */
export class ChannelPool {
  readonly #options: CompiledClientOptions;
  readonly #channels = new Map<string, RpcChannel>();
  /** Address to the time, on the monotonic clock, until which it is tried last. */
  readonly #isolated = new Map<string, number>();
  #closed = false;

  constructor(options: CompiledClientOptions) {
    this.#options = options;
  }

  /** @throws MqError PRECONDITION_FAILED after `close`, TOO_MANY_REQUESTS beyond the limit of connections */
  channel(address: string): RpcChannel {
    const known = this.#channels.get(address);
    if (known !== undefined) return known;
    if (this.#closed) throw new MqError('PRECONDITION_FAILED', 'the client is closed');
    if (this.#channels.size >= clientLimits.channelsMax) {
      throw new MqError(
        'TOO_MANY_REQUESTS',
        `one client keeps ${clientLimits.channelsMax} connections at most; use a client per cluster`,
      );
    }
    const channel = new RpcChannel({ address, tls: this.#options.tls, reconnectMaxMs: 1_000 });
    this.#channels.set(address, channel);
    return channel;
  }

  /** The addresses with those that failed lately at the end; order is kept otherwise. */
  preferred(addresses: readonly string[]): readonly string[] {
    if (this.#isolated.size === 0) return addresses;
    const now = performance.now();
    const healthy = addresses.filter((address) => (this.#isolated.get(address) ?? 0) <= now);
    if (healthy.length === addresses.length) return addresses;
    return [...healthy, ...addresses.filter((address) => !healthy.includes(address))];
  }

  isIsolated(address: string): boolean {
    return (this.#isolated.get(address) ?? 0) > performance.now();
  }

  /** The address failed: it is tried last for a while. */
  isolate(address: string): void {
    this.#isolated.set(address, performance.now() + clientLimits.isolationMs);
  }

  /** The address answered. */
  restore(address: string): void {
    this.#isolated.delete(address);
  }

  close(): void {
    this.#closed = true;
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }
}
