import { type Socket } from 'node:net';
import { errorText, LogGate, type Logger } from '@raftmq/base';
import { type Connection, type ConnectionHost } from './http2/connection.js';
import { FlushTurn } from './http2/flush-turn.js';
import { ConnectionClock } from './http2/connection-clock.js';
import { type ConnectionLimits, newConnectionProbe } from './http2/limits.js';
import { ByteBudget } from './http2/message-memory.js';
import { type ConnectionError } from './http2/protocol.js';
import { ServerConnection, type ServerHandlers } from './http2/server-connection.js';
import { isImpossible } from './status.js';
import { type ByteReceiver } from './visitor.js';

const LOG_INTERVAL_MS = 10_000;
/** Deadlines are kept to this. */
const DEADLINE_GRAIN_MS = 100;
/** All other times are kept to this; smaller limits make it smaller. */
const TICK_MAX_MS = 1_000;
const TICK_MIN_MS = 10;

/** The HTTP/2 connections of a server: one clock and one turn for all of them. */
export class Connections implements ConnectionHost {
  readonly turn = new FlushTurn();
  readonly probe = newConnectionProbe();
  readonly partialMemory: ByteBudget;
  readonly handlers: ServerHandlers;
  readonly #limits: ConnectionLimits;
  readonly #logger: Logger;
  readonly #clock: ConnectionClock;
  readonly #open = new Set<ServerConnection>();
  readonly #gate = new LogGate(LOG_INTERVAL_MS);
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
    const { idleMs, keepaliveMs, keepaliveTimeoutMs, openingMs } = limits;
    const shortestMs = Math.min(idleMs, keepaliveMs, keepaliveTimeoutMs, openingMs);
    const restMs = Math.max(TICK_MIN_MS, Math.min(TICK_MAX_MS, shortestMs / 4));
    this.#clock = new ConnectionClock(restMs, DEADLINE_GRAIN_MS);
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
    this.#clock.add(connection, nowMs);
    return (bytes) => connection.received(bytes);
  }

  due(atMs: number): void {
    this.#clock.due(atMs);
  }

  /** Tells all clients to go. */
  drain(): void {
    this.#draining = true;
    for (const connection of this.#open) connection.drain();
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
    this.#open.delete(connection as ServerConnection);
    this.#clock.delete(connection);
  }

  #log(fields: Record<string, unknown>, message: string): void {
    const suppressed = this.#gate.pass(performance.now());
    if (suppressed !== null) this.#logger.warn({ ...fields, suppressed }, message);
  }
}
