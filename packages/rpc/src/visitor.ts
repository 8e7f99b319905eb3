import { type Socket } from 'node:net';
import { adoptSocket } from './adopted-socket.js';

/** Gets the bytes of a connection; they are valid during the call only. */
export type ByteReceiver = (bytes: Buffer) => void;

/** Takes over a plaintext connection, and says who gets its bytes, those included that came already. */
export type TakePlain = (socket: Socket) => ByteReceiver;

/** Takes over a TLS connection whose first bytes were put back unread. */
export type TakeTls = (socket: Socket) => void;

/** What becomes of a connection. */
export interface VisitorOptions {
  /** It has to show its protocol within this time. */
  readonly timeoutMs: number;
  readonly plain: TakePlain;
  /** null = TLS is not offered. */
  readonly tls: TakeTls | null;
  /** Nobody takes it. */
  readonly refuse: (socket: Socket, reason: string) => void;
}

const TLS_HANDSHAKE = 0x16;
const HTTP2_PREFACE_START = 'PRI';

/** A connection that has just arrived, until its first bytes say who gets it. */
export class Visitor {
  readonly socket: Socket;
  readonly #options: VisitorOptions;
  readonly #timer: NodeJS.Timeout;
  /** Bytes that do not say enough yet; never more than the start of a preface. */
  #seen: Buffer = Buffer.alloc(0);
  #receiver: ByteReceiver | null = null;
  #gone = false;

  /**
   * @param accepted paused, nothing was read from it
   * @param buffer to read into; others use it too
   */
  constructor(accepted: Socket, buffer: Buffer, options: VisitorOptions) {
    this.#options = options;
    const adopted = adoptSocket(accepted, buffer, (sizeBytes) =>
      this.#received(buffer.subarray(0, sizeBytes)),
    );
    this.socket = adopted ?? accepted;
    if (adopted === null) accepted.on('data', this.#readable).resume();
    this.#timer = setTimeout(() => this.#refuse('sent nothing'), options.timeoutMs);
    this.#timer.unref();
    this.socket.once('close', () => clearTimeout(this.#timer));
  }

  readonly #readable = (bytes: Buffer): void => void this.#received(bytes);

  /** @returns false when it must be read from no more */
  #received(bytes: Buffer): boolean {
    if (this.#receiver !== null) {
      this.#receiver(bytes);
      return true;
    }
    if (this.#gone) return false;
    const seen = this.#seen.length === 0 ? bytes : Buffer.concat([this.#seen, bytes]);
    if (seen[0] === TLS_HANDSHAKE) {
      this.#handOver();
      this.socket.removeListener('data', this.#readable);
      if (this.#options.tls === null) {
        this.#refuse('speaks TLS, which is not offered');
        return false;
      }
      this.socket.pause();
      // A copy: the stream keeps it until the handshake reads it.
      this.socket.unshift(Buffer.from(seen));
      this.#options.tls(this.socket);
      return false;
    }
    const start = seen.toString('latin1', 0, HTTP2_PREFACE_START.length);
    if (start === HTTP2_PREFACE_START) {
      this.#handOver();
      this.#receiver = this.#options.plain(this.socket);
      this.#receiver(seen);
      return true;
    }
    if (HTTP2_PREFACE_START.startsWith(start)) {
      this.#seen = Buffer.from(seen);
      return true;
    }
    this.#refuse('speaks neither HTTP/2 nor TLS');
    return false;
  }

  #handOver(): void {
    this.#gone = true;
    clearTimeout(this.#timer);
  }

  #refuse(reason: string): void {
    this.#handOver();
    this.#options.refuse(this.socket, reason);
  }
}
