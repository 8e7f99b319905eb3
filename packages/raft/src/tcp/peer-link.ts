import { LogGate, type CancelTimer, type Clock, type Logger } from '@raftmq/base';
import { type Entry } from '../core/entry.js';
import { type Message, type NodeId } from '../core/types.js';
import { encodeHead, messageSizeBytes } from './codec.js';
import { closeReason, type Connection } from './connection.js';
import {
  decodeAnswer,
  encodeHello,
  encodeStanding,
  type HelloAnswer,
  type Identity,
} from './hello.js';
import { type PeerProbe } from './probe.js';

export interface PeerLinkOptions {
  readonly self: () => Identity;
  readonly peer: NodeId;
  /** Where the peer is now; null = not known yet. Asked before each attempt. */
  readonly address: () => string | null;
  readonly dial: (address: string) => Connection;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly probe: PeerProbe;
  /** Pauses between attempts, growing from the first to the second. */
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  /** The peer has to answer the hello within this time. */
  readonly helloTimeoutMs: number;
  /** Bytes that may wait for the peer; more is dropped. */
  readonly pendingBytesMax: number;
  /** The hello was accepted: messages flow. */
  readonly connected: (answer: HelloAnswer) => void;
  /** A connection that was up is gone. */
  readonly lost: () => void;
}

const LOG_INTERVAL_MS = 10_000;
const NO_ENTRIES: readonly Entry[] = [];

/**
 * The connection that this replica makes to one peer, made again whenever it breaks. What it sends is at most once and
 * in order while one connection lasts; nothing is kept over a break.
 */
export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #gate = new LogGate(LOG_INTERVAL_MS);
  #connection: Connection | null = null;
  #up = false;
  #session: string | null = null;
  #pauseMs: number;
  #cancelTimer: CancelTimer = () => undefined;
  #stopped = false;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.#pauseMs = options.reconnectMinMs;
  }

  get isConnected(): boolean {
    return this.#up;
  }

  /** Session of the process at the other end; null while not connected. */
  get session(): string | null {
    return this.#session;
  }

  /** Begins to dial. */
  start(): void {
    this.#dial();
  }

  send(message: Message): void {
    const { probe, pendingBytesMax } = this.#options;
    const connection = this.#connection;
    if (connection === null || !this.#up) {
      probe.droppedNotConnected++;
      return;
    }
    const size = messageSizeBytes(message);
    if (connection.pendingBytes + size > pendingBytesMax) {
      probe.droppedOverCap++;
      return;
    }
    probe.sentMessages++;
    probe.sentBytes += size;
    const entries = message.kind === 'append-request' ? message.entries : NO_ENTRIES;
    connection.send(encodeHead(message), entries);
  }

  /** This replica was admitted. A peer that is not connected hears of it by the next hello. */
  announce(admittedAt: number): void {
    if (this.#up) this.#connection?.send(encodeStanding(admittedAt), NO_ENTRIES);
  }

  /** The process at the other end is another one than we are connected to, as its own call told: do not wait. */
  peerRestarted(): void {
    if (this.#up) this.#connection?.close();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
    this.#connection?.close();
  }

  #dial(): void {
    const { self, peer, dial, clock, helloTimeoutMs } = this.#options;
    const address = this.#options.address();
    if (this.#stopped) return;
    if (address === null) {
      this.#retry();
      return;
    }
    const connection = dial(address);
    this.#connection = connection;
    this.#cancelTimer = clock.setTimer(helloTimeoutMs, () => connection.destroy());
    connection.listen({
      frame: (kind, control) => this.#answered(connection, kind, control),
      closed: (failure) => this.#closed(connection, failure),
    });
    connection.send(encodeHello(self(), peer), []);
  }

  #answered(connection: Connection, kind: number, control: Buffer): void {
    if (this.#up || connection !== this.#connection) return;
    const { logger, peer, probe } = this.#options;
    const answer = decodeAnswer(kind, control);
    if (answer.refused !== '') {
      probe.refused++;
      const suppressed = this.#gate.pass(this.#options.clock.monotonicMs());
      if (suppressed !== null)
        logger.error({ peer, reason: answer.refused, suppressed }, 'peer refused our connection');
      connection.close();
      return;
    }
    this.#cancelTimer();
    this.#up = true;
    this.#session = answer.session;
    this.#pauseMs = this.#options.reconnectMinMs;
    probe.connects++;
    logger.info({ peer, session: answer.session }, 'connected to peer');
    this.#options.connected(answer);
  }

  #closed(connection: Connection, failure: Error | null): void {
    if (connection !== this.#connection) return;
    this.#cancelTimer();
    this.#connection = null;
    const wasUp = this.#up;
    this.#up = false;
    this.#session = null;
    if (wasUp && !this.#stopped) {
      const { logger, peer } = this.#options;
      logger.warn({ peer, reason: closeReason(failure) }, 'connection to peer lost');
      this.#options.lost();
    }
    this.#retry();
  }

  #retry(): void {
    if (this.#stopped) return;
    this.#cancelTimer = this.#options.clock.setTimer(this.#pauseMs, () => this.#dial());
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#options.reconnectMaxMs);
  }
}
