import { RpcChannel, type RpcChannelOptions } from '../channel.js';
import { RawServer } from '../http2/testing/raw-server.js';
import { settingsFrame } from '../http2/settings.js';

/** What a test opens, closed after it in reverse order: `afterEach(() => opened.close())`. */
export class Opened {
  readonly #closers: (() => Promise<unknown> | void)[] = [];

  add(close: () => Promise<unknown> | void): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  channelTo(address: string, options: Partial<RpcChannelOptions> = {}): RpcChannel {
    const channel = new RpcChannel({ address, tls: null, ...options });
    this.add(() => channel.close());
    return channel;
  }

  async rawServer(): Promise<RawServer> {
    const server = await RawServer.start();
    this.add(() => server.close());
    return server;
  }

  /** A server of single frames, and a channel to it. */
  async rawPair(
    greeting: Buffer = settingsFrame([]),
  ): Promise<{ server: RawServer; channel: RpcChannel }> {
    const server = await this.rawServer();
    server.greeting = greeting;
    return { server, channel: this.channelTo(server.address) };
  }
}

/** A call whose answer does not matter. */
export function rawCall(channel: RpcChannel, body = 'x'): Promise<Buffer> {
  return channel.unary('/t/Echo', Buffer.from(body), { deadlineMs: null });
}
