import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { errorText, LogGate, MqError, type Logger } from '@raftmq/base';

/** Takes over a connection, with what came on it so far. */
export type TakeConnection = (socket: Socket, received: Buffer) => void;

export interface FrontDoorOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Open connections in all, and per address; more are closed at once. */
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  /** A connection that has not shown its protocol by then is closed. */
  readonly peekTimeoutMs: number;
  readonly plain: TakeConnection;
  /** null = TLS is not offered. */
  readonly tls: TakeConnection | null;
  readonly logger: Logger;
}

/** Counters of a door; read at scrape. */
export interface FrontDoorProbe {
  accepted: number;
  refusedOverLimit: number;
  /** First bytes were neither HTTP/2 nor TLS, or none came in time. */
  refusedProtocol: number;
}

const TLS_HANDSHAKE = 0x16;
const HTTP2_PREFACE_START = 'PRI';
const LOG_INTERVAL_MS = 10_000;

/**
 * One listening port for TLS and plaintext HTTP/2: looks at the first byte of each connection and gives it away. 0x16 starts a TLS record, `PRI` the HTTP/2 preface; anything else is closed without an answer.
 */
export class FrontDoor {
  readonly probe: FrontDoorProbe = { accepted: 0, refusedOverLimit: 0, refusedProtocol: 0 };
  readonly #options: FrontDoorOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #perAddress = new Map<string, number>();
  readonly #gate = new LogGate(LOG_INTERVAL_MS);
  #port: number;
  #whenEmpty: (() => void) | null = null;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
    this.#server.on('connection', (socket) => this.#arrived(socket));
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

  #arrived(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const here = this.#perAddress.get(address) ?? 0;
    if (
      this.#sockets.size >= this.#options.connectionsMax ||
      here >= this.#options.connectionsPerAddressMax
    ) {
      this.probe.refusedOverLimit++;
      this.#log('too many connections', { address, open: this.#sockets.size, fromAddress: here });
      socket.destroy();
      return;
    }
    this.probe.accepted++;
    this.#sockets.add(socket);
    this.#perAddress.set(address, here + 1);
    socket.on('close', () => this.#left(socket, address));
    // Stays for the life of the connection: a reset between two owners must not become an uncaught error.
    socket.on('error', () => undefined);
    this.#peek(socket);
  }

  #left(socket: Socket, address: string): void {
    this.#sockets.delete(socket);
    const rest = (this.#perAddress.get(address) ?? 1) - 1;
    if (rest === 0) this.#perAddress.delete(address);
    else this.#perAddress.set(address, rest);
    if (this.#sockets.size === 0) this.#whenEmpty?.();
  }

  #peek(socket: Socket): void {
    const timer = setTimeout(
      () => this.#refuse(socket, 'sent nothing'),
      this.#options.peekTimeoutMs,
    );
    timer.unref();
    const done = (): void => {
      clearTimeout(timer);
      socket.removeListener('readable', look);
      socket.removeListener('close', done);
    };
    let seen: Buffer = Buffer.alloc(0);
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const take = this.#recognise(seen);
      if (take === 'more') return;
      done();
      if (take === null) {
        this.#refuse(socket, 'speaks neither HTTP/2 nor TLS');
        return;
      }
      take(socket, seen);
    };
    socket.on('readable', look);
    socket.on('close', done);
  }

  #recognise(seen: Buffer): TakeConnection | 'more' | null {
    if (seen[0] === TLS_HANDSHAKE) return this.#options.tls;
    const start = seen.toString('latin1', 0, HTTP2_PREFACE_START.length);
    if (!HTTP2_PREFACE_START.startsWith(start)) return null;
    return start === HTTP2_PREFACE_START ? this.#options.plain : 'more';
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
