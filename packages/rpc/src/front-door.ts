import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { errorText, LogGate, MqError, type Logger } from '@raftmq/base';
import { type TakePlain, type TakeTls, Visitor } from './visitor.js';

export interface FrontDoorOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Open connections in all, and per address; more are closed at once. */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** A connection that has not shown its protocol by then is closed. */
  readonly peekTimeoutMs: number;
  readonly plain: TakePlain;
  /** null = TLS is not offered. */
  readonly tls: TakeTls | null;
  readonly logger: Logger;
}

/** Counters of a door; read at scrape. */
export interface FrontDoorProbe {
  accepted: number;
  refusedOverLimit: number;
  /** First bytes were neither HTTP/2 nor TLS, or none came in time. */
  refusedProtocol: number;
}

const LOG_INTERVAL_MS = 10_000;
/** All plaintext connections are read into one buffer, one after the other. */
const READ_BYTES = 256 * 1024;

/**
 * One listening port for TLS and plaintext HTTP/2: looks at the first byte of each connection and gives it away. 0x16 starts a TLS record, `PRI` the HTTP/2 preface; anything else is closed without an answer.
 */
export class FrontDoor {
  readonly probe: FrontDoorProbe = { accepted: 0, refusedOverLimit: 0, refusedProtocol: 0 };
  readonly #options: FrontDoorOptions;
  readonly #server: Server;
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  readonly #sockets = new Set<Socket>();
  readonly #perAddress = new Map<string, number>();
  readonly #gate = new LogGate(LOG_INTERVAL_MS);
  #port: number;
  #whenEmpty: (() => void) | null = null;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#server = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      pauseOnConnect: true,
    });
    this.#server.on('connection', (accepted) => this.#arrived(accepted));
  }

  /** Connections open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** The port that it listens on, or listened on; as configured before `listen`. */
  get port(): number {
    return this.#port;
  }

  /** @throws MqError CONFIG_INVALID when the port is taken or the address is not ours */
  listen(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        const hint = 'choose another port or stop the process that uses it';
        reject(
          new MqError(
            'CONFIG_INVALID',
            `cannot listen on ${host}:${port}: ${errorText(error)}; ${hint}`,
            { cause: error },
          ),
        );
      };
      this.#server.once('error', failed);
      this.#server.listen({ host, port, backlog: 1024 }, () => {
        this.#port = (this.#server.address() as AddressInfo).port;
        this.#server.removeListener('error', failed);
        // Running out of file descriptors must not end the process: what is open goes on.
        this.#server.on('error', (error) =>
          this.#log('cannot accept connections', { error: errorText(error) }),
        );
        resolve();
      });
    });
  }

  /** Accepts no more. */
  stopAccepting(): void {
    this.#server.close();
  }

  /** Resolves when all connections are closed, those still open after `graceMs` by force. */
  async closeConnections(graceMs: number): Promise<void> {
    if (this.#sockets.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        for (const socket of this.#sockets) socket.destroy();
      }, graceMs);
      this.#whenEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #arrived(accepted: Socket): void {
    const address = accepted.remoteAddress ?? '';
    const here = this.#perAddress.get(address) ?? 0;
    if (
      this.#sockets.size >= this.#options.connectionsMax ||
      here >= this.#options.connectionsPerAddressMax
    ) {
      this.probe.refusedOverLimit++;
      this.#log('too many connections', { address, open: this.#sockets.size, fromAddress: here });
      accepted.destroy();
      return;
    }
    this.probe.accepted++;
    this.#perAddress.set(address, here + 1);
    const visitor = new Visitor(accepted, this.#buffer, {
      timeoutMs: this.#options.peekTimeoutMs,
      plain: this.#options.plain,
      tls: this.#options.tls,
      refuse: (socket, reason) => this.#refuse(socket, reason),
    });
    const { socket } = visitor;
    this.#sockets.add(socket);
    socket.on('close', () => this.#left(socket, address));
    // Stays for the life of the connection: a reset between two owners must not become an uncaught error.
    socket.on('error', () => undefined);
  }

  #left(socket: Socket, address: string): void {
    this.#sockets.delete(socket);
    const rest = (this.#perAddress.get(address) ?? 1) - 1;
    if (rest === 0) this.#perAddress.delete(address);
    else this.#perAddress.set(address, rest);
    if (this.#sockets.size === 0) this.#whenEmpty?.();
  }

  #refuse(socket: Socket, reason: string): void {
    this.probe.refusedProtocol++;
    this.#log('connection refused', { address: socket.remoteAddress ?? '', reason });
    socket.destroy();
  }

  #log(message: string, fields: Record<string, unknown>): void {
    const suppressed = this.#gate.pass(performance.now());
    if (suppressed !== null) this.#options.logger.warn({ ...fields, suppressed }, message);
  }
}
