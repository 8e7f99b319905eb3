import { createServer } from 'node:net';
import { MqError } from '@raftmq/base';

/** The ports of one broker of a development cluster. */
export interface BrokerPorts {
  readonly grpc: number;
  readonly remoting: number;
  readonly raft: number;
  readonly metrics: number;
}

/** Says whether a port of this host can be listened on. */
export type PortProbe = (port: number) => Promise<boolean>;

const REMOTING_BASE = 10_911;
const RAFT_BASE = 10_912;
/** Remoting and Raft share a neighbourhood, so blocks keep a distance there. */
const CLASSIC_STRIDE = 10;
const METRICS_BASE = 5_557;
const BLOCKS_MAX = 500;
/** "Any" ports come from below the range that the kernel hands to outgoing connections. */
const ANY_FROM = 15_000;
const ANY_THROUGH = 31_999;
const PORT_MAX = 65_535;

/** Hands out ports that are free now, none twice. */
export class PortAllocator {
  readonly #isFree: PortProbe;
  readonly #random: () => number;
  readonly #taken = new Set<number>();

  constructor(isFree: PortProbe, random: () => number) {
    this.#isFree = isFree;
    this.#random = random;
  }

  /**
   * The ports of the next broker: the first free block from `grpcBase` on, all four ports one step further per block.
   * With `grpcBase` 0 all four are any free ports.
   * @throws MqError CONFIG_INVALID when no block is free
   */
  async brokerPorts(grpcBase: number): Promise<BrokerPorts> {
    if (grpcBase === 0) {
      return {
        grpc: await this.any(),
        remoting: await this.any(),
        raft: await this.any(),
        metrics: await this.any(),
      };
    }
    for (let block = 0; block < BLOCKS_MAX; block++) {
      const ports = {
        grpc: grpcBase + block,
        remoting: REMOTING_BASE + block * CLASSIC_STRIDE,
        raft: RAFT_BASE + block * CLASSIC_STRIDE,
        metrics: METRICS_BASE + block,
      };
      if (await this.#take([ports.grpc, ports.remoting, ports.raft, ports.metrics])) return ports;
    }
    throw new MqError(
      'CONFIG_INVALID',
      `no free block of ports from ${grpcBase} on; choose another --grpc-port, or 0 for any`,
    );
  }

  /** `base` or the next free port behind it; 0 = any. */
  async next(base: number): Promise<number> {
    if (base === 0) return this.any();
    for (let port = base; port < Math.min(base + BLOCKS_MAX, PORT_MAX); port++) {
      if (await this.#take([port])) return port;
    }
    throw new MqError('CONFIG_INVALID', `no free port from ${base} on; use 0 for any`);
  }

  /** The metrics port of a node that is no broker. */
  metricsPort(any: boolean): Promise<number> {
    return any ? this.any() : this.next(METRICS_BASE);
  }

  /** Any free port. */
  async any(): Promise<number> {
    for (let attempt = 0; attempt < BLOCKS_MAX; attempt++) {
      const port = ANY_FROM + Math.floor(this.#random() * (ANY_THROUGH - ANY_FROM + 1));
      if (await this.#take([port])) return port;
    }
    throw new MqError('CONFIG_INVALID', 'no free port was found; end other programs that listen');
  }

  async #take(ports: readonly number[]): Promise<boolean> {
    if (ports.some((port) => port > PORT_MAX || this.#taken.has(port))) return false;
    const free = await Promise.all(ports.map((port) => this.#isFree(port)));
    if (!free.every(Boolean)) return false;
    for (const port of ports) this.#taken.add(port);
    return true;
  }
}

/** Whether `port` of the loopback address can be listened on now. */
export function loopbackPortIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}
