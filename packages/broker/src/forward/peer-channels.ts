import { RpcChannel } from '@raftmq/rpc';

/** Connections to other brokers by address, made at first use and kept. The owner closes them. */
export class PeerChannels {
  readonly #channels = new Map<string, RpcChannel>();

  /** @param address `host:port` of a broker's gRPC port */
  to(address: string): RpcChannel {
    let channel = this.#channels.get(address);
    if (channel === undefined) {
      // A broker that restarts is back within a second: do not let the pauses between attempts grow beyond that.
      channel = new RpcChannel({ address, tls: null, reconnectMinMs: 50, reconnectMaxMs: 500 });
      this.#channels.set(address, channel);
    }
    return channel;
  }

  /** Gives up connections to brokers that are in no route any more. */
  retain(addresses: ReadonlySet<string>): void {
    for (const [address, channel] of this.#channels) {
      if (addresses.has(address)) continue;
      channel.close();
      this.#channels.delete(address);
    }
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }
}
