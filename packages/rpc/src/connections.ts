import { type Socket } from 'node:net';
import { errorText, LogGate, type Logger } from '@raftmq/base';
import { type Connection, type ConnectionHost } from './http2/connection.js';
import { FlushTurn } from './http2/flush-turn.js';
import { type ConnectionLimits, newConnectionProbe } from './http2/limits.js';
import { ByteBudget } from './http2/message-memory.js';
import { type ConnectionError } from './http2/protocol.js';
import { ServerConnection, type ServerHandlers } from './http2/server-connection.js';
import { isImpossible } from './status.js';
import { type ByteReceiver } from './visitor.js';

const LOG_INTERVAL_MS = 10_000;
/** Deadlines are kept to this, and all other times; smaller limits make it smaller. */
const TICK_MAX_MS = 100;
const TICK_MIN_MS = 10;

/** The HTTP/2 connections of a server: one clock and one turn for all of them. */
export class Connections implements ConnectionHost {
  readonly turn = new FlushTurn();
  readonly probe = newConnectionProbe();
  readonly partialMemory: ByteBudget;
  readonly handlers: ServerHandlers;
  readonly #limits: ConnectionLimits;
  readonly #logger: Logger;
  readonly #open = new Set<Connection>();
  readonly #gate = new LogGate(LOG_INTERVAL_MS);
  #timer: NodeJS.Timeout | null = null;
  #tickedMs = 0;
  #draining = false;

  /** @param partialBytesMax memory for requests that have not come in whole, over all connections */
  constructor(
    handlers: ServerHandlers,
    limits: ConnectionLimits,
    partialBytesMax: number,
    logger: Logger,
  ) {
    this.handlers = handlers;
    this.#limits = limits;
    this.partialMemory = new ByteBudget(partialBytesMax);
    this.#logger = logger;
  }

  /**
   * Serves a connection from now on.
   * @returns who gets its bytes
   */
  add(socket: Socket): ByteReceiver {
    // It would never say that it closed.
    if (socket.destroyed) return () => undefined;
    const nowMs = performance.now();
    const connection = new ServerConnection(socket, this, this.#limits, nowMs);
    this.#open.add(connection);
    if (this.#draining) connection.drain();
    this.#startTicking(nowMs);
    return (bytes) => connection.received(bytes);
  }

  #startTicking(nowMs: number): void {
    if (this.#timer !== null) return;
    const { idleMs, keepaliveMs, keepaliveTimeoutMs, openingMs } = this.#limits;
    const shortestMs = Math.min(idleMs, keepaliveMs, keepaliveTimeoutMs, openingMs);
    const tickMs = Math.max(TICK_MIN_MS, Math.min(TICK_MAX_MS, shortestMs / 4));
    this.#tickedMs = nowMs;
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#timer.unref();
  }

  /** Tells all clients to go. */
  drain(): void {
    this.#draining = true;
    for (const connection of this.#open) connection.drain();
  }

  #tick(): void {
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.#tickedMs;
    this.#tickedMs = nowMs;
    for (const connection of this.#open) connection.tick(nowMs, elapsedMs);
  }

  violated(connection: Connection, { code, message }: ConnectionError): void {
    this.#log({ peer: connection.peer, code, reason: message }, 'connection ended: protocol error');
  }

  crashed(connection: Connection, error: unknown): void {
    if (isImpossible(error)) {
      process.nextTick(() => {
        throw error;
      });
    }
    const stack = error instanceof Error ? error.stack : undefined;
    this.#logger.error(
      { peer: connection.peer, error: errorText(error), stack },
      'connection ended: the server failed in an unexpected way',
    );
  }

  left(connection: Connection): void {
    this.#open.delete(connection);
    if (this.#open.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #log(fields: Record<string, unknown>, message: string): void {
    const suppressed = this.#gate.pass(performance.now());
    if (suppressed !== null) this.#logger.warn({ ...fields, suppressed }, message);
  }
}
